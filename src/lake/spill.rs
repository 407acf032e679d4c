//! Rows set aside on the disk, so that those of one game or of one block of games can be read together, whatever files
//! they came from.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, BufWriter};
use std::path::{Path, PathBuf};

use arrow::array::{AsArray as _, RecordBatch};
use arrow::compute::concat_batches;
use arrow::datatypes::Int64Type;
use arrow::error::ArrowError;
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use schemas::Table;

use super::{LakeError, columns};

/// A folder with a file for each heap of rows of one table.
pub(super) struct Spill {
    table: &'static Table,
    folder: PathBuf,
}

impl Spill {
    /// An empty one, in a folder that must not be there yet.
    pub(super) fn new(table: &'static Table, folder: PathBuf) -> Result<Self, LakeError> {
        fs::create_dir_all(&folder).map_err(|error| LakeError::io(&folder, error))?;
        Ok(Self { table, folder })
    }

    /// Sets the rows aside, each with the heap of its game; those of games that have none are left out.
    pub(super) fn add(
        &self,
        batch: &RecordBatch,
        heap_of: impl Fn(i64) -> Option<i64>,
    ) -> Result<(), LakeError> {
        let games = batch.column_by_name("game").and_then(|column| column.as_primitive_opt::<Int64Type>());
        let Some(games) = games else { return Ok(()) };
        let mut start = 0;
        let mut waiting: Option<(i64, usize)> = None;
        for rows in games.values().chunk_by(|one, next| one == next) {
            let heap = heap_of(rows[0]);
            if waiting.map(|(heap, _)| heap) != heap {
                self.end(batch, waiting, start)?;
                waiting = heap.map(|heap| (heap, start));
            }
            start += rows.len();
        }
        self.end(batch, waiting, start)
    }

    /// Writes the rows that wait for the end of their heap's run.
    fn end(&self, batch: &RecordBatch, waiting: Option<(i64, usize)>, until: usize) -> Result<(), LakeError> {
        let Some((heap, from)) = waiting else { return Ok(()) };
        let path = self.path(heap);
        let file = File::options().create(true).append(true).open(&path);
        let file = BufWriter::new(file.map_err(|error| LakeError::io(&path, error))?);
        let rows = batch.slice(from, until - from);
        let written = StreamWriter::try_new(file, rows.schema_ref()).and_then(|mut writer| {
            writer.write(&rows)?;
            writer.finish()
        });
        written.map_err(|error| failed(&path, error))
    }

    /// All rows of a heap, which is gone then.
    pub(super) fn take(&self, heap: i64) -> Result<RecordBatch, LakeError> {
        let (path, schema) = (self.path(heap), columns::schema(self.table));
        if !path.exists() {
            return Ok(RecordBatch::new_empty(schema));
        }
        let io = |error| LakeError::io(&path, error);
        let mut file = BufReader::new(File::open(&path).map_err(io)?);
        let mut batches: Vec<RecordBatch> = Vec::new();
        while !file.fill_buf().map_err(io)?.is_empty() {
            let reader = StreamReader::try_new(&mut file, None).map_err(|error| failed(&path, error))?;
            for batch in reader {
                batches.push(batch.map_err(|error| failed(&path, error))?);
            }
        }
        fs::remove_file(&path).map_err(io)?;
        concat_batches(&schema, &batches).map_err(|error| failed(&path, error))
    }

    fn path(&self, heap: i64) -> PathBuf {
        self.folder.join(format!("{}-{heap}", self.table.name))
    }
}

/// A failure to write or read what was set aside.
fn failed(path: &Path, error: ArrowError) -> LakeError {
    match error {
        ArrowError::IoError(_, error) => LakeError::io(path, error),
        other => LakeError::parquet(path, other.into()),
    }
}

#[cfg(test)]
mod tests {
    use schemas::spans;

    use super::*;
    use crate::lake::batch::frame;

    #[test]
    fn heaps_come_back_whole_and_once() {
        let folder = std::env::temp_dir().join(format!("saelake-spill-{}", std::process::id()));
        let spill = Spill::new(&spans::TABLE, folder.clone()).unwrap();
        let row = |game: i64, step| spans::Row {
            game,
            step,
            name: format!("span of {game}"),
            byte_start: 0,
            byte_end: 1,
            position_start: 0,
            position_end: 1,
        };
        for step in 0..3 {
            let rows: spans::Rows = [5, 6, 7, 8].into_iter().map(|game| row(game, step)).collect();
            let frame = frame(&spans::TABLE, None, rows.try_into_values()).unwrap();
            spill.add(&frame.rows, |game| (game != 6).then_some(game / 7)).unwrap();
        }
        let rows = |heap| {
            spans::Rows::from_values(columns::from_arrow(&spans::TABLE, &spill.take(heap).unwrap()).unwrap())
        };
        assert_eq!(rows(0).unwrap().into_rows(), (0..3).map(|step| row(5, step)).collect::<Vec<_>>());
        let second: Vec<_> = (0..3).flat_map(|step| [row(7, step), row(8, step)]).collect();
        assert_eq!(rows(1).unwrap().into_rows(), second);
        assert!(rows(1).unwrap().is_empty());
        fs::remove_dir_all(folder).unwrap();
    }
}
