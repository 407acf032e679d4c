//! Parquet files whose pages are sound and whose cells are not: numbers that are too large, below nothing or no number,
//! rows twice and rows that are gone. Bytes that are turned over hardly ever come to that, since pages are compressed.

use std::sync::Arc;

use arrow::array::{
    Array as _, ArrayRef, ArrowPrimitiveType, AsArray as _, BooleanArray, PrimitiveArray, RecordBatch,
    StringArray, UInt32Array,
};
use arrow::compute::{concat_batches, take_record_batch};
use arrow::datatypes::{DataType, Float32Type, Int32Type, Int64Type};
use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::metadata::ParquetMetaData;
use parquet::file::properties::{EnabledStatistics, WriterProperties};

use super::mutate::Mutator;

/// What ends a Parquet file and begins it.
const MAGIC: &[u8] = b"PAR1";

const INTS: [i32; 12] =
    [0, 1, -1, 2, 63, 127, 32_768, 1_000_000, 50_000_000, i32::MAX - 1, i32::MAX, i32::MIN];
const LONGS: [i64; 6] = [0, -1, 3, i64::MAX, i64::MIN, 1 << 32];
const FLOATS: [f32; 9] =
    [0.0, -0.0, -1.0, f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, f32::MIN_POSITIVE, 1e-45];
const TEXTS: [&str; 8] = ["", "bet", "stop", "error", "last", "none", "\u{0}", "é\u{202e}日本"];

/// A file of the same size with something else in it; none if it is no Parquet file, or the new one is larger.
pub(super) fn change(bytes: &[u8], mutator: &mut Mutator) -> Option<Vec<u8>> {
    if !bytes.starts_with(MAGIC) {
        return None;
    }
    let reader = ParquetRecordBatchReaderBuilder::try_new(Bytes::copy_from_slice(bytes)).ok()?;
    let (schema, footer) = (Arc::clone(reader.schema()), Arc::clone(reader.metadata()));
    let batches: Vec<RecordBatch> = reader.build().ok()?.collect::<Result<_, _>>().ok()?;
    let mut rows = concat_batches(&schema, &batches).ok()?;
    if rows.num_rows() == 0 {
        return None;
    }
    for _ in 0..=mutator.below(2) {
        rows = if mutator.below(8) == 0 { other_rows(&rows, mutator) } else { other_cells(&rows, mutator) };
    }
    let written = write(&rows, &footer)?;
    pad(written, bytes.len())
}

/// The same number of rows: one of them in the place of another, or two exchanged.
fn other_rows(rows: &RecordBatch, mutator: &mut Mutator) -> RecordBatch {
    let mut order: Vec<u32> = (0..rows.num_rows() as u32).collect();
    let (one, other) = (mutator.below(order.len()), mutator.below(order.len()));
    if mutator.below(2) == 0 {
        order.swap(one, other);
    } else {
        order[one] = order[other];
    }
    take_record_batch(rows, &UInt32Array::from(order)).unwrap()
}

/// A cell of a column is another one, or all of them are.
fn other_cells(rows: &RecordBatch, mutator: &mut Mutator) -> RecordBatch {
    let column = mutator.below(rows.num_columns());
    let only = (mutator.below(4) > 0).then(|| mutator.below(rows.num_rows()));
    let mut columns = rows.columns().to_vec();
    columns[column] = other_column(&columns[column], only, mutator);
    // Where a value is missing that must not be, the file cannot be written.
    RecordBatch::try_new(rows.schema(), columns).unwrap_or_else(|_| rows.clone())
}

fn other_column(column: &ArrayRef, only: Option<usize>, mutator: &mut Mutator) -> ArrayRef {
    let is_meant = |row: usize| only.is_none_or(|only| only == row);
    match column.data_type() {
        DataType::Int32 => numbers::<Int32Type>(column, INTS[mutator.below(INTS.len())], is_meant),
        DataType::Int64 => numbers::<Int64Type>(column, LONGS[mutator.below(LONGS.len())], is_meant),
        DataType::Float32 => numbers::<Float32Type>(column, FLOATS[mutator.below(FLOATS.len())], is_meant),
        DataType::Utf8 => {
            let wrong = TEXTS[mutator.below(TEXTS.len())];
            let cells = column.as_string::<i32>().iter().enumerate();
            let other = cells.map(|(row, cell)| if is_meant(row) { Some(wrong) } else { cell });
            Arc::new(other.collect::<StringArray>())
        }
        DataType::Boolean => {
            let cells = column.as_boolean().iter().enumerate();
            let other = cells.map(|(row, cell)| cell.map(|cell| cell != is_meant(row)));
            Arc::new(other.collect::<BooleanArray>())
        }
        _ => Arc::clone(column),
    }
}

/// A column of numbers, one of them wrong or all.
fn numbers<T: ArrowPrimitiveType>(
    column: &ArrayRef,
    wrong: T::Native,
    is_meant: impl Fn(usize) -> bool,
) -> ArrayRef {
    let cells = column.as_primitive::<T>().iter().enumerate();
    let other = cells.map(|(row, cell)| if is_meant(row) { Some(wrong) } else { cell });
    Arc::new(other.collect::<PrimitiveArray<T>>())
}

/// With the order and the metadata that the file had.
fn write(rows: &RecordBatch, footer: &ParquetMetaData) -> Option<Vec<u8>> {
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(9).ok()?))
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_sorting_columns(footer.row_groups().first()?.sorting_columns().cloned())
        .set_key_value_metadata(footer.file_metadata().key_value_metadata().cloned())
        .set_offset_index_disabled(true)
        .build();
    let options = ArrowWriterOptions::new().with_properties(properties).with_skip_arrow_metadata(true);
    let mut writer = ArrowWriter::try_new_with_options(Vec::new(), rows.schema(), options).ok()?;
    writer.write(rows).ok()?;
    writer.into_inner().ok()
}

/// Nothing, before the footer: a log says how large its files are.
fn pad(mut bytes: Vec<u8>, size: usize) -> Option<Vec<u8>> {
    let room = size.checked_sub(bytes.len())?;
    let length = bytes.len().checked_sub(8)?;
    let footer = u32::from_le_bytes(bytes.get(length..length + 4)?.try_into().ok()?) as usize;
    let at = length.checked_sub(footer)?;
    bytes.splice(at..at, std::iter::repeat_n(0, room));
    Some(bytes)
}
