//! Where the tokens of a span look: how attention flows from span to span.
//!
//! The weight from one span to another is the attention that a token of the first pays to all tokens of the second,
//! as the mean over the tokens of the first, of one head or of the mean over all heads (head -1). Spans overlap and
//! nest, so a weight may count more than once; what goes to tokens of no span is [`OTHER`], mostly the special
//! tokens and position 0, where attention rests. A lake keeps the largest weights of a row and all of the
//! decision's; what it did not keep is [`NOT_KEPT`]. Over spans that do not overlap the weights from a span sum to 1
//! with these two.
//!
//! The rollout (layer [`ROLLOUT`]) says where the decision's information may come from through all captured layers:
//! one half of a position stays, as in the residual stream, the other half goes where the heads look on average,
//! from the last captured layer down to the first (Abnar and Zuidema, 2020). What happens in layers that were not
//! captured is not in it, nor are the weights that were not kept.
//!
//! Attention says where heads look, not what they move, and not that it matters.

use polars::prelude::{
    DataFrame, DataType, Expr, IntoLazy as _, JoinArgs, JoinType, LazyFrame, SortMultipleOptions, UnionArgs,
    col, concat, df, lit, when,
};

use crate::{
    Asked, DECISION, Layers, Place, Query, QueryError, Scope, Selection, Tables, flow_all, layers, members,
    place::{equals, filtered, integers},
};

/// The line of the menu.
pub const QUERY: Query = Query {
    name: "flow",
    about: "where the tokens of each span look, from span to span",
    step_sql: Some(include_str!("flow.sql")),
    all_sql: Some(include_str!("flow-all.sql")),
    more_sql: &[],
};

/// The span of the tokens that are in none.
pub const OTHER: &str = "(other)";

/// The span of what was not kept of a row of the pattern.
pub const NOT_KEPT: &str = "(not kept)";

/// The layer of the rollout.
pub const ROLLOUT: i32 = -1;

/// The head of the mean over all heads.
pub(crate) const MEAN: i32 = -1;

/// Less than this is the rounding of weights in single precision, and nothing that was not kept.
const ROUNDING: f64 = 1e-6;

/// Which heads are shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Heads {
    /// The mean over all heads, as head -1.
    #[default]
    Mean,
    /// The mean, and each head.
    Each,
}

/// The question about the step, or all steps, of `selection`; its span is the one that looks.
///
/// # Errors
/// Those of [`Place::find`]; a layer without attention, a span that is not there.
pub fn ask(tables: &Tables, selection: &Selection, heads: Heads) -> Result<Asked, QueryError> {
    tables.check_positions(QUERY.name)?;
    let mut variables = tables.variables().and(selection.variables());
    variables.set("heads", (heads == Heads::Each).then_some(true));
    let (plan, sql) = match selection.scope {
        Scope::Step { game, step } => {
            layers::with_attention(tables, selection.layer)?;
            let layers = selection.layer.map_or(Layers::Each, Layers::Captured);
            let place = Place::find(tables, game, step, layers)?;
            (plan(tables, &place, selection, heads)?, include_str!("flow.sql"))
        }
        Scope::AllGames => (flow_all::plan(tables, selection, heads)?, include_str!("flow-all.sql")),
    };
    Ok(Asked { plan, sql, variables })
}

/// Whether the selection wants the rollout: it is of all layers, and starts at the decision.
pub(crate) fn wants_rollout(selection: &Selection) -> bool {
    selection.layer.is_none() && selection.span.as_deref().is_none_or(|span| span == DECISION)
}

/// What is not kept of a row whose kept weights sum to `kept`.
pub(crate) fn not_kept(kept: f64) -> f64 {
    if kept > 1.0 - ROUNDING { 0.0 } else { 1.0 - kept }
}

/// The plan: game, step, layer, head, `from_span`, `to_span`, weight, `n_queries` (tokens of the first span), sorted
/// by layer, head and the two spans. Pairs of spans without any weight have no row, but [`NOT_KEPT`] always has one.
///
/// # Errors
/// [`QueryError::UnknownSpan`]; if the lake cannot be read.
pub fn plan(
    tables: &Tables,
    place: &Place,
    selection: &Selection,
    heads: Heads,
) -> Result<LazyFrame, QueryError> {
    let members = members::members(tables, Some(place), selection.specials)?;
    let members = members.select([col("span"), col("position")]);
    if let Some(span) = &selection.span {
        members::check_span(tables, Some(place), span)?;
    }
    let queries = queries(&members, selection.span.clone());
    let mut looks = vec![looks(by_head(tables, place, heads)?, queries.clone())];
    let mut froms = vec![froms(tables, place, heads)?.cross_join(sizes(queries), None)];
    let layers = integers(decision_rows(tables, place), "layer")?;
    if wants_rollout(selection) && !layers.is_empty() {
        looks.push(rollout(tables, place, &layers)?);
        froms.push(rollout_from()?.lazy());
    }
    let looks = concat(looks, UnionArgs::default())?;
    let froms = concat(froms, UnionArgs::default())?;
    let keys = ["layer", "head", "from_span"].map(col);
    Ok(flows(looks, &froms, members)?
        .join(froms, &keys, &keys, JoinArgs::new(JoinType::Inner))
        .select([
            lit(place.game).alias("game"),
            lit(place.step).alias("step"),
            col("layer"),
            col("head"),
            col("from_span"),
            col("to_span"),
            col("weight").cast(DataType::Float32),
            col("n_queries"),
        ])
        .sort(["layer", "head", "from_span", "to_span"], SortMultipleOptions::default()))
}

/// The tokens that look: `from_span`, position.
fn queries(members: &LazyFrame, span: Option<String>) -> LazyFrame {
    filtered(members.clone(), "span", span).select([col("span").alias("from_span"), col("position")])
}

