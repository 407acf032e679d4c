//! The order of rows in a file, and what a row is called in a message.

use std::cmp::Ordering;

use arrow::array::{Array, Int32Array, Int64Array, RecordBatch, StringArray, UInt64Array};
use arrow::compute::take_record_batch;
use arrow::error::ArrowError;
use rayon::prelude::*;
use schemas::Table;

/// Rows that one thread compares at least.
const ROWS_AT_ONCE: usize = 65_536;

/// Whether every row comes before the next one: in order, and none twice.
pub(crate) fn is_strict(table: &Table, batch: &RecordBatch) -> bool {
    let keys = keys(table, batch);
    let rows = (1..batch.num_rows()).into_par_iter().with_min_len(ROWS_AT_ONCE);
    rows.all(|row| compare(&keys, row - 1, row).is_lt())
}

/// The rows of `batch` by the table's sort columns.
pub(crate) fn sorted(table: &Table, batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    let keys = keys(table, batch);
    let mut order: Vec<u64> = (0..batch.num_rows() as u64).collect();
    order.sort_by(|a, b| compare(&keys, *a as usize, *b as usize));
    take_record_batch(batch, &UInt64Array::from(order))
}

/// The first of two neighbors in a sorted batch that agree in every sort column.
pub(crate) fn repeated(table: &Table, batch: &RecordBatch) -> Option<usize> {
    let keys = keys(table, batch);
    (1..batch.num_rows()).find(|row| compare(&keys, row - 1, *row).is_eq()).map(|row| row - 1)
}

/// How the first row of one sorted batch stands to that of another.
pub(crate) fn of_first_rows(table: &Table, one: &RecordBatch, other: &RecordBatch) -> Ordering {
    between(&keys(table, one), 0, &keys(table, other), 0)
}

/// Whether every row of a sorted batch comes before every row of the next one.
pub(crate) fn is_before(table: &Table, batch: &RecordBatch, next: &RecordBatch) -> bool {
    batch.num_rows() == 0 || between(&keys(table, batch), batch.num_rows() - 1, &keys(table, next), 0).is_lt()
}

/// A row's sort columns with their values: `game 7, step 0, position 12`.
pub(crate) fn name(table: &Table, batch: &RecordBatch, row: usize) -> String {
    let cells = table.sort.iter().zip(keys(table, batch)).map(|(column, key)| match key {
        Key::Int32(cells) => format!("{column} {}", cells[row]),
        Key::Int64(cells) => format!("{column} {}", cells[row]),
        Key::Utf8(cells) => format!("{column} `{}`", cells.value(row)),
    });
    cells.collect::<Vec<_>>().join(", ")
}

enum Key<'a> {
    Int32(&'a [i32]),
    Int64(&'a [i64]),
    Utf8(&'a StringArray),
}

/// The sort columns; none of them may be missing or a float.
fn keys<'a>(table: &Table, batch: &'a RecordBatch) -> Vec<Key<'a>> {
    let key = |name: &&str| {
        let any = batch.column_by_name(name)?.as_any();
        if let Some(array) = any.downcast_ref::<Int32Array>() {
            return Some(Key::Int32(array.values()));
        }
        if let Some(array) = any.downcast_ref::<Int64Array>() {
            return Some(Key::Int64(array.values()));
        }
        any.downcast_ref::<StringArray>().map(Key::Utf8)
    };
    table.sort.iter().filter_map(key).collect()
}

fn compare(keys: &[Key<'_>], a: usize, b: usize) -> Ordering {
    between(keys, a, keys, b)
}

/// How a row stands to one of another batch of the same table.
fn between(keys: &[Key<'_>], a: usize, others: &[Key<'_>], b: usize) -> Ordering {
    let by_key = |(key, other): (&Key<'_>, &Key<'_>)| match (key, other) {
        (Key::Int32(cells), Key::Int32(others)) => cells[a].cmp(&others[b]),
        (Key::Int64(cells), Key::Int64(others)) => cells[a].cmp(&others[b]),
        (Key::Utf8(cells), Key::Utf8(others)) => cells.value(a).cmp(others.value(b)),
        // Batches of one table have the same columns.
        _ => Ordering::Equal,
    };
    keys.iter().zip(others).map(by_key).find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
}
