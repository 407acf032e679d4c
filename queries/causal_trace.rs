//! What adds to a decision: the graph that `saelake trace --causal` found.
//!
//! An edge says what its source adds to its target, in the target's own unit; so that edges of different targets can
//! be put side by side, each has its share of the sizes of all kept edges into its target.

use polars::prelude::{DataType, JoinArgs, JoinType, LazyFrame, col, lit};

use crate::{
    Asked, Place, Query, QueryError, Scope, Selection, Tables,
    causal::shared_edges,
    place::equals,
    ranking::{By, sorted},
};

/// The line of the menu.
pub const QUERY: Query = Query {
    name: "causal-trace",
    about: "the features and tokens that add to a decision, and to each other, by gradients",
    step_sql: Some(include_str!("causal-trace.sql")),
    all_sql: Some(include_str!("causal-trace-all.sql")),
    more_sql: &[],
};

/// How many rows are returned unless said otherwise; the SQL says the same.
pub const LIMIT: u32 = 50;

/// The question about a step or about all games. Of `selection` it looks at the limit, and at edges whose source or
/// target is in the layer, or is the feature.
///
/// # Errors
/// [`QueryError::NoCausal`] if the lake has none; those of a step that is not there.
pub fn ask(tables: &Tables, selection: &Selection) -> Result<Asked, QueryError> {
    let mut rows = shared_edges(tables)?;
    if let Some(layer) = selection.one_layer()? {
        rows = rows
            .filter(equals("source_layer", layer).or(equals("target_layer", layer)).fill_null(lit(false)));
    }
    if let Some(feature) = selection.feature.map(|name| name.feature) {
        let is = equals("source_feature", feature).or(equals("target_feature", feature));
        rows = rows.filter(is.fill_null(lit(false)));
    }
    let limit = selection.limit.unwrap_or(LIMIT);
    let (plan, sql) = match selection.scope {
        Scope::Step { game, step } => {
            let place = Place::of_step(tables, game, step)?;
            (of_step(tables, &place, rows).limit(limit), include_str!("causal-trace.sql"))
        }
        Scope::AllGames => (of_all(rows).limit(limit), include_str!("causal-trace-all.sql")),
    };
    Ok(Asked { plan, sql, variables: tables.variables().and(selection.variables()) })
}

/// The plan of a step: game, step, analysis, frozen, and of target and source node, layer, position, token and feature;
/// weight, share. In the order in which the graph was followed.
fn of_step(tables: &Tables, place: &Place, rows: LazyFrame) -> LazyFrame {
    let tokens = |name: &str| {
        let position = format!("{name}_position");
        let token = format!("{name}_token");
        place.in_step(tables.tokens()).select([col("position").alias(position), col("token").alias(token)])
    };
    let mut rows = place.in_step(rows);
    for end in ["target", "source"] {
        let on = [col(format!("{end}_position"))];
        rows = rows.join(tokens(end), &on, &on, JoinArgs::new(JoinType::Left));
    }
    let columns = [
        "game",
        "step",
        "analysis",
        "frozen",
        "target_node",
        "target_layer",
        "target_position",
        "target_token",
        "target_feature",
        "source_node",
        "source_layer",
        "source_position",
        "source_token",
        "source_feature",
        "weight",
        "share",
    ];
    sorted(rows, [By::Rising(col("analysis")), By::Rising(col("row"))])
        .with_column(col("share").cast(DataType::Float32))
        .select(columns.map(col))
}

/// The plan of all games: frozen, node, layer and feature of target and source, `n_steps`, `n_edges`, `mean_weight` of
/// an edge, `mean_share` of a step. The largest sum of shares first.
fn of_all(rows: LazyFrame) -> LazyFrame {
    let ends = [
        "frozen",
        "target_node",
        "target_layer",
        "target_feature",
        "source_node",
        "source_layer",
        "source_feature",
    ];
    let by_step = [ends.as_slice(), &["game", "step"]].concat().into_iter().map(col).collect::<Vec<_>>();
    let rows = rows
        .group_by(by_step)
        .agg([
            col("weight").count().cast(DataType::Int64).alias("n_edges"),
            col("weight").cast(DataType::Float64).sum(),
            col("share").sum(),
        ])
        .group_by(ends.map(col))
        .agg([
            col("step").count().cast(DataType::Int64).alias("n_steps"),
            col("n_edges").sum(),
            col("weight").sum(),
            col("share").sum(),
        ])
        .with_columns([
            (col("weight") / col("n_edges").cast(DataType::Float64))
                .cast(DataType::Float32)
                .alias("mean_weight"),
            (col("share") / col("n_steps").cast(DataType::Float64))
                .cast(DataType::Float32)
                .alias("mean_share"),
            // In single precision, so that sums in another order rank alike.
            col("share").cast(DataType::Float32).alias("rank"),
        ]);
    let order = [
        By::Falling(col("rank")),
        By::Rising(col("frozen")),
        By::Rising(col("target_node")),
        By::Rising(col("target_layer")),
        By::Rising(col("target_feature")),
        By::Rising(col("source_node")),
        By::Rising(col("source_layer")),
        By::Rising(col("source_feature")),
    ];
    let columns = [ends.as_slice(), &["n_steps", "n_edges", "mean_weight", "mean_share"]].concat();
    sorted(rows, order).select(columns.into_iter().map(col).collect::<Vec<_>>())
}
