//! Bringing a lake of an earlier format up to date.

use std::sync::Arc;

use arrow::array::{Int32Array, RecordBatch};
use arrow::error::ArrowError;
use schemas::{feature_rollup, features, prefixes, runs};

use super::commit::Change;
use super::compact::{partitions, replace};
use super::compact_order::said;
use super::compact_rewrite::Rewrite;
use super::compact_write::Writer;
use super::layout::{COMPACTED, Folders};
use super::lock::Held;
use super::log::Log;
use super::verify_quarantine::Gone;
use super::{DataFile, Format, Lake, LakeError, disk, file, upgrade_rollup};

impl Lake {
    /// Brings the lake to the last format. Until its last commit, of `runs`, it is a lake of the earlier one; what was
    /// begun and not finished is gone on with.
    ///
    /// Waits while another process writes to the lake.
    ///
    /// # Errors
    /// If something cannot be read or written.
    pub fn upgrade(&mut self) -> Result<(), LakeError> {
        // One that is of the last format may hold what a killed upgrade has left, which is cleared away with the lock.
        let lock = self.begin_writing()?;
        let done = if self.format == Format::LAST { Ok(()) } else { self.upgrade_to_two(&lock) };
        self.end_writing(lock, done)?;
        *self = Self::open(self.root())?;
        Ok(())
    }

    fn upgrade_to_two(&mut self, lock: &Held) -> Result<(), LakeError> {
        for table in [&feature_rollup::TABLE, &prefixes::TABLE] {
            Log::create(&self.store, table)?;
        }
        self.sort_features_by_rank(lock)?;
        upgrade_rollup::write(self, lock)?;
        self.write_no_prefixes(lock)?;
        self.renew_runs(lock)
    }

    fn sort_features_by_rank(&mut self, lock: &Held) -> Result<(), LakeError> {
        let of_features = |log: &&mut Log| log.table.name == features::TABLE.name;
        for log in self.logs.iter_mut().filter(of_features) {
            for (folders, files) in partitions(log) {
                let mut others: Vec<DataFile> = Vec::new();
                for file in files {
                    let by = said(&file::footer(&log.store, &log.path(&file.path))?);
                    if by.is_some_and(|by| by != features::TABLE.sort) {
                        others.push(file);
                    }
                }
                if others.is_empty() {
                    continue;
                }
                let rewrite = Rewrite {
                    store: &log.store.clone(),
                    table: log.table,
                    folders,
                    files: &others,
                    sort: log.table.sort.to_vec(),
                    keep: &Ok,
                    full: u64::MAX,
                    must_be: false,
                };
                let staged = rewrite.write()?;
                replace(log, lock, (others, staged), (true, &Gone::Deleted), &mut |_| {})?;
            }
        }
        Ok(())
    }

    /// A file without rows, so that other readers find one.
    fn write_no_prefixes(&self, lock: &Held) -> Result<(), LakeError> {
        let mut log = Log::open(&self.store, &prefixes::TABLE)?;
        if !log.files.is_empty() {
            return Ok(());
        }
        let staged = self.store.staging()?.join("prefixes-new.parquet");
        let writer = Writer::create(log.table, log.table.sort, staged.clone())?;
        let (written, _) = writer.finish()?;
        lock.check()?;
        if self.store.objects().is_none() {
            disk::sync(&staged)?;
        }
        let path = format!("{COMPACTED}{:016x}.parquet", 0);
        self.store.put(&log.path(&path), &staged)?;
        let new = written.at(log.table, path, Folders::default());
        log.commit(Change { add: vec![new], ..Change::default() })
    }

    /// Writes `runs` with its new columns: from then on the lake is of the new format.
    fn renew_runs(&mut self, lock: &Held) -> Result<(), LakeError> {
        let store = self.store.clone();
        for log in self.logs.iter_mut().filter(|log| log.table.name == runs::TABLE.name) {
            let files = log.files();
            let rewrite = Rewrite {
                store: &store,
                table: log.table,
                folders: Folders::default(),
                files: &files,
                sort: log.table.sort.to_vec(),
                keep: &|batch| renewed(&batch),
                full: u64::MAX,
                must_be: false,
            };
            let staged = rewrite.write()?;
            let mut add = Vec::new();
            for staged in staged {
                if store.objects().is_none() {
                    disk::sync(&staged.place)?;
                }
                store.put(&log.path(&staged.new.file.path), &staged.place)?;
                add.push(staged.new);
            }
            lock.check()?;
            let gone: Vec<String> = files.iter().map(|file| log.path(&file.path)).collect();
            log.commit(Change { add, remove: files, columns: Some(Format::Two), ..Change::default() })?;
            gone.iter().try_for_each(|path| lock.delete(&store, path))?;
        }
        Ok(())
    }
}

/// Rows of `runs` with the new version.
fn renewed(batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    let column = batch.schema().index_of("format_version")?;
    let mut columns = batch.columns().to_vec();
    columns[column] = Arc::new(Int32Array::from(vec![Format::Two.number(); batch.num_rows()]));
    RecordBatch::try_new(batch.schema(), columns)
}
