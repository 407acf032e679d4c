//! A Parquet file of another layout, written row group by row group.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::Schema;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::ParquetMetaDataReader;
use parquet::file::properties::WriterProperties;

use super::ExchangeError;

/// Bytes of a row group before it is encoded and written.
const GROUP_BYTES: usize = 64 << 20;

/// Compression as in the lake.
const ZSTD_LEVEL: i32 = 3;

/// A file that is being written.
pub(super) struct ParquetFile {
    path: PathBuf,
    writer: ArrowWriter<File>,
    rows: i64,
}

impl ParquetFile {
    /// An empty one.
    pub(super) fn create(path: PathBuf, schema: Arc<Schema>) -> Result<Self, ExchangeError> {
        let file = File::create(&path).map_err(|error| ExchangeError::unwritable(&path, error))?;
        let level = ZstdLevel::try_new(ZSTD_LEVEL).map_err(|error| failed(&path, error))?;
        let properties = WriterProperties::builder().set_compression(Compression::ZSTD(level)).build();
        let writer =
            ArrowWriter::try_new(file, schema, Some(properties)).map_err(|error| failed(&path, error))?;
        Ok(Self { path, writer, rows: 0 })
    }

    /// Adds rows.
    pub(super) fn write(&mut self, rows: &RecordBatch) -> Result<(), ExchangeError> {
        self.writer.write(rows).map_err(|error| failed(&self.path, error))?;
        self.rows += rows.num_rows() as i64;
        if self.writer.in_progress_size() > GROUP_BYTES {
            self.writer.flush().map_err(|error| failed(&self.path, error))?;
        }
        Ok(())
    }

    /// Ends the file and reads its footer back.
    pub(super) fn end(self) -> Result<(), ExchangeError> {
        let path = self.path;
        self.writer.close().map_err(|error| failed(&path, error))?;
        let read = || ParquetMetaDataReader::new().parse_and_finish(&File::open(&path)?);
        let found = read().map_err(|error| failed(&path, error))?.file_metadata().num_rows();
        if found == self.rows {
            return Ok(());
        }
        Err(ExchangeError::Lost { path, what: format!("{found} rows, and {} were written", self.rows) })
    }
}

fn failed(path: &Path, error: ParquetError) -> ExchangeError {
    ExchangeError::unwritable(path, std::io::Error::other(error))
}
