//! The writers' lock: whoever holds it is the only one that writes to a lake.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::path::PathBuf;

use super::layout::LOCK;
use super::lease::Lease;
use super::store::Store;
use super::{LakeError, disk};

/// What the last holder left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Left {
    /// Nothing that belongs to no game.
    Clean,
    /// Perhaps such things: it ended before it had cleared away.
    Dirty,
    /// The same, and it may still be running: its lease was over. The number is that of the takeover.
    Running(i64),
}

/// The lock, until it is dropped.
pub(super) struct Held {
    lock: Lock,
    pub(super) left: Left,
}

enum Lock {
    /// Locked until it is closed or its process dies. What is in it says that its holder has not ended well.
    File(File),
    Lease(Lease),
}

impl Held {
    /// Waits for the lock.
    pub(super) fn take(store: &Store) -> Result<Self, LakeError> {
        if store.objects().is_some() {
            let (lease, left) = Lease::take(store)?;
            return Ok(Self { lock: Lock::Lease(lease), left });
        }
        let (mut file, path) = open(store)?;
        let failed = |error| LakeError::io(&path, error);
        file.lock().map_err(failed)?;
        let mut said = String::new();
        file.read_to_string(&mut said).map_err(failed)?;
        if said.is_empty() {
            file.write_all(b"writing\n").map_err(failed)?;
        }
        let left = if said.is_empty() { Left::Clean } else { Left::Dirty };
        Ok(Self { lock: Lock::File(file), left })
    }

    /// Sees to it that the lock can be taken when it is needed.
    pub(super) fn prepare(store: &Store) -> Result<(), LakeError> {
        if store.objects().is_some() { Lease::prepare(store) } else { open(store).map(drop) }
    }

    /// Refuses to go on after somebody has taken the lock over.
    pub(super) fn check(&self) -> Result<(), LakeError> {
        match &self.lock {
            Lock::File(_) => Ok(()),
            Lock::Lease(lease) => lease.check(),
        }
    }

    /// Deletes a file of the lake; it may be gone already. In a bucket a deletion that comes late may hit what the next
    /// holder has made under the same name, so that one is not begun, nor tried again, near the end of a lease.
    pub(super) fn delete(&self, store: &Store, path: &str) -> Result<(), LakeError> {
        match &self.lock {
            Lock::File(_) => store.delete(path),
            Lock::Lease(lease) => store.delete_within(path, lease.safely()?),
        }
    }

    /// Gives the lock back, and says whether the lake holds nothing that belongs to no game. What is committed stays if
    /// that fails: the system or the next writer takes the lock, and clears away what there may be.
    pub(super) fn end(self, is_clean: bool) {
        match self.lock {
            Lock::File(file) if is_clean => drop(file.set_len(0)),
            Lock::File(_) => {}
            Lock::Lease(lease) => lease.end(is_clean),
        }
    }
}

/// The file that a writer of a local lake locks. It must not be emptied by who does not have the lock yet.
fn open(store: &Store) -> Result<(File, PathBuf), LakeError> {
    let path = store.staging()?.join(LOCK);
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
    let file = file.map_err(|error| LakeError::io(&path, error))?;
    Ok((file, path))
}

/// Removes the files in the folder for files on their way, the lock left out.
pub(super) fn clear_staging(store: &Store) -> Result<(), LakeError> {
    let folder = store.staging()?;
    for name in disk::names(&folder)?.into_iter().filter(|name| name != LOCK) {
        let path = folder.join(name);
        if !path.is_dir() {
            disk::delete(&path)?;
        }
    }
    Ok(())
}
