//! The rows of a game in a large table as if every step had its own: those of positions that a step shares with an
//! earlier one are stored there, as `prefixes` says.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int32Array, RecordBatch, UInt64Array};
use arrow::compute::take_record_batch;
use arrow::error::ArrowError;
use schemas::{Table, prefixes};

use super::order;
use super::verify_cells::ints;

/// The sorted rows of a game, and once more those of positions that later steps begin with, under the numbers of those
/// steps. What comes back is sorted too.
pub(super) fn with_shared(
    table: &Table,
    own: &RecordBatch,
    runs: &[prefixes::Row],
) -> Result<RecordBatch, ArrowError> {
    if runs.is_empty() || own.num_rows() == 0 {
        return Ok(own.clone());
    }
    let position = if table.column("query").is_some() { "query" } else { "position" };
    let (steps, at) = (ints(own, "step"), ints(own, position));
    let mut of_step: BTreeMap<i32, Range<usize>> = BTreeMap::new();
    for (row, step) in steps.iter().enumerate() {
        of_step.entry(*step).or_insert(row..row).end = row + 1;
    }
    let mut rows: Vec<(i32, u64)> = steps.iter().copied().zip(0..).collect();
    for run in runs {
        let stored = of_step.get(&run.stored_step).cloned().unwrap_or_default();
        let within = stored.filter(|row| (run.position_start..run.position_end).contains(&at[*row]));
        rows.extend(within.map(|row| (run.step, row as u64)));
    }
    let (steps, rows): (Vec<i32>, Vec<u64>) = rows.into_iter().unzip();
    let taken = take_record_batch(own, &UInt64Array::from(rows))?;
    let steps: ArrayRef = Arc::new(Int32Array::from(steps));
    let columns = taken.schema_ref().fields().iter().zip(taken.columns());
    let columns = columns.map(|(field, column)| if field.name() == "step" { &steps } else { column });
    let all = RecordBatch::try_new(taken.schema(), columns.cloned().collect::<Vec<_>>())?;
    order::sorted(table, &all)
}
