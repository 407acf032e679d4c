//! The cells of a column of a batch.

use arrow::array::{AsArray as _, RecordBatch};
use arrow::datatypes::{Float32Type, Int32Type, Int64Type};

/// Those of an Int32 column.
pub(super) fn ints<'a>(batch: &'a RecordBatch, name: &str) -> &'a [i32] {
    let column = batch.column_by_name(name).and_then(|column| column.as_primitive_opt::<Int32Type>());
    column.map_or(&[], |column| column.values())
}

/// Those of an Int64 column.
pub(super) fn longs<'a>(batch: &'a RecordBatch, name: &str) -> &'a [i64] {
    let column = batch.column_by_name(name).and_then(|column| column.as_primitive_opt::<Int64Type>());
    column.map_or(&[], |column| column.values())
}

/// Those of a Float32 column.
pub(super) fn floats<'a>(batch: &'a RecordBatch, name: &str) -> &'a [f32] {
    let column = batch.column_by_name(name).and_then(|column| column.as_primitive_opt::<Float32Type>());
    column.map_or(&[], |column| column.values())
}

/// Whether each cell of a column of booleans is true.
pub(super) fn flags(batch: &RecordBatch, name: &str) -> Vec<bool> {
    let column = batch.column_by_name(name).and_then(|column| column.as_boolean_opt());
    column.map_or_else(Vec::new, |column| (0..column.len()).map(|row| column.value(row)).collect())
}

/// The texts of a column; what is missing is empty.
pub(super) fn texts<'a>(batch: &'a RecordBatch, name: &str) -> Vec<&'a str> {
    let column = batch.column_by_name(name).and_then(|column| column.as_string_opt::<i32>());
    column.map_or_else(Vec::new, |column| column.iter().map(Option::unwrap_or_default).collect())
}
