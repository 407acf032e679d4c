//! Whether a disk holds what is to come.

use std::path::{Path, PathBuf};

use super::LakeError;
use super::store::is_url;

/// Bytes that are free where a lake is or will be; none if it is in an object store, which is never full.
///
/// # Errors
/// If no folder above it can be asked.
pub fn free_bytes(root: &Path) -> Result<Option<u64>, LakeError> {
    if is_url(root) {
        return Ok(None);
    }
    let whole = std::path::absolute(root).map_err(|error| LakeError::io(root, error))?;
    let folder: PathBuf = whole.ancestors().find(|folder| folder.exists()).unwrap_or(&whole).to_owned();
    let disk = rustix::fs::statvfs(&folder).map_err(|error| LakeError::io(&folder, error.into()))?;
    Ok(Some(disk.f_bavail * disk.f_frsize))
}

/// Refuses a run of about `needed` bytes that the disk has no room for.
///
/// # Errors
/// [`LakeError::NoRoom`].
pub fn check_room(root: &Path, needed: u64) -> Result<Option<u64>, LakeError> {
    match free_bytes(root)? {
        Some(free) if needed > free => Err(LakeError::NoRoom { root: root.to_owned(), needed, free }),
        free => Ok(free),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{LakeError, check_room, free_bytes};

    #[test]
    fn the_disk_of_a_lake_that_is_not_there_yet_is_asked() {
        let folder = tempfile::tempdir().unwrap();
        let lake = folder.path().join("not").join("yet");
        assert!(free_bytes(&lake).unwrap() > Some(0));
        assert!(free_bytes(Path::new("neither-is-this")).unwrap() > Some(0));
        assert_eq!(check_room(Path::new("s3://bucket/lake"), u64::MAX).unwrap(), None);
        assert!(check_room(&lake, 1).is_ok());
        assert!(matches!(check_room(&lake, u64::MAX), Err(LakeError::NoRoom { needed: u64::MAX, .. })));
    }
}
