//! How two features go together from step to step.

use polars::prelude::{
    DataFrame, DataType, Expr, IntoLazy as _, JoinArgs, JoinType, LazyFrame, NULL, NamedFrom as _, Series,
    UnionArgs, col, concat, lit, when,
};

use crate::{
    QueryError, Specials, Tables,
    members::{self, STEP},
    place::equals,
};

/// What is left of the mean square of values that are all the same but for rounding: values whose variance is
/// below this share of it count as constant, and a constant goes together with nothing.
const ROUNDING: f64 = 1e-8;

/// Pearson's correlation from the columns `n`, and sums `x`, `y`, `xx`, `yy`, `xy` of the values and their
/// products; missing if one of the two is constant.
pub(crate) fn pearson() -> Expr {
    let spread = |x: &str, xx: &str| col(xx) - col(x) * col(x) / col("n");
    let varies = |x: &str, xx: &str| spread(x, xx).gt(lit(ROUNDING) * col(xx));
    let common = col("xy") - col("x") * col("y") / col("n");
    when(varies("x", "xx").and(varies("y", "yy")))
        .then(common / (spread("x", "xx") * spread("y", "yy")).sqrt())
        .otherwise(lit(NULL))
}

/// The steps whose decision was read at `layer`: game, step, `decision_position`.
pub(crate) fn read_steps(tables: &Tables, layer: i32) -> LazyFrame {
    let steps = tables.steps().select([col("game"), col("step"), col("decision_position")]);
    let positions = tables.positions().filter(equals("layer", layer));
    positions.select([col("game"), col("step"), col("position").alias("decision_position")]).join(
        steps,
        decision(),
        decision(),
        JoinArgs::new(JoinType::Semi),
    )
}

/// The activations at the decisions of those features of `layer` that meet a condition: game, step, feature, y.
pub(crate) fn at_decision(tables: &Tables, layer: i32, features: Expr) -> LazyFrame {
    tables
        .features()
        .filter(equals("layer", layer).and(features))
        .select([
            col("game"),
            col("step"),
            col("position").alias("decision_position"),
            col("feature"),
            col("activation").cast(DataType::Float64).alias("y"),
        ])
        .join(tables.steps().select(decision()), decision(), decision(), JoinArgs::new(JoinType::Semi))
        .select([col("game"), col("step"), col("feature"), col("y")])
}

/// The correlation over all steps of all games of the ends of each of `pairs` (`from_layer`, `from_feature`,
/// `to_feature`, each pair once): of the highest activation of the source among the tokens of a step that may be
/// sources, and the activation of the target, a feature of `to_layer`, at the decision; 0 where one does not
/// fire. Returns the pairs with `correlation`.
///
/// # Errors
/// If the plan cannot be made.
pub(crate) fn of_pairs(
    tables: &Tables,
    specials: Specials,
    to_layer: i32,
    pairs: &DataFrame,
) -> Result<LazyFrame, QueryError> {
    let ends = [col("from_layer"), col("from_feature"), col("to_feature")];
    let places = sources(tables, specials)?;
    let mut all = pairs
        .clone()
        .lazy()
        .cross_join(read_steps(tables, to_layer).select(STEP.map(col)), None)
        .with_column(lit(0.0).alias("x"));
    for (layer, features) in by_layer(pairs)? {
        let values = highest(tables, &places, layer, &features);
        let on = [col("game"), col("step"), col("from_layer"), col("from_feature")];
        all = all
            .join(values, &on, &on, JoinArgs::new(JoinType::Left))
            .with_column(col("highest").fill_null(col("x")).alias("x"))
            .select([ends.to_vec(), STEP.map(col).to_vec(), vec![col("x")]].concat());
    }
    let targets = one_of("feature", &distinct(pairs, "to_feature")?);
    let targets = at_decision(tables, to_layer, targets);
    let on = |feature: &str| [col("game"), col("step"), col(feature)];
    Ok(all
        .join(targets, on("to_feature"), on("feature"), JoinArgs::new(JoinType::Left))
        .with_column(col("y").fill_null(lit(0.0)))
        .group_by(&ends)
        .agg([
            col("x").len().cast(DataType::Float64).alias("n"),
            (col("x") * col("x")).sum().alias("xx"),
            (col("y") * col("y")).sum().alias("yy"),
            (col("x") * col("y")).sum().alias("xy"),
            col("x").sum(),
            col("y").sum(),
        ])
        .with_column(pearson().alias("correlation"))
        .select([ends.to_vec(), vec![col("correlation")]].concat()))
}

/// The places where a source may be, the decision's perhaps twice: game, step, position.
pub(crate) fn sources(tables: &Tables, specials: Specials) -> Result<LazyFrame, QueryError> {
    let columns = [col("game"), col("step"), col("position")];
    let ranked = members::tokens(tables, None, specials).filter(col("ranked")).select(&columns);
    let decisions = tables.steps().with_column(col("decision_position").alias("position")).select(columns);
    Ok(concat([ranked, decisions], UnionArgs::default())?)
}

/// The highest activation of each of `features` of a layer among `places` of a step: game, step, `from_layer`,
/// `from_feature`, highest.
fn highest(tables: &Tables, places: &LazyFrame, layer: i32, features: &[i32]) -> LazyFrame {
    let keys = [col("game"), col("step"), col("position")];
    tables
        .features()
        .filter(equals("layer", layer).and(one_of("feature", features)))
        .select([col("game"), col("step"), col("position"), col("feature"), col("activation")])
        .join(places.clone(), &keys, &keys, JoinArgs::new(JoinType::Semi))
        .group_by([col("game"), col("step"), col("feature").alias("from_feature")])
        .agg([col("activation").cast(DataType::Float64).max().alias("highest")])
        .with_column(lit(layer).alias("from_layer"))
}

/// Whether a column holds one of `values`.
pub(crate) fn one_of(column: &str, values: &[i32]) -> Expr {
    col(column).is_in(lit(Series::new("values".into(), values)).implode(false), false)
}

fn decision() -> [Expr; 3] {
    [col("game"), col("step"), col("decision_position")]
}

/// The sources of `pairs` by their layer.
fn by_layer(pairs: &DataFrame) -> Result<Vec<(i32, Vec<i32>)>, QueryError> {
    let layers = distinct(pairs, "from_layer")?;
    let of = |layer: i32| {
        let rows = pairs.column("from_layer")?.i32()?.iter().zip(pairs.column("from_feature")?.i32()?.iter());
        let mut features =
            rows.filter(|(found, _)| *found == Some(layer)).filter_map(|row| row.1).collect::<Vec<_>>();
        features.sort_unstable();
        features.dedup();
        Ok((layer, features))
    };
    layers.into_iter().map(of).collect::<Result<Vec<_>, _>>()
}

/// The values of a column of whole numbers, each once, ascending.
fn distinct(rows: &DataFrame, column: &str) -> Result<Vec<i32>, QueryError> {
    let mut values = rows.column(column)?.i32()?.iter().flatten().collect::<Vec<_>>();
    values.sort_unstable();
    values.dedup();
    Ok(values)
}
