//! What a position of a step holds, compared with the other ranked positions.

use polars::prelude::{
    DataType, Expr, JoinArgs, JoinType, LazyFrame, NULL, UnionArgs, col, concat, lit, when,
};

use crate::{
    FeatureName, Place, QueryError, Tables,
    place::{equals, filtered},
};

const FEATURE: &str = "feature";
const DECISION_ATTENTION: &str = "decision_attention";

/// What positions are compared by.
const KEYS: [&str; 3] = ["layer", "kind", "number"];

/// What there is one value of at a position: layer, kind, number (of the feature, or of the head), position, value.
/// `pattern` has the columns layer, head, query, key and weight.
///
/// # Errors
/// If the plan cannot be made.
pub(crate) fn values(
    tables: &Tables,
    place: &Place,
    pattern: &LazyFrame,
    feature: Option<FeatureName>,
) -> Result<LazyFrame, QueryError> {
    let positions = place.in_layer(tables.positions());
    let measure = |kind: &'static str| columns(positions.clone(), kind, lit(0), col("position"), col(kind));
    let features = filtered(place.in_layer(tables.features()), FEATURE, feature.map(|name| name.feature));
    let decision = pattern.clone().filter(equals("query", place.decision_position));
    let values = [
        columns(features, FEATURE, col(FEATURE), col("position"), col("activation")),
        columns(decision, DECISION_ATTENTION, col("head"), col("key"), col("weight")),
        measure("l0"),
        measure("reconstruction_error"),
        measure("residual_norm"),
    ];
    Ok(concat(values, UnionArgs::default())?)
}

fn columns(rows: LazyFrame, kind: &'static str, number: Expr, position: Expr, value: Expr) -> LazyFrame {
    rows.select([
        col("layer"),
        lit(kind).alias("kind"),
        number.cast(DataType::Int32).alias("number"),
        position.alias("position"),
        value.cast(DataType::Float64).alias("value"),
    ])
}

/// The values here beside those of the other positions of `ranked`: layer, position, kind, head, feature,
/// `other_position` (missing), value, `elsewhere_mean`, `elsewhere_max`, `elsewhere_share`.
pub(crate) fn compare(values: &LazyFrame, here: &LazyFrame, ranked: &LazyFrame) -> LazyFrame {
    let on = || [col("position")];
    let semi = || JoinArgs::new(JoinType::Semi);
    let own = values.clone().join(here.clone(), on(), on(), semi());
    let keys = [&KEYS[..], &["position"]].concat().into_iter().map(col).collect::<Vec<_>>();
    own.clone()
        .join(elsewhere(own, values.clone().join(ranked.clone(), on(), on(), semi())), &keys, &keys, left())
        .join(sizes(here, ranked), on(), on(), left())
        .select([
            col("layer"),
            col("position"),
            col("kind"),
            number_of(DECISION_ATTENTION).alias("head"),
            number_of(FEATURE).alias(FEATURE),
            lit(NULL).cast(DataType::Int32).alias("other_position"),
            col("value").cast(DataType::Float32),
            (known("total") / col("n")).cast(DataType::Float32).alias("elsewhere_mean"),
            known("most").cast(DataType::Float32).alias("elsewhere_max"),
            when(col("kind").eq(lit(FEATURE)))
                .then(known("fires") / col("n"))
                .otherwise(lit(NULL))
                .cast(DataType::Float32)
                .alias("elsewhere_share"),
        ])
}

fn left() -> JoinArgs {
    JoinArgs::new(JoinType::Left)
}

/// The sum, maximum and number of the values of `others` at other positions than the own one.
fn elsewhere(own: LazyFrame, others: LazyFrame) -> LazyFrame {
    let others = others.select([
        col("layer"),
        col("kind"),
        col("number"),
        col("position").alias("other"),
        col("value").alias("other_value"),
    ]);
    own.join(others, KEYS.map(col), KEYS.map(col), JoinArgs::new(JoinType::Inner))
        .filter(col("other").neq(col("position")))
        .group_by([&KEYS[..], &["position"]].concat().into_iter().map(col).collect::<Vec<_>>())
        .agg([
            col("other_value").sum().alias("total"),
            col("other_value").max().alias("most"),
            col("other_value").count().alias("fires"),
        ])
}

/// How many other ranked positions there are: position, n. A position that is alone has no row.
fn sizes(here: &LazyFrame, ranked: &LazyFrame) -> LazyFrame {
    here.clone()
        .select([col("position")])
        .cross_join(ranked.clone().select([col("position").alias("other")]), None)
        .filter(col("other").neq(col("position")))
        .group_by([col("position")])
        .agg([col("other").count().cast(DataType::Float64).alias("n")])
}

/// A statistic of the other positions, 0 if the value is nowhere among them, missing if there are none.
fn known(name: &str) -> Expr {
    when(col("n").is_not_null())
        .then(col(name).cast(DataType::Float64).fill_null(lit(0.0)))
        .otherwise(lit(NULL))
}

/// The number of the rows of a kind.
fn number_of(kind: &'static str) -> Expr {
    when(col("kind").eq(lit(kind))).then(col("number")).otherwise(lit(NULL))
}
