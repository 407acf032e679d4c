//! Parquet files: how they are written and read, and what their footers say.

use std::fs::File;
use std::path::Path;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::arrow::arrow_writer::{
    ArrowColumnChunk, ArrowColumnWriter, ArrowWriter, ArrowWriterOptions, compute_leaves,
};
use parquet::basic::{Compression, Encoding as ParquetEncoding, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::{KeyValue, ParquetMetaData, SortingColumn};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::reader::FileReader;
use parquet::file::serialized_reader::SerializedFileReader;
use rayon::prelude::*;
use schemas::{Encoding, Table, Values};

use super::{Format, LakeError, columns, formats};

/// Rows of a row group: DuckDB's own number, so that its threads share a file evenly.
pub const ROWS_PER_GROUP: usize = 122_880;

/// Rows of a data page: 128 positions of 64 features. Readers skip whole pages, so a query for one position
/// is faster than with the usual 20,000 rows; with 2,048 it is slower again, and files are 5 to 9 % larger.
pub const ROWS_PER_PAGE: usize = 8_192;

/// Level 9 would save 1 % of the bytes and take 2.6 times as long.
const ZSTD_LEVEL: i32 = 3;

/// What a file's footer calls the version of its layout.
const FORMAT_VERSION: &str = "saelake.format_version";

/// Writes sorted rows to a new file and waits until the disk has them.
pub(crate) fn write(table: &Table, rows: &[RecordBatch], path: &Path) -> Result<(), LakeError> {
    let file = File::create(path).map_err(|error| LakeError::io(path, error))?;
    let synced = file.try_clone().map_err(|error| LakeError::io(path, error))?;
    encode(table, rows, file).map_err(|error| LakeError::parquet(path, error))?;
    synced.sync_all().map_err(|error| LakeError::io(path, error))
}

/// Row groups are encoded several at a time, and the columns of each too.
fn encode(table: &Table, rows: &[RecordBatch], file: File) -> Result<(), ParquetError> {
    // The Arrow schema would repeat what the Parquet schema says.
    let options =
        ArrowWriterOptions::new().with_properties(properties(table)?).with_skip_arrow_metadata(true);
    let writer = ArrowWriter::try_new_with_options(file, columns::schema(table), options)?;
    let (mut writer, factory) = writer.into_serialized_writer()?;
    let groups: Vec<(usize, Vec<RecordBatch>)> = groups(rows).into_iter().enumerate().collect();
    for several in groups.chunks(rayon::current_num_threads()) {
        let encoded: Vec<Vec<ArrowColumnChunk>> = several
            .par_iter()
            .map(|(number, rows)| encode_group(rows, factory.create_column_writers(*number)?))
            .collect::<Result<_, _>>()?;
        for columns in encoded {
            let mut group = writer.next_row_group()?;
            for column in columns {
                column.append_to_row_group(&mut group)?;
            }
            group.close()?;
        }
    }
    writer.close()?;
    Ok(())
}

/// The rows, cut where a row group is full.
fn groups(rows: &[RecordBatch]) -> Vec<Vec<RecordBatch>> {
    let (mut groups, mut room) = (Vec::<Vec<RecordBatch>>::new(), 0);
    for batch in rows {
        let mut start = 0;
        while start < batch.num_rows() {
            if room == 0 {
                groups.push(Vec::new());
                room = ROWS_PER_GROUP;
            }
            let count = room.min(batch.num_rows() - start);
            if let Some(group) = groups.last_mut() {
                group.push(batch.slice(start, count));
            }
            (start, room) = (start + count, room - count);
        }
    }
    groups
}

fn encode_group(
    rows: &[RecordBatch],
    writers: Vec<ArrowColumnWriter>,
) -> Result<Vec<ArrowColumnChunk>, ParquetError> {
    writers
        .into_par_iter()
        .enumerate()
        .map(|(column, mut writer)| {
            for batch in rows {
                // No column is nested, so that each has one leaf.
                for leaf in compute_leaves(batch.schema_ref().field(column), batch.column(column))? {
                    writer.write(&leaf)?;
                }
            }
            writer.close()
        })
        .collect()
}

fn properties(table: &Table) -> Result<WriterProperties, ParquetError> {
    let sorting = table.sort.iter().filter_map(|name| {
        let column_idx = table.columns.iter().position(|column| column.name == *name)?;
        Some(SortingColumn { column_idx: column_idx as i32, descending: false, nulls_first: false })
    });
    let about = |key: &str, value: String| KeyValue::new(key.to_owned(), value);
    let mut properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(ZSTD_LEVEL)?))
        .set_max_row_group_row_count(Some(ROWS_PER_GROUP))
        .set_data_page_row_count_limit(ROWS_PER_PAGE)
        .set_statistics_enabled(EnabledStatistics::Page)
        .set_sorting_columns(Some(sorting.collect()))
        .set_key_value_metadata(Some(vec![
            about("saelake.table", table.name.to_owned()),
            about(FORMAT_VERSION, schemas::FORMAT_VERSION.to_string()),
        ]));
    for column in table.columns {
        let encoding = match column.encoding {
            Encoding::Dictionary => continue,
            Encoding::Plain => ParquetEncoding::PLAIN,
            Encoding::Delta => ParquetEncoding::DELTA_BINARY_PACKED,
            Encoding::ByteStreamSplit => ParquetEncoding::BYTE_STREAM_SPLIT,
        };
        properties = properties
            .set_column_dictionary_enabled(column.name.into(), false)
            .set_column_encoding(column.name.into(), encoding);
    }
    Ok(properties.build())
}

