//! Clearing away what a crash left: files of games that were never committed.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::contents::Contents;
use super::layout::{FileName, LOG, STAGING};
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
        clear(&self.root.join(STAGING))?;
        for log in &mut self.logs {
            let files = log.files()?;
            let orphans: Vec<DataFile> =
                files.iter().filter(|file| is_orphan(&file.path, &self.contents)).cloned().collect();
            if !orphans.is_empty() {
                self.runtime.block_on(log.remove(&orphans))?;
            }
            // Also those that were moved but never committed.
            for path in parquet_files(&log.folder)? {
                if is_orphan(&path.to_string_lossy(), &self.contents) {
                    fs::remove_file(&path).map_err(|error| LakeError::io(&path, error))?;
                }
            }
        }
        self.is_sound = true;
        Ok(())
    }
}

/// Whether a file is of this program's naming and of games, or of a run, that are not in the lake.
pub(super) fn is_orphan(path: &str, contents: &Contents) -> bool {
    let name = path.rsplit('/').next().and_then(FileName::parse);
    name.is_some_and(|name| match name.games {
        Some((first, last)) => !contents.games.contains_key(&first) && !contents.games.contains_key(&last),
        None => !contents.has_run(&name.run),
    })
}

fn clear(staging: &Path) -> Result<(), LakeError> {
    for path in parquet_files(staging)? {
        fs::remove_file(&path).map_err(|error| LakeError::io(&path, error))?;
    }
    Ok(())
}

/// The Parquet files under a folder, its log left out.
fn parquet_files(folder: &Path) -> Result<BTreeSet<PathBuf>, LakeError> {
    let mut found = BTreeSet::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries = fs::read_dir(&folder).map_err(|error| LakeError::io(&folder, error))?;
        for entry in entries {
            let entry = entry.map_err(|error| LakeError::io(&folder, error))?;
            let kind = entry.file_type().map_err(|error| LakeError::io(&entry.path(), error))?;
            if kind.is_dir() && entry.file_name() != LOG {
                folders.push(entry.path());
            } else if kind.is_file() && entry.path().extension().is_some_and(|end| end == "parquet") {
                found.insert(entry.path());
            }
        }
    }
    Ok(found)
}
