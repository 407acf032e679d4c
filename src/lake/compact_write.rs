//! A file that is written row group by row group, and read back before it counts.

use std::fs::File;
use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;
use parquet::arrow::arrow_writer::{ArrowRowGroupWriterFactory, ArrowWriter, ArrowWriterOptions};
use parquet::errors::ParquetError;
use parquet::file::writer::SerializedFileWriter;
use schemas::Table;

use super::checksum::Checksum;
use super::compact_order::{Keys, said};
use super::compact_read::Stream;
use super::file::{Hashed, ROWS_PER_GROUP, Written};
use super::{LakeError, columns, file};

/// A file in the staging folder that is being written.
pub(super) struct Writer {
    table: &'static Table,
    staged: PathBuf,
    file: SerializedFileWriter<Hashed>,
    factory: ArrowRowGroupWriterFactory,
    /// The rows of the next row group.
    pending: Vec<RecordBatch>,
    n_pending: usize,
}

impl Writer {
    /// Begins a file of rows that are sorted by these columns.
    pub(super) fn create(table: &'static Table, sort: &[&str], staged: PathBuf) -> Result<Self, LakeError> {
        let file = File::create(&staged).map_err(|error| LakeError::io(&staged, error))?;
        let begin = || {
            let properties = file::properties(table, sort)?;
            let options =
                ArrowWriterOptions::new().with_properties(properties).with_skip_arrow_metadata(true);
            let schema = columns::schema(table);
            ArrowWriter::try_new_with_options(Hashed::new(file), schema, options)?.into_serialized_writer()
        };
        let (file, factory) = begin().map_err(|error| LakeError::parquet(&staged, error))?;
        Ok(Self { table, staged, file, factory, pending: Vec::new(), n_pending: 0 })
    }

    /// Adds rows.
    pub(super) fn push(&mut self, mut batch: RecordBatch) -> Result<(), LakeError> {
        while self.n_pending + batch.num_rows() >= ROWS_PER_GROUP {
            let room = ROWS_PER_GROUP - self.n_pending;
            self.pending.push(batch.slice(0, room));
            batch = batch.slice(room, batch.num_rows() - room);
            self.end_group()?;
        }
        if batch.num_rows() > 0 {
            self.n_pending += batch.num_rows();
            self.pending.push(batch);
        }
        Ok(())
    }

    /// The bytes of its row groups so far.
    pub(super) fn bytes(&self) -> u64 {
        if self.file.flushed_row_groups().is_empty() { 0 } else { self.file.bytes_written() as u64 }
    }

    /// Ends the file; what it holds, read back.
    ///
    /// # Errors
    /// [`LakeError::RowsChanged`] if it does not hold its rows in its order.
    pub(super) fn finish(mut self) -> Result<(Written, Checksum), LakeError> {
        if self.n_pending > 0 {
            self.end_group()?;
        }
        let ended = self.file.into_inner().map_err(|error| LakeError::parquet(&self.staged, error))?;
        let (bytes, sha256) = ended.end();
        let (checksum, footer) = read_back(self.table, &self.staged)?;
        Ok((Written { rows: checksum.rows, bytes, sha256, footer }, checksum))
    }

    fn end_group(&mut self) -> Result<(), LakeError> {
        let rows = std::mem::take(&mut self.pending);
        self.n_pending = 0;
        let mut write = || {
            let number = self.file.flushed_row_groups().len();
            let columns = file::encode_group(&rows, self.factory.create_column_writers(number)?)?;
            let mut group = self.file.next_row_group()?;
            for column in columns {
                column.append_to_row_group(&mut group)?;
            }
            group.close().map(drop)
        };
        write().map_err(|error: ParquetError| LakeError::parquet(&self.staged, error))
    }
}

/// The checksum of the rows of a file that was written, whose order is looked at too, and its footer.
fn read_back(
    table: &'static Table,
    staged: &Path,
) -> Result<(Checksum, parquet::file::metadata::ParquetMetaData), LakeError> {
    let footer = file::local_footer(staged)?;
    let sort = said(&footer).unwrap_or_default();
    let sort: Vec<&str> = sort.iter().map(String::as_str).collect();
    let failed = |error: arrow::error::ArrowError| LakeError::parquet(staged, error.into());
    let keys = Keys::of(&columns::schema(table), &sort).map_err(failed)?;
    let (mut checksum, mut last) = (Checksum::default(), None::<arrow::row::OwnedRow>);
    for batch in Stream::of_staged(table, staged)? {
        let batch = batch?;
        let rows = keys.rows(&batch).map_err(failed)?;
        let follows = last.is_none_or(|last| last.row() < rows.row(0));
        if !follows || (1..rows.num_rows()).any(|row| rows.row(row - 1) >= rows.row(row)) {
            return Err(LakeError::RowsChanged { path: staged.to_owned() });
        }
        last = rows.num_rows().checked_sub(1).map(|row| rows.row(row).owned());
        checksum.add(&batch);
    }
    if checksum.rows != footer.file_metadata().num_rows() as u64 {
        return Err(LakeError::RowsChanged { path: staged.to_owned() });
    }
    Ok((checksum, footer))
}
