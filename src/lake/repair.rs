//! Clearing away what a crash left: files of games that were never committed, and what others have taken the place of.

use super::at_once::at_once;
use super::compact_read::games_in;
use super::contents::Contents;
use super::layout::FileName;
use super::lock::{Held, clear_staging};
use super::log::Log;
use super::verify_quarantine::Gone;
use super::{DataFile, Lake, LakeError};

impl Lake {
    /// Finishes taking games out, takes the files of games that are not in `games` out of every table, deletes files of
    /// this program's naming that are in no log, and empties the staging folder. The caller holds the writers' lock, so
    /// nobody is writing such files.
    pub(super) fn repair(&mut self, lock: &Held) -> Result<(), LakeError> {
        if self.is_sound {
            return Ok(());
        }
        clear_staging(&self.store)?;
        self.finish_drops(lock, &Gone::Deleted, &mut |_| {})?;
        let contents = &self.contents;
        at_once(self.logs.iter_mut().collect(), |log| clear(log, lock, contents))?;
        at_once(self.causal.iter().collect(), |log| clear_unlisted(log, lock))?;
        self.is_sound = true;
        Ok(())
    }
}

/// Clears one table.
fn clear(log: &mut Log, lock: &Held, contents: &Contents) -> Result<(), LakeError> {
    let mut orphans: Vec<DataFile> = Vec::new();
    for file in log.files() {
        if is_orphan(log, &file.path, contents)? {
            orphans.push(file);
        }
    }
    if !orphans.is_empty() {
        log.remove(orphans)?;
    }
    clear_unlisted(log, lock)
}

/// Deletes files that were moved but never committed, or whose removal was committed. Those of other names are left alone.
fn clear_unlisted(log: &Log, lock: &Held) -> Result<(), LakeError> {
    for file in log.store.list(log.table.name)? {
        let of_table = file.path.strip_prefix(log.table.name).and_then(|path| path.strip_prefix('/'));
        let of_table = of_table.unwrap_or(&file.path);
        let is_ours = of_table.rsplit('/').next().is_some_and(FileName::is_ours);
        if is_ours && !log.files.contains_key(of_table) {
            // Whoever has taken the lock over may have put the file there after the log was read: the lock is looked at again.
            lock.delete(&log.store, &file.path)?;
        }
    }
    Ok(())
}

/// Whether a file of the log is of this program's naming and of games, or of a run, that are not in the lake.
///
/// It holds whole games of one batch. The lowest and the highest are in its name; only if both are gone and another of
/// the same run lies between them, the file is opened.
pub(super) fn is_orphan(log: &Log, path: &str, contents: &Contents) -> Result<bool, LakeError> {
    let Some(name) = path.rsplit('/').next().and_then(FileName::parse) else { return Ok(false) };
    let Some((first, last)) = name.games else { return Ok(!contents.has_run(&name.run)) };
    let has = |game: &i64| contents.games.contains_key(game);
    if has(&first) || has(&last) {
        return Ok(false);
    }
    let mut between = contents.games.range(first..=last.max(first));
    if !between.any(|(_, run)| *run == name.run) {
        return Ok(true);
    }
    Ok(!games_in(log.table, &log.store, &log.path(path))?.iter().any(has))
}
