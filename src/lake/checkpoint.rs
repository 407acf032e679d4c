//! Checkpoints of the tables' logs, made while the next games are computed.
//!
//! A checkpoint says what the log says up to one of its versions, which never changes, so that no lock is needed. Who
//! commits one of the versions that each table has for it makes it; a writer that ended before it had is made up for
//! under the lock by the one that finds it missing.

use std::thread::{self, JoinHandle};

use deltalake::logstore::LogStoreRef;
use deltalake::{DeltaTable, checkpoints};

use super::layout::LOG;
use super::log::Log;
use super::store::Store;
use super::{LakeError, disk};

/// A checkpoint gathers this many commits in one file. Without checkpoints, opening a table reads every commit: 20 to 30
/// seconds at some ten thousand.
pub(super) const COMMITS_PER_CHECKPOINT: u64 = 100;

/// A log without so many commits after its checkpoint gets no other one.
const FEWEST_COMMITS: u64 = COMMITS_PER_CHECKPOINT / 2;

/// Versions between the checkpoints of a table and of the next one: they are not all made at once.
const APART: u64 = 7;

/// The checkpoints that are being made.
#[derive(Default)]
pub(super) struct UnderWay(Option<JoinHandle<()>>);

impl UnderWay {
    /// Begins with the checkpoints of the logs whose last commit calls for one, after those that are being made.
    pub(super) fn begin(&mut self, logs: &[Log]) {
        let called = logs.iter().enumerate().filter(|(index, log)| is_called_for(*index, log));
        let of = |(_, log): (_, &Log)| (log.store.clone(), LogStoreRef::clone(&log.logs), log.table.name);
        let called: Vec<_> = called.map(of).collect();
        if called.is_empty() {
            return;
        }
        let before = std::mem::take(self);
        // Games do not hang on them. What keeps one from being made is told by who makes up for it.
        let write = |(store, logs, table): &(Store, LogStoreRef, &str)| drop(write(store, logs, table));
        let thread = thread::Builder::new().name("checkpoint".to_owned());
        let spawned = thread.spawn(move || {
            drop(before);
            called.iter().for_each(write);
        });
        self.0 = spawned.ok();
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        if let Some(thread) = self.0.take() {
            // Should it have panicked, it is made up for.
            let _ = thread.join();
        }
    }
}

/// Whether the last commit of the log with the number `index` is one of those that call for a checkpoint.
fn is_called_for(index: usize, log: &Log) -> bool {
    let shifted = log.version + index as u64 * APART;
    // A short log is read faster than a checkpoint is made.
    shifted.is_multiple_of(COMMITS_PER_CHECKPOINT)
        && log.version.saturating_sub(log.checkpoint) >= FEWEST_COMMITS
}

/// Writes a checkpoint of the log of a table as it is now; its version.
pub(super) fn write(store: &Store, logs: &LogStoreRef, table: &str) -> Result<u64, LakeError> {
    let failed = |error| LakeError::log(&store.place(table), error);
    let loaded = at_its_end(store, logs).map_err(failed)?;
    store.wait(checkpoints::create_checkpoint(&loaded, None)).map_err(failed)?;
    let version = loaded.snapshot().map_err(failed)?.version();
    let Some(log) = store.local(&format!("{table}/{LOG}")) else { return Ok(version) };
    let start = format!("{version:020}.checkpoint");
    for name in disk::names(&log)?.iter().filter(|name| name.starts_with(&start)) {
        disk::sync(&log.join(name))?;
    }
    disk::sync(&log)?;
    Ok(version)
}

/// The table after its last commit. It is not kept: it holds some ten kilobytes a file.
pub(super) fn at_its_end(
    store: &Store,
    logs: &LogStoreRef,
) -> Result<DeltaTable, deltalake::DeltaTableError> {
    let mut table = DeltaTable::new(LogStoreRef::clone(logs));
    store.wait(table.update_state())?;
    Ok(table)
}
