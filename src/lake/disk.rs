//! Files of a local lake: written so that a crash leaves them whole or not at all.

use std::fs::{self, File};
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::LakeError;
use super::layout::LOG;
use super::store::Found;

/// The whole file, if it is there.
pub(super) fn find(place: &Path) -> Result<Option<Bytes>, LakeError> {
    match fs::read(place) {
        Ok(bytes) => Ok(Some(bytes.into())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(LakeError::io(place, error)),
    }
}

/// Waits until the disk has a file, or what a folder lists.
pub(super) fn sync(place: &Path) -> Result<(), LakeError> {
    File::open(place).and_then(|file| file.sync_all()).map_err(|error| LakeError::io(place, error))
}

/// Writes a new file and waits until the disk has it.
pub(super) fn write(place: &Path, bytes: &[u8]) -> Result<(), LakeError> {
    let write = || {
        let mut file = File::create(place)?;
        file.write_all(bytes)?;
        file.sync_all()
    };
    write().map_err(|error| LakeError::io(place, error))
}

/// Moves a file to its place; the folders that list what is new.
pub(super) fn put(place: &Path, staged: &Path) -> Result<Vec<PathBuf>, LakeError> {
    let folder = place.parent().unwrap_or(place);
    let mut folders = vec![folder.to_owned()];
    if !folder.is_dir() {
        let is_new = |above: &&Path| !above.is_dir();
        folders.extend(folder.ancestors().take_while(is_new).filter_map(Path::parent).map(Path::to_owned));
        fs::create_dir_all(folder).map_err(|error| LakeError::io(folder, error))?;
    }
    fs::rename(staged, place).map_err(|error| LakeError::io(place, error))?;
    Ok(folders)
}

/// Gives a file, which the disk has, its name if no other has it, and waits for the folder; false if another has it.
pub(super) fn create(place: &Path, staged: &Path) -> Result<bool, LakeError> {
    let linked = fs::hard_link(staged, place);
    let is_new = match linked {
        Ok(()) => true,
        Err(error) if error.kind() == ErrorKind::AlreadyExists => false,
        Err(error) => return Err(LakeError::io(place, error)),
    };
    delete(staged)?;
    if is_new {
        sync(place.parent().unwrap_or(place))?;
    }
    Ok(is_new)
}

/// Deletes a file; it may be gone already.
pub(super) fn delete(place: &Path) -> Result<(), LakeError> {
    match fs::remove_file(place) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(LakeError::io(place, error)),
        _ => Ok(()),
    }
}

/// The names of what is in a folder.
pub(super) fn names(folder: &Path) -> Result<Vec<String>, LakeError> {
    let entries = fs::read_dir(folder).map_err(|error| LakeError::io(folder, error))?;
    let name = |entry: std::io::Result<fs::DirEntry>| {
        let entry = entry.map_err(|error| LakeError::io(folder, error))?;
        Ok(entry.file_name().to_string_lossy().into_owned())
    };
    entries.map(name).collect()
}

/// The files below a folder of a lake, those in logs left out.
pub(super) fn list(root: &Path, folder: &str) -> Result<Vec<Found>, LakeError> {
    let mut found = Vec::new();
    let mut folders = vec![root.join(folder)];
    while let Some(folder) = folders.pop() {
        let entries = match fs::read_dir(&folder) {
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            entries => entries.map_err(|error| LakeError::io(&folder, error))?,
        };
        for entry in entries {
            let entry = entry.map_err(|error| LakeError::io(&folder, error))?;
            let (name, place) = (entry.file_name(), entry.path());
            let kind = entry.file_type().map_err(|error| LakeError::io(&place, error))?;
            if kind.is_dir() && name != LOG {
                folders.push(place);
            } else if !kind.is_dir() {
                let bytes = entry.metadata().map_err(|error| LakeError::io(&place, error))?.len();
                let path = place.strip_prefix(root).unwrap_or(&place).to_string_lossy().into_owned();
                found.push(Found { path, bytes });
            }
        }
    }
    found.sort();
    Ok(found)
}
