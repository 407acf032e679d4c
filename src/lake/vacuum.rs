//! Deleting what is in no log.

use std::fs;
use std::time::{Duration, SystemTime};

use object_store::ObjectStoreExt as _;

use super::layout::QUARANTINE;
use super::store::{Found, Store};
use super::{Lake, LakeError};

/// What is to be deleted.
#[derive(Clone, Copy, Debug)]
pub struct Vacuum {
    /// Only what has not changed for this long.
    pub older_than: Duration,
    /// Also what was set aside by a repair.
    pub quarantine: bool,
}

/// What was deleted, or would be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Vacuumed {
    /// The files, relative to the lake.
    pub files: Vec<String>,
    /// Their bytes.
    pub bytes: u64,
}

impl Lake {
    /// Says which files are in no log, without taking the writers' lock; a writer's files on their way are among them.
    ///
    /// # Errors
    /// If something cannot be listed.
    pub fn unlisted(&self, vacuum: Vacuum) -> Result<Vacuumed, LakeError> {
        let mut found = Vacuumed::default();
        for log in self.logs.iter().chain(&self.causal) {
            for file in self.store.list(log.table.name)? {
                let of_table = file.path.strip_prefix(log.table.name).and_then(|path| path.strip_prefix('/'));
                let is_listed = of_table.is_some_and(|path| log.files.contains_key(path));
                // Other programs keep things of their own under such names.
                let is_hidden = of_table.is_some_and(|path| path.starts_with(['.', '_']));
                if !is_listed && !is_hidden && age(&self.store, &file.path)? >= vacuum.older_than {
                    found.take(file);
                }
            }
        }
        if vacuum.quarantine {
            self.store.list(QUARANTINE)?.into_iter().for_each(|file| found.take(file));
        }
        Ok(found)
    }

    /// Finishes what writers have left, empties the staging folder, and deletes files that are in no log.
    ///
    /// Waits while another process writes to the lake.
    ///
    /// # Errors
    /// If something cannot be listed or deleted.
    pub fn vacuum(&mut self, vacuum: Vacuum) -> Result<Vacuumed, LakeError> {
        // What other writers left is looked for, whatever they said.
        self.is_sound = false;
        let lock = self.begin_writing()?;
        let done = self.unlisted(vacuum).and_then(|found| {
            found.files.iter().try_for_each(|path| lock.delete(&self.store, path))?;
            Ok(found)
        });
        self.end_writing(lock, done)
    }
}

impl Vacuumed {
    fn take(&mut self, file: Found) {
        self.bytes += file.bytes;
        self.files.push(file.path);
    }
}

/// How long ago a file was changed; no time at all if a clock says that it is yet to be.
fn age(store: &Store, path: &str) -> Result<Duration, LakeError> {
    let place = store.place(path);
    let changed = match store.objects() {
        None => fs::metadata(&place)
            .and_then(|about| about.modified())
            .map_err(|error| LakeError::io(&place, error))?,
        Some(objects) => {
            let about = store.wait(objects.head(&store.object(path)));
            SystemTime::from(about.map_err(|error| LakeError::store(&place, &error))?.last_modified)
        }
    };
    Ok(SystemTime::now().duration_since(changed).unwrap_or_default())
}
