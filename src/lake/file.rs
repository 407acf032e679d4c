//! Parquet files: how they are written and read, and what their footers say.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use bytes::Bytes;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder,
};
use parquet::arrow::arrow_writer::{
    ArrowColumnChunk, ArrowColumnWriter, ArrowWriter, ArrowWriterOptions, compute_leaves,
};
use parquet::basic::{Compression, Encoding as ParquetEncoding, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::{KeyValue, ParquetMetaData, ParquetMetaDataReader, SortingColumn};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::reader::ChunkReader;
use rayon::prelude::*;
use schemas::{Encoding, Table, Values};
use sha2::{Digest as _, Sha256};

use super::commit::NewFile;
use super::layout::Folders;
use super::log::DataFile;
use super::store::Store;
use super::{Format, LakeError, columns, formats, objects, statistics};

/// Rows of a row group: DuckDB's own number, so that its threads share a file evenly.
pub const ROWS_PER_GROUP: usize = 122_880;

/// Rows of a data page: 128 positions of 64 features. Readers skip whole pages, so a query for one position
/// is faster than with the usual 20,000 rows; with 2,048 it is slower again, and files are 5 to 9 % larger.
pub const ROWS_PER_PAGE: usize = 8_192;

/// Level 9 would save 1 % of the bytes and take 2.6 times as long.
const ZSTD_LEVEL: i32 = 3;

/// What a file's footer calls the version of its layout.
const FORMAT_VERSION: &str = "saelake.format_version";

/// Bytes at the end of a file that hold its footer, but for very large ones.
const FOOTER_BYTES: u64 = 1 << 16;

/// A file that was written.
pub(crate) struct Written {
    pub(crate) rows: u64,
    pub(crate) bytes: u64,
    /// The SHA-256 of its bytes, as hexadecimal digits.
    pub(crate) sha256: String,
    pub(crate) footer: ParquetMetaData,
}

impl Written {
    /// What a log says of the file once it is at `path` of its table.
    pub(crate) fn at(&self, table: &Table, path: String, folders: Folders) -> NewFile {
        let (rows, bytes, sha256) = (self.rows, self.bytes, Some(self.sha256.clone()));
        NewFile {
            file: DataFile { path, folders, rows, bytes, sha256 },
            stats: statistics::of_footer(table, &self.footer),
        }
    }
}

/// Writes sorted rows to a new file, reads it back and compares every value. The disk need not have it yet.
pub(crate) fn write(table: &Table, rows: &[RecordBatch], path: &Path) -> Result<Written, LakeError> {
    let file = File::create(path).map_err(|error| LakeError::io(path, error))?;
    let hashed = encode(table, rows, Hashed::new(file)).map_err(|error| LakeError::parquet(path, error))?;
    let (bytes, sha256) = hashed.end();
    let footer = check(table, rows, path)?;
    let rows = rows.iter().map(|rows| rows.num_rows() as u64).sum();
    Ok(Written { rows, bytes, sha256, footer })
}

/// A file whose bytes are summed up on their way.
pub(super) struct Hashed {
    file: File,
    hash: Sha256,
    bytes: u64,
}

impl Hashed {
    pub(super) fn new(file: File) -> Self {
        Self { file, hash: Sha256::new(), bytes: 0 }
    }

    /// How many bytes came, and their SHA-256.
    pub(super) fn end(self) -> (u64, String) {
        (self.bytes, format!("{:x}", self.hash.finalize()))
    }
}

impl Write for Hashed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.hash.update(&bytes[..written]);
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Refuses a file that does not hold the rows that were written to it, value by value; its footer.
fn check(table: &Table, rows: &[RecordBatch], path: &Path) -> Result<ParquetMetaData, LakeError> {
    let bytes = Bytes::from(fs::read(path).map_err(|error| LakeError::io(path, error))?);
    let failed = |error| LakeError::parquet(path, error);
    let about = ArrowReaderMetadata::load(&bytes, ArrowReaderOptions::default()).map_err(failed)?;
    let (written, found) = (
        rows.iter().map(RecordBatch::num_rows).sum::<usize>(),
        about.metadata().file_metadata().num_rows() as usize,
    );
    if written != found {
        return Err(LakeError::RowsLost { path: path.to_owned(), written, found });
    }
    let groups: Vec<(usize, Vec<RecordBatch>)> = groups(rows).into_iter().enumerate().collect();
    let differing = groups.par_iter().map(|(group, rows)| differing_column(&bytes, &about, *group, rows));
    match differing.collect::<Result<Vec<_>, _>>().map_err(failed)?.into_iter().flatten().next() {
        Some(column) => {
            let column = table.columns[column].name;
            Err(LakeError::ValuesLost { path: path.to_owned(), column })
        }
        None => Ok(about.metadata().as_ref().clone()),
    }
}

/// The first column of a row group that does not hold what was written to it.
fn differing_column(
    bytes: &Bytes,
    about: &ArrowReaderMetadata,
    group: usize,
    rows: &[RecordBatch],
) -> Result<Option<usize>, ParquetError> {
    let reader = ParquetRecordBatchReaderBuilder::new_with_metadata(bytes.clone(), about.clone())
        .with_row_groups(vec![group])
        .with_batch_size(ROWS_PER_PAGE);
    let (mut written, mut start) = (rows.iter(), 0);
    let mut current = written.next();
    for found in reader.build()? {
        let (found, mut compared) = (found?, 0);
        while compared < found.num_rows() {
            let Some(rows) = current else { return Ok(Some(0)) };
            let count = (found.num_rows() - compared).min(rows.num_rows() - start);
            let (found, given) = (found.slice(compared, count), rows.slice(start, count));
            let same = found.columns().iter().zip(given.columns()).map(|(found, given)| found == given);
            if let Some(column) = same.enumerate().find_map(|(column, same)| (!same).then_some(column)) {
                return Ok(Some(column));
            }
            (compared, start) = (compared + count, start + count);
            if start == rows.num_rows() {
                (current, start) = (written.next(), 0);
            }
        }
    }
    Ok(None)
}

/// Row groups are encoded several at a time, and the columns of each too.
fn encode<W: Write + Send>(table: &Table, rows: &[RecordBatch], file: W) -> Result<W, ParquetError> {
    // The Arrow schema would repeat what the Parquet schema says.
    let options = ArrowWriterOptions::new()
        .with_properties(properties(table, table.sort)?)
        .with_skip_arrow_metadata(true);
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
    writer.into_inner()
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

/// Encodes the columns of a row group.
pub(super) fn encode_group(
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

/// How files of rows that are sorted by these columns are written.
pub(super) fn properties(table: &Table, sort: &[&str]) -> Result<WriterProperties, ParquetError> {
    let sorting = sort.iter().filter_map(|name| {
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
pub(crate) fn footer(store: &Store, path: &str) -> Result<ParquetMetaData, LakeError> {
    let place = store.place(path);
    let failed = |error| LakeError::parquet(&place, error);
    let mut reader = ParquetMetaDataReader::new();
    if let Some(local) = store.local(path) {
        return local_footer(&local);
    }
    let mut length = FOOTER_BYTES;
    loop {
        let (tail, size) = objects::tail(store, path, length)?;
        match reader.try_parse_sized(&tail, size) {
            Ok(()) => return reader.finish().map_err(failed),
            Err(ParquetError::NeedMoreData(needed)) if (needed as u64) > length => length = needed as u64,
            Err(error) => return Err(failed(error)),
        }
    }
}

/// The footer of a file on this machine.
pub(super) fn local_footer(place: &Path) -> Result<ParquetMetaData, LakeError> {
    let file = File::open(place).map_err(|error| LakeError::io(place, error))?;
    ParquetMetaDataReader::new().parse_and_finish(&file).map_err(|error| LakeError::parquet(place, error))
}

/// Whether a file says that it is in an earlier layout.
pub(super) fn is_earlier(footer: &ParquetMetaData) -> bool {
    format_version(footer).is_some_and(|version| version < Format::LAST.number())
}

/// The version of the layout that a file says it is in; none if another program wrote it.
fn format_version(footer: &ParquetMetaData) -> Option<i32> {
    let about = footer.file_metadata().key_value_metadata()?;
    about.iter().find(|pair| pair.key == FORMAT_VERSION)?.value.as_ref()?.parse().ok()
}

/// Every row of a file.
pub(crate) fn read(table: &Table, store: &Store, path: &str) -> Result<Vec<Values>, LakeError> {
    let place = store.place(path);
    let decoded = match store.local(path) {
        Some(local) => decode(table, File::open(&local).map_err(|error| LakeError::io(&local, error))?),
        None => decode(table, store.read(path)?),
    };
    let rows = decoded.map_err(|error| LakeError::parquet(&place, error))?;
    columns::from_arrow(table, &rows).ok_or_else(|| {
        let message = format!("a column is not what table `{}` has", table.name);
        LakeError::parquet(&place, ParquetError::General(message))
    })
}

fn decode<R: ChunkReader + 'static>(table: &Table, file: R) -> Result<RecordBatch, ParquetError> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(file)?;
    let is_earlier = is_earlier(reader.metadata());
    let batches: Vec<RecordBatch> = reader.build()?.collect::<Result<_, _>>()?;
    let batches =
        batches.iter().map(|batch| by_name(table, batch, is_earlier)).collect::<Result<Vec<_>, _>>()?;
    Ok(concat_batches(&columns::schema(table), &batches)?)
}

/// Columns are found by name: a later version of the layout may have added some, and an earlier one lacks some.
pub(super) fn by_name(
    table: &Table,
    batch: &RecordBatch,
    is_earlier: bool,
) -> Result<RecordBatch, ParquetError> {
    let schema = columns::schema(table);
    let arrays = schema.fields().iter().map(|field| {
        let missing = || ParquetError::General(format!("column `{}` is missing", field.name()));
        let filled = || formats::filled(table, field.name(), batch.num_rows()).filter(|_| is_earlier);
        batch.column_by_name(field.name()).cloned().or_else(filled).ok_or_else(missing)
    });
    let arrays = arrays.collect::<Result<_, ParquetError>>()?;
    Ok(RecordBatch::try_new(schema, arrays)?)
}
