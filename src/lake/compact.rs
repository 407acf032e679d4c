//! Few large files in the place of many small ones.

use std::collections::BTreeMap;

use schemas::prefixes;

use super::commit::Change;
use super::compact_keep::Kept;
use super::compact_order::{Order, said};
use super::compact_rewrite::{Rewrite, Staged};
use super::contents::Contents;
use super::layout::Folders;
use super::lock::Held;
use super::log::Log;
use super::verify_quarantine::Gone;
use super::{DataFile, Lake, LakeError, disk, file};

/// How a lake is to be compacted.
#[derive(Clone, Copy, Debug)]
pub struct Compaction {
    /// What the rows of the large tables are sorted by first.
    pub order: Order,
    /// The bytes of a file, about. Files of half as many are left as they are.
    pub target_bytes: u64,
}

/// What a compaction did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Compacted {
    /// Files that were replaced, and their bytes.
    pub replaced: (u64, u64),
    /// Files in their place, and their bytes.
    pub written: (u64, u64),
    /// The rows of these.
    pub rows: u64,
}

/// How far a rewriting of files has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rewriting {
    /// The files of a partition of this table are written, read back and found to have the same rows.
    Staged(&'static str),
    /// They are in their places, and do not count yet.
    Moved(&'static str),
    /// They count, and the files that they replace do not.
    Committed(&'static str),
    /// Those are gone.
    Deleted(&'static str),
}

/// Whom a rewriting tells how far it is.
pub(super) type Watch<'a> = dyn FnMut(Rewriting) + 'a;

impl Lake {
    /// Merges the files of every partition into few large ones, with the rows of games that are in `games` and no others.
    ///
    /// Waits while another process writes to the lake. Causal tables are left as they are.
    ///
    /// # Errors
    /// If a file cannot be read or written, or a row is there twice.
    pub fn compact(
        &mut self,
        compaction: Compaction,
        watch: &mut dyn FnMut(Rewriting),
    ) -> Result<Compacted, LakeError> {
        let lock = self.begin_writing()?;
        let done = self.compact_tables(compaction, &lock, watch);
        self.end_writing(lock, done)
    }

    fn compact_tables(
        &mut self,
        compaction: Compaction,
        lock: &Held,
        watch: &mut Watch<'_>,
    ) -> Result<Compacted, LakeError> {
        self.check_format()?;
        let mut done = Compacted::default();
        // Until the end, what is on disk is ahead of what `self` says.
        self.is_current = false;
        for log in &mut self.logs {
            let version = log.version;
            let kept = Kept::of(log.table, &self.contents);
            for (folders, files) in partitions(log) {
                let files = candidates(log, files, compaction)?;
                if files.is_empty() {
                    continue;
                }
                let rewrite = Rewrite {
                    store: &log.store.clone(),
                    table: log.table,
                    folders,
                    files: &files,
                    sort: compaction.order.columns(log.table),
                    keep: &|batch| kept.filter(batch),
                    full: compaction.target_bytes,
                    must_be: log.table.name == prefixes::TABLE.name,
                };
                let staged = rewrite.write()?;
                watch(Rewriting::Staged(log.table.name));
                done.count(&files, &staged);
                replace(log, lock, (files, staged), (true, &Gone::Deleted), watch)?;
            }
            if log.version > version {
                log.write_checkpoint()?;
            }
        }
        self.contents = Contents::read(&self.logs)?;
        self.is_current = true;
        Ok(done)
    }
}

impl Compacted {
    fn count(&mut self, files: &[DataFile], staged: &[Staged]) {
        self.replaced.0 += files.len() as u64;
        self.replaced.1 += files.iter().map(|file| file.bytes).sum::<u64>();
        self.written.0 += staged.len() as u64;
        for Staged { new, .. } in staged {
            self.written.1 += new.file.bytes;
            self.rows += new.file.rows;
        }
    }
}

/// The files of a table by partition.
pub(super) fn partitions(log: &Log) -> BTreeMap<Folders, Vec<DataFile>> {
    let mut partitions: BTreeMap<Folders, Vec<DataFile>> = BTreeMap::new();
    for file in log.files() {
        partitions.entry(file.folders).or_default().push(file);
    }
    partitions
}

/// The files of a partition that are too small or of another order, if something is won by rewriting them.
fn candidates(log: &Log, files: Vec<DataFile>, compaction: Compaction) -> Result<Vec<DataFile>, LakeError> {
    let sort = compaction.order.columns(log.table);
    let (mut chosen, mut is_other_order) = (Vec::new(), false);
    for file in files {
        let is_small = file.bytes < compaction.target_bytes / 2;
        let is_sorted = said(&file::footer(&log.store, &log.path(&file.path))?).is_none_or(|by| by == sort);
        is_other_order |= !is_sorted;
        if is_small || !is_sorted {
            chosen.push(file);
        }
    }
    if chosen.len() < 2 && !is_other_order {
        chosen.clear();
    }
    Ok(chosen)
}

/// Puts files in the place of others: moves them, commits, and takes those away.
pub(super) fn replace(
    log: &mut Log,
    lock: &Held,
    (files, staged): (Vec<DataFile>, Vec<Staged>),
    (same_rows, gone): (bool, &Gone),
    watch: &mut Watch<'_>,
) -> Result<(), LakeError> {
    lock.check()?;
    let (store, name) = (log.store.clone(), log.table.name);
    let mut add = Vec::new();
    for Staged { place, new } in staged {
        if store.objects().is_none() {
            disk::sync(&place)?;
        }
        store.put(&log.path(&new.file.path), &place)?;
        add.push(new);
    }
    watch(Rewriting::Moved(name));
    lock.check()?;
    let replaced: Vec<String> = files.iter().map(|file| log.path(&file.path)).collect();
    log.commit(Change { add, remove: files, same_rows, ..Change::default() })?;
    watch(Rewriting::Committed(name));
    for path in replaced {
        gone.take(lock, &store, &path)?;
    }
    watch(Rewriting::Deleted(name));
    Ok(())
}
