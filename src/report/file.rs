//! Files that are there whole or not at all.

use std::fs::Permissions;
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use tempfile::{Builder, NamedTempFile};

use super::ReportError;

/// What a new file allows, less what the user's mask forbids.
const MODE: u32 = 0o666;

/// Writes `bytes` beside `path` first, so that a failure leaves what was there before.
pub(super) fn write(path: &Path, bytes: &[u8]) -> Result<(), ReportError> {
    let write = || {
        let mut aside = aside(path)?;
        aside.write_all(bytes)?;
        aside.persist(path).map_err(|error| error.error).map(drop)
    };
    write().map_err(|source| ReportError::Unwritable { path: path.to_owned(), source })
}

/// Whether a file can be written at `path`, found out before much is done for it.
pub(super) fn check(path: &Path) -> Result<(), ReportError> {
    aside(path).map(drop).map_err(|source| ReportError::Unwritable { path: path.to_owned(), source })
}

/// An empty file in the same folder, gone when it is dropped.
fn aside(path: &Path) -> io::Result<NamedTempFile> {
    let beside = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    Builder::new()
        .prefix(&format!(".{name}."))
        .suffix(".part")
        .permissions(Permissions::from_mode(MODE))
        .tempfile_in(beside.unwrap_or_else(|| Path::new(".")))
}
