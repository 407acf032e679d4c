//! Files that are there whole or not at all.

use std::io;
use std::path::Path;

use super::ReportError;
use crate::whole_file;

/// Writes `bytes` beside `path` first, so that a failure leaves what was there before.
pub(super) fn write(path: &Path, bytes: &[u8]) -> Result<(), ReportError> {
    whole_file::write(path, bytes).map_err(|source| unwritable(path, source))
}

/// Whether a file can be written at `path`, found out before much is done for it.
pub(super) fn check(path: &Path) -> Result<(), ReportError> {
    whole_file::aside(path).map(drop).map_err(|source| unwritable(path, source))
}

fn unwritable(path: &Path, source: io::Error) -> ReportError {
    ReportError::Unwritable { path: path.to_owned(), source }
}
