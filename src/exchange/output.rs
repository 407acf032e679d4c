//! The target of an export: there whole or not at all.

use std::fs;
use std::path::{Path, PathBuf};

use super::ExchangeError;

/// A folder beside the target, which takes its place at the end and is removed if that does not come.
pub(super) struct Output {
    target: PathBuf,
    aside: PathBuf,
    is_whole: bool,
}

impl Output {
    /// An empty folder beside `target`.
    ///
    /// # Errors
    /// If something else than an empty folder is at `target`, or nothing can be written there.
    pub(super) fn begin(target: &Path) -> Result<Self, ExchangeError> {
        let occupied = || ExchangeError::Occupied { path: target.to_owned() };
        let name = target.file_name().ok_or_else(occupied)?.to_string_lossy().into_owned();
        let is_free = match fs::read_dir(target) {
            Ok(mut entries) => entries.next().is_none(),
            Err(_) => fs::symlink_metadata(target).is_err(),
        };
        if !is_free {
            return Err(occupied());
        }
        let aside = target.with_file_name(format!(".{name}.{}.part", std::process::id()));
        fs::create_dir_all(&aside).map_err(|error| ExchangeError::unwritable(&aside, error))?;
        Ok(Self { target: target.to_owned(), aside, is_whole: false })
    }

    /// Where files are written until then.
    pub(super) fn folder(&self) -> &Path {
        &self.aside
    }

    /// Gives the folder its name.
    pub(super) fn end(mut self) -> Result<(), ExchangeError> {
        let failed = |error| ExchangeError::unwritable(&self.target, error);
        if self.target.exists() {
            // An empty one; where somebody has put a file meanwhile, this fails.
            fs::remove_dir(&self.target).map_err(failed)?;
        }
        fs::rename(&self.aside, &self.target).map_err(failed)?;
        self.is_whole = true;
        Ok(())
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        if !self.is_whole {
            // What counts is why the export failed.
            let _ = fs::remove_dir_all(&self.aside);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_whole_or_not_there() {
        let root = std::env::temp_dir().join(format!("saelake-output-{}", std::process::id()));
        let target = root.join("out");
        let begun = Output::begin(&target).unwrap();
        fs::write(begun.folder().join("a"), "a").unwrap();
        drop(begun);
        assert_eq!(fs::read_dir(&root).unwrap().count(), 0);
        fs::create_dir(&target).unwrap();
        let begun = Output::begin(&target).unwrap();
        fs::write(begun.folder().join("a"), "a").unwrap();
        begun.end().unwrap();
        assert_eq!(fs::read_to_string(target.join("a")).unwrap(), "a");
        assert!(matches!(Output::begin(&target), Err(ExchangeError::Occupied { .. })));
        assert!(matches!(Output::begin(&target.join("a")), Err(ExchangeError::Occupied { .. })));
        assert_eq!(fs::read_dir(&root).unwrap().count(), 1);
        fs::remove_dir_all(root).unwrap();
    }
}
