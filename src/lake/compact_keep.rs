//! Which rows of a table count.

use std::collections::BTreeSet;

use arrow::array::{AsArray as _, BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::Int64Type;
use arrow::error::ArrowError;
use schemas::Table;

use super::contents::Contents;

/// The rows of games that are in the lake, or of runs that have some.
pub(super) enum Kept<'a> {
    OfGames(&'a Contents),
    OfRuns(BTreeSet<&'a str>),
}

impl<'a> Kept<'a> {
    /// What counts of a table.
    pub(super) fn of(table: &Table, contents: &'a Contents) -> Self {
        if table.column("game").is_some() {
            return Self::OfGames(contents);
        }
        Self::OfRuns(contents.games.values().map(String::as_str).collect())
    }

    /// The rows that count.
    pub(super) fn filter(&self, batch: RecordBatch) -> Result<RecordBatch, ArrowError> {
        match self {
            Self::OfGames(contents) => of_games(batch, |game| contents.games.contains_key(&game)),
            Self::OfRuns(runs) => {
                let of_row = batch.column_by_name("run").and_then(|column| column.as_string_opt::<i32>());
                let of_row = of_row.ok_or_else(|| missing("run"))?;
                let mask: BooleanArray =
                    of_row.iter().map(|run| Some(run.is_some_and(|run| runs.contains(run)))).collect();
                filter_record_batch(&batch, &mask)
            }
        }
    }
}

/// The rows of the games that count.
pub(super) fn of_games(batch: RecordBatch, counts: impl Fn(i64) -> bool) -> Result<RecordBatch, ArrowError> {
    let games = batch.column_by_name("game").and_then(|column| column.as_primitive_opt::<Int64Type>());
    // Rows of a game follow each other.
    let runs = games.ok_or_else(|| missing("game"))?.values().chunk_by(|one, next| one == next);
    let mask: BooleanArray =
        runs.flat_map(|run| std::iter::repeat_n(Some(counts(run[0])), run.len())).collect();
    if mask.true_count() == batch.num_rows() { Ok(batch) } else { filter_record_batch(&batch, &mask) }
}

fn missing(column: &str) -> ArrowError {
    ArrowError::SchemaError(format!("column `{column}` is missing"))
}
