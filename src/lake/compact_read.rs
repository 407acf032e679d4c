//! The rows of a file as a stream, some pages at a time.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::array::{AsArray as _, RecordBatch};
use arrow::datatypes::{Int64Type, Schema};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use parquet::errors::ParquetError;
use schemas::Table;

use super::store::Store;
use super::{LakeError, columns, disk, file};

/// Files that were brought here from an object store, so that each has a name of its own.
static BROUGHT: AtomicU64 = AtomicU64::new(0);

/// The rows of a file, with the columns of its table.
pub(super) struct Stream {
    table: &'static Table,
    place: PathBuf,
    reader: ParquetRecordBatchReader,
    is_earlier: bool,
}

impl Stream {
    /// Those of a file of the lake.
    pub(super) fn of(table: &'static Table, store: &Store, path: &str) -> Result<Self, LakeError> {
        Self::from_file(table, store.place(path), local(store, path)?)
    }

    /// Those of a file in the staging folder.
    pub(super) fn of_staged(table: &'static Table, place: &Path) -> Result<Self, LakeError> {
        let file = File::open(place).map_err(|error| LakeError::io(place, error))?;
        Self::from_file(table, place.to_owned(), file)
    }

    fn from_file(table: &'static Table, place: PathBuf, file: File) -> Result<Self, LakeError> {
        let failed = |error| LakeError::parquet(&place, error);
        let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(failed)?;
        let is_earlier = file::is_earlier(builder.metadata());
        let reader = builder.with_batch_size(file::ROWS_PER_PAGE).build().map_err(failed)?;
        Ok(Self { table, place, reader, is_earlier })
    }

    /// The schema of its batches.
    pub(super) fn schema(&self) -> Arc<Schema> {
        columns::schema(self.table)
    }

    /// Where the file is.
    pub(super) fn place(&self) -> &Path {
        &self.place
    }
}

impl Iterator for Stream {
    type Item = Result<RecordBatch, LakeError>;

    fn next(&mut self) -> Option<Self::Item> {
        let batch = self.reader.next()?;
        let failed = |error| LakeError::parquet(&self.place, error);
        let by_name = |batch| file::by_name(self.table, &batch, self.is_earlier).map_err(failed);
        Some(batch.map_err(|error| failed(error.into())).and_then(by_name))
    }
}

/// The games that a file of the lake has rows of.
pub(super) fn games_in(table: &Table, store: &Store, path: &str) -> Result<BTreeSet<i64>, LakeError> {
    let failed = |error| LakeError::parquet(&store.place(path), error);
    let builder = ParquetRecordBatchReaderBuilder::try_new(local(store, path)?).map_err(failed)?;
    let only = ProjectionMask::columns(builder.parquet_schema(), ["game"]);
    let mut games = BTreeSet::new();
    for batch in
        builder.with_projection(only).with_batch_size(file::ROWS_PER_GROUP).build().map_err(failed)?
    {
        let batch = batch.map_err(|error| failed(error.into()))?;
        let of_row = batch.column_by_name("game").and_then(|column| column.as_primitive_opt::<Int64Type>());
        let missing = || ParquetError::General(format!("column `game` of table `{}` is missing", table.name));
        let of_row = of_row.ok_or_else(|| failed(missing()))?;
        games.extend(of_row.values().chunk_by(|one, next| one == next).map(|run| run[0]));
    }
    Ok(games)
}

/// A file of the lake on this machine. What comes from an object store is gone when it is closed.
pub(super) fn local(store: &Store, path: &str) -> Result<File, LakeError> {
    if let Some(place) = store.local(path) {
        return File::open(&place).map_err(|error| LakeError::io(&place, error));
    }
    let number = BROUGHT.fetch_add(1, Ordering::Relaxed);
    let place = store.staging()?.join(format!("brought-{number}"));
    disk::write(&place, &store.read(path)?)?;
    let file = File::open(&place).map_err(|error| LakeError::io(&place, error))?;
    disk::delete(&place)?;
    Ok(file)
}
