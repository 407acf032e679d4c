//! The order of rows in a file, and what a row is called in a message.

use std::cmp::Ordering;

use arrow::array::{Array, Int32Array, Int64Array, RecordBatch, StringArray, UInt64Array};
use arrow::compute::take_record_batch;
use arrow::error::ArrowError;
use schemas::Table;

/// The rows of `batch` by the table's sort columns. Rows that are in order already are not copied.
pub(crate) fn sorted(table: &Table, batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    let rows = batch.num_rows();
    let order = {
        let keys = keys(table, batch);
        if (1..rows).all(|row| compare(&keys, row - 1, row).is_le()) {
            None
        } else {
            let mut order: Vec<u64> = (0..rows as u64).collect();
            order.sort_by(|a, b| compare(&keys, *a as usize, *b as usize));
            Some(UInt64Array::from(order))
        }
    };
    order.map_or(Ok(batch.clone()), |order| take_record_batch(batch, &order))
}

/// The first of two neighbors in a sorted batch that agree in every sort column.
pub(crate) fn repeated(table: &Table, batch: &RecordBatch) -> Option<usize> {
    let keys = keys(table, batch);
    (1..batch.num_rows()).find(|row| compare(&keys, row - 1, *row).is_eq()).map(|row| row - 1)
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
    let by_key = |key: &Key<'_>| match key {
        Key::Int32(cells) => cells[a].cmp(&cells[b]),
        Key::Int64(cells) => cells[a].cmp(&cells[b]),
        Key::Utf8(cells) => cells.value(a).cmp(cells.value(b)),
    };
    keys.iter().map(by_key).find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
}
