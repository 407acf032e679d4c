//! Clearing away what a crash left: files of games that were never committed.

use super::at_once::at_once;
use super::contents::Contents;
use super::layout::FileName;
use super::lock::clear_staging;
use super::log::Log;
use super::{DataFile, Lake, LakeError};

impl Lake {
    /// Takes the files of games that are not in `games` out of every table and deletes them, and
    /// empties the staging folder. The caller holds the writers' lock, so nobody is writing such files.
    ///
    /// A file written by this program holds whole games of one batch, and a batch is committed as a
    /// whole, so the keys in its name decide. Files of other names, as compaction gives, are left alone.
    pub(super) fn repair(&mut self) -> Result<(), LakeError> {
        if self.is_sound {
            return Ok(());
        }
        clear_staging(&self.store)?;
        let contents = &self.contents;
        at_once(self.logs.iter_mut().collect(), |log| clear(log, contents))?;
        self.is_sound = true;
        Ok(())
    }
}

/// Clears one table.
fn clear(log: &mut Log, contents: &Contents) -> Result<(), LakeError> {
    let files = log.files().into_iter();
    let orphans: Vec<DataFile> = files.filter(|file| is_orphan(&file.path, contents)).collect();
    if !orphans.is_empty() {
        log.remove(orphans)?;
    }
    // Also those that were moved but never committed.
    for file in log.store.list(log.table.name)? {
        if is_orphan(&file.path, contents) {
            log.store.delete(&file.path)?;
        }
    }
    Ok(())
}

/// Whether a file is of this program's naming and of games, or of a run, that are not in the lake.
pub(super) fn is_orphan(path: &str, contents: &Contents) -> bool {
    let name = path.rsplit('/').next().and_then(FileName::parse);
    name.is_some_and(|name| match name.games {
        Some((first, last)) => !contents.games.contains_key(&first) && !contents.games.contains_key(&last),
        None => !contents.has_run(&name.run),
    })
}
