//! Where files go that are no longer a table's.

use std::fs;

use super::layout::{LOG, QUARANTINE};
use super::lock::Held;
use super::store::Store;
use super::{LakeError, disk};

/// What becomes of files that were taken out of a table.
pub(super) enum Gone {
    /// They are deleted.
    Deleted,
    /// They are moved to a folder of this number, outside of the tables.
    Kept(u64),
}

impl Gone {
    /// A folder that holds nothing yet.
    pub(super) fn to_quarantine(store: &Store) -> Result<Self, LakeError> {
        let found = store.list(QUARANTINE)?;
        let ordinal = |path: &str| path.split('/').nth(1)?.parse::<u64>().ok();
        let last = found.iter().filter_map(|file| ordinal(&file.path)).max();
        Ok(Self::Kept(last.map_or(1, |last| last + 1)))
    }

    /// Takes a file away that no log names any more; it may be gone already.
    pub(super) fn take(&self, lock: &Held, store: &Store, path: &str) -> Result<(), LakeError> {
        let Self::Kept(ordinal) = self else { return lock.delete(store, path) };
        // No reader is to take it for a table.
        let kept = format!("{QUARANTINE}/{ordinal}/{}", path.replace(LOG, "log"));
        let (place, target) = (store.place(path), store.place(&kept));
        let Some(objects) = store.objects() else {
            let folder = target.parent().unwrap_or(&target);
            fs::create_dir_all(folder).map_err(|error| LakeError::io(folder, error))?;
            return match fs::rename(&place, &target) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    Err(LakeError::io(&place, error))
                }
                _ => {
                    disk::sync(folder)?;
                    disk::sync(place.parent().unwrap_or(&place))
                }
            };
        };
        if let Some(bytes) = store.find(path)? {
            use object_store::ObjectStoreExt as _;
            let put = store.wait(objects.put(&store.object(&kept), bytes.into()));
            put.map_err(|error| LakeError::store(&target, &error))?;
        }
        lock.delete(store, path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_set_aside_in_a_bucket_is_kept() {
        let store = Store::in_memory();
        let lock = Held::take(&store).unwrap();
        for number in 1..=2 {
            store.create("tokens/_delta_log/7.json", &"torn".into(), None).unwrap();
            Gone::to_quarantine(&store).unwrap().take(&lock, &store, "tokens/_delta_log/7.json").unwrap();
            assert_eq!(store.find("tokens/_delta_log/7.json").unwrap(), None);
            let kept = store.read(&format!("_quarantine/{number}/tokens/log/7.json")).unwrap();
            assert_eq!(kept, "torn");
        }
        Gone::Deleted.take(&lock, &store, "_quarantine/2/tokens/log/7.json").unwrap();
        assert_eq!(store.list(QUARANTINE).unwrap().len(), 1);
    }
}
