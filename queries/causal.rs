//! The causal tables, which a lake has from its first analysis on.

use polars::prelude::{Expr, JoinArgs, JoinType, LazyFrame, col, lit, when};
use schemas::{Table, edges, effects, interventions};

use crate::{QueryError, Tables, place::equals};

/// Effects on steps, each of an analysis that is whole and of a game that the tables show: one row a node and analysis, with
/// what each method says of it. Direct contributions to logits are no effects of a change, and are left out.
///
/// # Errors
/// [`QueryError::NoCausal`]; if the lake cannot be read.
pub(crate) fn nodes(tables: &Tables) -> Result<LazyFrame, QueryError> {
    let of = |method: &str| {
        when(equals("method", method.to_owned())).then(col("estimate")).otherwise(lit(polars::prelude::NULL))
    };
    let rows = whole(tables, &effects::TABLE)?
        .filter(col("step").gt_eq(lit(0)).and(col("method").neq(lit("direct-logit"))));
    Ok(rows.group_by(NODE.map(col)).agg([
        of("attribution").max().alias("estimate"),
        of("integrated-gradients").max().alias("integrated"),
        of("attention x activation").max().alias("attention"),
        of("published").max().alias("published"),
        col("exact").max(),
        col("metric_base").max(),
        col("metric_other").max(),
    ]))
}

/// What names a node of an analysis.
pub(crate) const NODE: [&str; 9] =
    ["game", "step", "analysis", "node", "layer", "position_start", "position_end", "head", "feature"];

/// The size that nodes are ranked by: of the exact effect, or else of the best estimate.
pub(crate) fn size(exact: &str, integrated: &str, estimate: &str) -> Expr {
    polars::prelude::coalesce(&[col(exact), col(integrated), col(estimate)])
        .cast(polars::prelude::DataType::Float64)
        .abs()
}

/// Edges, each of an analysis that is whole and of a game that the tables show, with the share that each has of the sizes of
/// all kept edges into its target.
///
/// # Errors
/// [`QueryError::NoCausal`]; if the lake cannot be read.
pub(crate) fn shared_edges(tables: &Tables) -> Result<LazyFrame, QueryError> {
    let size = || col("weight").cast(polars::prelude::DataType::Float64).abs();
    let target =
        ["game", "step", "analysis", "target_node", "target_layer", "target_position", "target_feature"];
    Ok(whole(tables, &edges::TABLE)?
        .with_column((size() / size().sum().over(target.map(col))?).alias("share")))
}

/// The rows of a causal table that count: those whose analysis is in `interventions` and whose game is there.
fn whole(tables: &Tables, table: &'static Table) -> Result<LazyFrame, QueryError> {
    let rows = tables.causal(table)?;
    let made = tables.causal(&interventions::TABLE)?.select([col("analysis")]);
    let games = tables.games().select([col("game")]);
    let semi = || JoinArgs::new(JoinType::Semi);
    Ok(rows.join(made, [col("analysis")], [col("analysis")], semi()).join(
        games,
        [col("game")],
        [col("game")],
        semi(),
    ))
}
