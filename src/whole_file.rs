//! Files and folders that are there whole or not at all: made beside their place, under a name that nobody else has.

use std::fs::Permissions;
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use tempfile::{Builder, NamedTempFile, TempDir};

/// What a new file allows, less what the user's mask forbids.
const MODE: u32 = 0o666;

/// How the name of what is on its way ends.
const SUFFIX: &str = ".part";

/// The folder that `path` is in.
pub(crate) fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."))
}

/// An empty file beside `path`, gone when it is dropped.
pub(crate) fn aside(path: &Path) -> io::Result<NamedTempFile> {
    let prefix = prefix(path);
    let mut named = Builder::new();
    named.prefix(&prefix).suffix(SUFFIX).permissions(Permissions::from_mode(MODE));
    named.tempfile_in(folder_of(path))
}

/// An empty folder beside `path`, gone with what is in it when it is dropped.
pub(crate) fn aside_folder(path: &Path) -> io::Result<TempDir> {
    Builder::new().prefix(&prefix(path)).suffix(SUFFIX).tempdir_in(folder_of(path))
}

/// Writes the file; a failure leaves what was there before.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut aside = aside(path)?;
    aside.write_all(bytes)?;
    aside.persist(path).map_err(|error| error.error).map(drop)
}

fn prefix(path: &Path) -> String {
    format!(".{}.", path.file_name().unwrap_or_default().to_string_lossy())
}
