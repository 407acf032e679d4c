//! What changes inside the model do to a decision, exactly and by estimate.
//!
//! The rows come from `saelake patch` and `saelake attribute`. The effect of a node is the metric with the node changed
//! less the metric as it was; of each node there is what was measured (`exact`), what attribution patching and
//! integrated gradients say, and what readings of attention say that claim no effect. Nodes are ranked by the size of
//! what is known best.

use polars::prelude::{DataType, JoinArgs, JoinType, LazyFrame, col, lit, when};

use crate::{
    Asked, Place, Query, QueryError, Scope, Selection, Tables,
    causal::{NODE, nodes, size},
    place::filtered,
    ranking::{By, sorted},
};

/// The line of the menu.
pub const QUERY: Query = Query {
    name: "effects",
    about: "what changes inside the model do to a decision, exactly and by estimate",
    step_sql: Some(include_str!("effects.sql")),
    all_sql: Some(include_str!("effects-all.sql")),
    more_sql: &[],
};

/// How many rows are returned unless said otherwise; the SQL says the same.
pub const LIMIT: u32 = 20;

/// The question about a step or about all games. Of `selection` it looks at the layer, one feature and the limit, and
/// of a step at the position too.
///
/// # Errors
/// [`QueryError::NoCausal`] if the lake has none; those of a step that is not there.
pub fn ask(tables: &Tables, selection: &Selection) -> Result<Asked, QueryError> {
    let layer = selection.one_layer()?;
    let rows = filtered(nodes(tables)?, "layer", layer);
    let rows = filtered(rows, "feature", selection.feature.map(|name| name.feature));
    let limit = selection.limit.unwrap_or(LIMIT);
    let (plan, sql) = match selection.scope {
        Scope::Step { game, step } => {
            let place = Place::of_step(tables, game, step)?;
            let rows = filtered(place.in_step(rows), "position_start", selection.position);
            (of_step(tables, &place, rows).limit(limit), include_str!("effects.sql"))
        }
        Scope::AllGames => (of_all(rows).limit(limit), include_str!("effects-all.sql")),
    };
    Ok(Asked { plan, sql, variables: tables.variables().and(selection.variables()) })
}

/// The plan of a step: game, step, analysis, node, layer, `position_start`, `position_end`, token (the first), head,
/// feature, exact, share (of the difference between the two runs, where there are two), integrated, estimate,
/// attention, published. The largest first.
fn of_step(tables: &Tables, place: &Place, rows: LazyFrame) -> LazyFrame {
    let double = |name: &str| col(name).cast(DataType::Float64);
    let tokens = place.in_step(tables.tokens()).select([col("position"), col("token")]);
    let whole = double("metric_other") - double("metric_base");
    let share =
        when(whole.clone().neq(lit(0.0))).then(double("exact") / whole).otherwise(lit(polars::prelude::NULL));
    let rows = rows
        .join(tokens, [col("position_start")], [col("position")], JoinArgs::new(JoinType::Left))
        .with_columns([
            share.cast(DataType::Float32).alias("share"),
            size("exact", "integrated", "estimate").alias("size"),
        ]);
    let order = [
        By::Falling(col("size")),
        By::Rising(col("analysis")),
        By::Rising(col("node")),
        By::Rising(col("layer")),
        By::Rising(col("position_start")),
        By::Rising(col("head")),
        By::Rising(col("feature")),
    ];
    let columns = [
        "game",
        "step",
        "analysis",
        "node",
        "layer",
        "position_start",
        "position_end",
        "token",
        "head",
        "feature",
        "exact",
        "share",
        "integrated",
        "estimate",
        "attention",
        "published",
    ];
    sorted(rows, order).select(columns.map(col))
}

/// The plan of all games: node, layer, head, feature, `n_steps` (in which it has an effect), `n_nodes` (positions), `n_exact` (measured ones), `mean_exact`, `mean_estimate` (by attribution patching). The largest mean first.
fn of_all(rows: LazyFrame) -> LazyFrame {
    let double = |name: &str| col(name).cast(DataType::Float64);
    let count = |name: &str| col(name).count().cast(DataType::Int64);
    let [_, _, _, node, layer, _, _, head, feature] = NODE;
    let part = [node, layer, head, feature];
    let by_step =
        rows.group_by([part.as_slice(), &["game", "step"]].concat().into_iter().map(col).collect::<Vec<_>>());
    let sums = by_step.agg([
        col("analysis").count().cast(DataType::Int64).alias("n_nodes"),
        count("exact").alias("n_exact"),
        count("estimate").alias("n_estimate"),
        double("exact").sum().alias("exact"),
        double("estimate").sum().alias("estimate"),
    ]);
    let mean = |sum: &str, n: &str| {
        let some = col(n).sum().gt(lit(0));
        when(some)
            .then(col(sum).sum() / col(n).sum().cast(DataType::Float64))
            .otherwise(lit(polars::prelude::NULL))
    };
    let rows = sums
        .group_by(part.map(col))
        .agg([
            col("step").count().cast(DataType::Int64).alias("n_steps"),
            mean("exact", "n_exact").cast(DataType::Float32).alias("mean_exact"),
            mean("estimate", "n_estimate").cast(DataType::Float32).alias("mean_estimate"),
            col("n_nodes").sum(),
            col("n_exact").sum(),
        ])
        .with_column(size("mean_exact", "mean_exact", "mean_estimate").alias("size"));
    let order = [
        By::Falling(col("size")),
        By::Rising(col("node")),
        By::Rising(col("layer")),
        By::Rising(col("head")),
        By::Rising(col("feature")),
    ];
    let columns =
        ["node", "layer", "head", "feature", "n_steps", "n_nodes", "n_exact", "mean_exact", "mean_estimate"];
    sorted(rows, order).select(columns.map(col))
}