/// A file's footer.
pub(crate) fn footer(path: &Path) -> Result<ParquetMetaData, LakeError> {
    let file = File::open(path).map_err(|error| LakeError::io(path, error))?;
    let reader = SerializedFileReader::new(file).map_err(|error| LakeError::parquet(path, error))?;
    Ok(reader.metadata().clone())
}

/// The version of the layout that a file says it is in; none if another program wrote it.
fn format_version(footer: &ParquetMetaData) -> Option<i32> {
    let about = footer.file_metadata().key_value_metadata()?;
    about.iter().find(|pair| pair.key == FORMAT_VERSION)?.value.as_ref()?.parse().ok()
}

/// Every row of a file.
pub(crate) fn read(table: &Table, path: &Path) -> Result<Vec<Values>, LakeError> {
    let file = File::open(path).map_err(|error| LakeError::io(path, error))?;
    let rows = decode(table, file).map_err(|error| LakeError::parquet(path, error))?;
    columns::from_arrow(table, &rows).ok_or_else(|| {
        let message = format!("a column is not what table `{}` has", table.name);
        LakeError::parquet(path, ParquetError::General(message))
    })
}

/// Columns are found by name: a later version of the layout may have added some, and an earlier one lacks some.
fn decode(table: &Table, file: File) -> Result<RecordBatch, ParquetError> {
    let schema = columns::schema(table);
    let reader = ParquetRecordBatchReaderBuilder::try_new(file)?;
    let is_earlier = format_version(reader.metadata()).is_some_and(|version| version < Format::LAST.number());
    let batches: Vec<RecordBatch> = reader.build()?.collect::<Result<_, _>>()?;
    let by_name = |batch: &RecordBatch| -> Result<RecordBatch, ParquetError> {
        let arrays = schema.fields().iter().map(|field| {
            let missing = || ParquetError::General(format!("column `{}` is missing", field.name()));
            let filled = || formats::filled(table, field.name(), batch.num_rows()).filter(|_| is_earlier);
            batch.column_by_name(field.name()).cloned().or_else(filled).ok_or_else(missing)
        });
        Ok(RecordBatch::try_new(schema.clone(), arrays.collect::<Result<_, ParquetError>>()?)?)
    };
    let batches = batches.iter().map(by_name).collect::<Result<Vec<_>, _>>()?;
    Ok(concat_batches(&schema, &batches)?)
}
