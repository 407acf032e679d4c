//! Files that are there whole or not at all.

use std::fs;
use std::path::{Path, PathBuf};

use super::ReportError;

/// Writes `bytes` beside `path` first, so that a failure leaves what was there before.
pub(super) fn write(path: &Path, bytes: &[u8]) -> Result<(), ReportError> {
    let unwritable = |source| ReportError::Unwritable { path: path.to_owned(), source };
    let aside = aside(path);
    let written = fs::write(&aside, bytes).and_then(|()| fs::rename(&aside, path));
    if written.is_err() {
        // It may not even have been made; what counts is why the writing failed.
        let _ = fs::remove_file(&aside);
    }
    written.map_err(unwritable)
}

/// Whether a file can be written at `path`, found out before much is done for it.
pub(super) fn check(path: &Path) -> Result<(), ReportError> {
    let aside = aside(path);
    let unwritable = |source| ReportError::Unwritable { path: path.to_owned(), source };
    fs::write(&aside, []).and_then(|()| fs::remove_file(&aside)).map_err(unwritable)
}

/// A name in the same folder that no other process of this program uses.
fn aside(path: &Path) -> PathBuf {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    path.with_file_name(format!(".{name}.{}.part", std::process::id()))
}
