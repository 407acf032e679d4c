//! Whether a disk holds what is to come.

use std::path::{Path, PathBuf};

use super::LakeError;

/// Bytes that are free where a lake is or will be.
///
/// # Errors
/// If no folder above it can be asked.
pub fn free_bytes(root: &Path) -> Result<u64, LakeError> {
    let whole = std::path::absolute(root).map_err(|error| LakeError::io(root, error))?;
    let folder: PathBuf = whole.ancestors().find(|folder| folder.exists()).unwrap_or(&whole).to_owned();
    let disk = rustix::fs::statvfs(&folder).map_err(|error| LakeError::io(&folder, error.into()))?;
    Ok(disk.f_bavail * disk.f_frsize)
}

/// Refuses a run of about `needed` bytes that the disk has no room for.
///
/// # Errors
/// [`LakeError::NoRoom`].
pub fn check_room(root: &Path, needed: u64) -> Result<u64, LakeError> {
    let free = free_bytes(root)?;
    if needed > free {
        return Err(LakeError::NoRoom { root: root.to_owned(), needed, free });
    }
    Ok(free)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{LakeError, check_room, free_bytes};

    #[test]
    fn the_disk_of_a_lake_that_is_not_there_yet_is_asked() {
        let folder = tempfile::tempdir().unwrap();
        let lake = folder.path().join("not").join("yet");
        assert!(free_bytes(&lake).unwrap() > 0);
        assert!(free_bytes(Path::new("neither-is-this")).unwrap() > 0);
        assert!(check_room(&lake, 1).is_ok());
        assert!(matches!(check_room(&lake, u64::MAX), Err(LakeError::NoRoom { needed: u64::MAX, .. })));
    }
}
