//! The target of an export: there whole or not at all.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::ExchangeError;
use crate::whole_file;

/// A folder beside the target, which takes its place at the end and is removed if that does not come.
pub(super) struct Output {
    target: PathBuf,
    aside: TempDir,
}

impl Output {
    /// An empty folder beside `target`.
    ///
    /// # Errors
    /// If something else than an empty folder is at `target`, or nothing can be written there.
    pub(super) fn begin(target: &Path) -> Result<Self, ExchangeError> {
        let occupied = || ExchangeError::Occupied { path: target.to_owned() };
        if target.file_name().is_none() {
            return Err(occupied());
        }
        let is_free = match fs::read_dir(target) {
            Ok(mut entries) => entries.next().is_none(),
            Err(_) => fs::symlink_metadata(target).is_err(),
        };
        if !is_free {
            return Err(occupied());
        }
        let beside = whole_file::folder_of(target);
        let failed = |error| ExchangeError::unwritable(beside, error);
        fs::create_dir_all(beside).map_err(failed)?;
        // What a killed export has left must not be taken for this one's.
        let aside = whole_file::aside_folder(target).map_err(failed)?;
        Ok(Self { target: target.to_owned(), aside })
    }

    /// Where files are written until then.
    pub(super) fn folder(&self) -> &Path {
        self.aside.path()
    }

    /// Gives the folder its name, once the disk has what is in it.
    pub(super) fn end(mut self) -> Result<(), ExchangeError> {
        let failed = |error| ExchangeError::unwritable(&self.target, error);
        File::open(self.aside.path()).and_then(|folder| sync_all_of(&folder)).map_err(failed)?;
        if self.target.exists() {
            // An empty one; where somebody has put a file meanwhile, this fails.
            fs::remove_dir(&self.target).map_err(failed)?;
        }
        fs::rename(self.aside.path(), &self.target).map_err(failed)?;
        self.aside.disable_cleanup(true);
        Ok(())
    }
}

/// Waits until the disk has all files of the file system that a folder is on: there may be tens of thousands.
#[cfg(target_os = "linux")]
fn sync_all_of(folder: &File) -> io::Result<()> {
    Ok(rustix::fs::syncfs(folder)?)
}

/// The same where a system can only wait for all of its file systems.
#[cfg(not(target_os = "linux"))]
fn sync_all_of(_: &File) -> io::Result<()> {
    rustix::fs::sync();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_whole_or_not_there() {
        let root = std::env::temp_dir().join(format!("saelake-output-{}", std::process::id()));
        let target = root.join("out");
        fs::create_dir_all(root.join(".out.left.part")).unwrap();
        let begun = Output::begin(&target).unwrap();
        fs::write(begun.folder().join("a"), "a").unwrap();
        // Another one at the same time, as by a process of the same number in another container.
        let other = Output::begin(&target).unwrap();
        assert_ne!(begun.folder(), other.folder());
        drop((begun, other));
        assert_eq!(fs::read_dir(&root).unwrap().count(), 1);
        fs::create_dir(&target).unwrap();
        let begun = Output::begin(&target).unwrap();
        fs::write(begun.folder().join("a"), "a").unwrap();
        begun.end().unwrap();
        assert_eq!(fs::read_to_string(target.join("a")).unwrap(), "a");
        assert!(matches!(Output::begin(&target), Err(ExchangeError::Occupied { .. })));
        assert!(matches!(Output::begin(&target.join("a")), Err(ExchangeError::Occupied { .. })));
        assert_eq!(fs::read_dir(&root).unwrap().count(), 2);
        fs::remove_dir_all(root).unwrap();
    }
}