/// How many tokens a span has: `from_span`, `n_queries`.
fn sizes(queries: LazyFrame) -> LazyFrame {
    let count = col("position").count().cast(DataType::Int64).alias("n_queries");
    queries.group_by([col("from_span")]).agg([count])
}

/// The rows of `attention_rows` whose query is the decision: one per layer and head.
fn decision_rows(tables: &Tables, place: &Place) -> LazyFrame {
    place.in_layer(tables.attention_rows()).filter(equals("query", place.decision_position))
}

/// The layers and heads that are shown: layer, head.
fn froms(tables: &Tables, place: &Place, heads: Heads) -> Result<LazyFrame, QueryError> {
    let rows = decision_rows(tables, place);
    let mean = rows.clone().group_by([col("layer")]).agg([]).select([col("layer"), lit(MEAN).alias("head")]);
    Ok(match heads {
        Heads::Mean => mean,
        Heads::Each => concat([mean, rows.select([col("layer"), col("head")])], UnionArgs::default())?,
    })
}

/// The pattern in double precision: layer, head, query, key, weight.
fn pattern(tables: &Tables, place: &Place) -> LazyFrame {
    place.in_layer(tables.attention()).select([
        col("layer"),
        col("head"),
        col("query"),
        col("key"),
        col("weight").cast(DataType::Float64),
    ])
}

/// The same as the mean over the heads, which have the head [`MEAN`].
fn mean_pattern(pattern: LazyFrame, place: &Place) -> LazyFrame {
    let mean = (col("weight").sum() / lit(f64::from(place.n_heads))).alias("weight");
    let keys = [col("layer"), lit(MEAN).alias("head"), col("query"), col("key")];
    pattern
        .group_by(["layer", "query", "key"].map(col))
        .agg([mean])
        .select([&keys[..], &[col("weight")]].concat())
}

/// The pattern as the mean over the heads, and of each head if they are shown.
pub(crate) fn by_head(tables: &Tables, place: &Place, heads: Heads) -> Result<LazyFrame, QueryError> {
    let pattern = pattern(tables, place);
    let mean = mean_pattern(pattern.clone(), place);
    Ok(match heads {
        Heads::Mean => mean,
        Heads::Each => concat([mean, pattern], UnionArgs::default())?,
    })
}

/// What the tokens of each span pay to each key, as the mean over the tokens: layer, head, `from_span`, key, weight.
fn looks(pattern: LazyFrame, queries: LazyFrame) -> LazyFrame {
    let sizes = sizes(queries.clone());
    let weight = (col("weight").sum() / col("n_queries").first().cast(DataType::Float64)).alias("weight");
    pattern
        .join(queries, [col("query")], [col("position")], JoinArgs::new(JoinType::Inner))
        .join(sizes, [col("from_span")], [col("from_span")], JoinArgs::new(JoinType::Inner))
        .group_by(["layer", "head", "from_span", "key"].map(col))
        .agg([weight])
}

/// What looks by the rollout, in the columns of [`froms`] and [`sizes`].
fn rollout_from() -> Result<DataFrame, QueryError> {
    Ok(df!("layer" => [ROLLOUT], "head" => [MEAN], "from_span" => [DECISION], "n_queries" => [1_i64])?)
}

/// The rollout down all `layers`, in the columns of [`looks`].
fn rollout(tables: &Tables, place: &Place, layers: &[i32]) -> Result<LazyFrame, QueryError> {
    let mut reached = df!("position" => [place.decision_position], "reached" => [1.0])?.lazy();
    let half = || col("reached") / lit(2.0);
    for layer in layers.iter().rev() {
        let layer = Place { layer: Some(*layer), ..*place };
        let moved = mean_pattern(pattern(tables, &layer), place)
            .join(reached.clone(), [col("query")], [col("position")], JoinArgs::new(JoinType::Inner))
            .select([col("key").alias("position"), (half() * col("weight")).alias("reached")]);
        let stayed = reached.select([col("position"), half().alias("reached")]);
        reached = concat([stayed, moved], UnionArgs::default())?
            .group_by([col("position")])
            .agg([col("reached").sum()]);
    }
    Ok(reached.select([
        lit(ROLLOUT).alias("layer"),
        lit(MEAN).alias("head"),
        lit(DECISION).alias("from_span"),
        col("position").alias("key"),
        col("reached").alias("weight"),
    ]))
}

/// The weights by the spans of the keys, and what is not kept: layer, head, `from_span`, `to_span`, weight.
fn flows(looks: LazyFrame, froms: &LazyFrame, members: LazyFrame) -> Result<LazyFrame, QueryError> {
    let keys = ["layer", "head", "from_span"].map(col);
    let columns = ["layer", "head", "from_span", "to_span", "weight"].map(col);
    let to_span: Expr = col("span").fill_null(lit(OTHER)).alias("to_span");
    let kept = looks.clone().group_by(&keys).agg([col("weight").sum().fill_null(lit(0.0))]);
    let to_spans = looks
        .join(members, [col("key")], [col("position")], JoinArgs::new(JoinType::Left))
        .with_columns([to_span])
        .group_by(["layer", "head", "from_span", "to_span"].map(col))
        .agg([col("weight").sum()]);
    let kept = froms
        .clone()
        .join(kept, &keys, &keys, JoinArgs::new(JoinType::Left))
        .with_columns([col("weight").fill_null(lit(0.0)), lit(NOT_KEPT).alias("to_span")])
        .with_columns([when(col("weight").gt(lit(1.0 - ROUNDING)))
            .then(lit(0.0))
            .otherwise(lit(1.0) - col("weight"))
            .alias("weight")]);
    Ok(concat([to_spans.select(&columns), kept.select(&columns)], UnionArgs::default())?)
}
