//! The rows of a large table as if every step had its own: those of positions that a step shares with an earlier one are
//! stored there, as `prefixes` says.

use polars::prelude::{DataType, JoinArgs, JoinType, LazyFrame, PolarsResult, UnionArgs, col, concat};
use schemas::{Table, attention, attention_rows, features, positions};

use crate::files;

/// The column of a large table that says of which position a row is; none of another table.
pub(crate) fn position_of(table: &Table) -> Option<&'static str> {
    if table.name == features::TABLE.name || table.name == positions::TABLE.name {
        Some("position")
    } else if table.name == attention::TABLE.name || table.name == attention_rows::TABLE.name {
        Some("query")
    } else {
        None
    }
}

/// The rows of `own`, and once more those of positions that later steps begin with, under the numbers of those steps.
///
/// # Errors
/// If the plan cannot be made.
pub(crate) fn seen_through(table: &Table, own: LazyFrame, prefixes: LazyFrame) -> PolarsResult<LazyFrame> {
    let Some(position) = position_of(table) else { return Ok(own) };
    let columns = files::with_partitions(table);
    let columns = columns.iter_names().map(|name| col(name.clone())).collect::<Vec<_>>();
    let runs = prefixes.select([
        col("game"),
        col("step").alias("of_step"),
        col("stored_step").alias("step"),
        col("position_start").cast(DataType::Int32),
        col("position_end").cast(DataType::Int32),
    ]);
    let keys = [col("game"), col("step")];
    let stored = own.clone().join(runs, keys.clone(), keys, JoinArgs::new(JoinType::Inner));
    let within = col(position).gt_eq(col("position_start")).and(col(position).lt(col("position_end")));
    let shared = stored.filter(within).with_column(col("of_step").alias("step")).select(&columns);
    concat([own.select(&columns), shared], UnionArgs::default())
}
