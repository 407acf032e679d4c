//! Where a lake is: a local folder or a folder of an object store. Paths in it are relative, with `/` between their parts.

use std::fs;
use std::future::Future;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use deltalake::logstore::{LogStoreRef, StorageConfig, default_logstore};
use deltalake::{DeltaTableBuilder, ensure_table_uri};
use object_store::path::Path as ObjectPath;
use object_store::prefix::PrefixStore;
use object_store::{ObjectStore, ObjectStoreExt as _};
use tokio::runtime::{Builder, Runtime};

use super::bucket::Bucket;
use super::layout::STAGING;
use super::scratch::Scratch;
use super::{LakeError, disk, objects};

/// Threads that wait for answers of an object store, and that read Delta logs.
const WAITING_THREADS: usize = 2;

/// Where a lake is. Copies are of the same place.
#[derive(Clone)]
pub(crate) struct Store(Arc<Inner>);

struct Inner {
    /// The folder, or the URL as if it were one: for messages.
    root: PathBuf,
    /// Where it is, if it is no local folder.
    bucket: Option<Bucket>,
    /// Where files are made that an object store gets, from the first one on.
    scratch: OnceLock<Scratch>,
    runtime: &'static Runtime,
}

/// A file of a lake.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Found {
    /// Relative to the lake.
    pub(crate) path: String,
    /// Its size.
    pub(crate) bytes: u64,
}

/// Whether a lake's place is a URL.
pub fn is_url(place: &Path) -> bool {
    place.to_str().is_some_and(|text| text.contains("://"))
}

/// Refuses a place that no lake can be at, before anything is done for it.
///
/// # Errors
/// If it is a URL that is no place of a lake, of a store that was not built in, or whose credentials are not in the
/// environment.
pub fn check_place(place: &Path) -> Result<(), LakeError> {
    if is_url(place) { Bucket::open(&place.to_string_lossy()).map(drop) } else { Ok(()) }
}

/// What waits for all places. It is never dropped: whoever still reads a log that nobody wants any more, since another
/// one could not be read, would panic.
fn runtime() -> std::io::Result<&'static Runtime> {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    if let Some(runtime) = RUNTIME.get() {
        return Ok(runtime);
    }
    let runtime = Builder::new_multi_thread().worker_threads(WAITING_THREADS).enable_all().build()?;
    Ok(RUNTIME.get_or_init(|| runtime))
}

impl Store {
    /// The place that a path or a URL names. Nothing is looked at yet.
    ///
    /// # Errors
    /// If the URL is not of a store that was built in, or its credentials are not in the environment.
    pub(crate) fn at(place: &Path) -> Result<Self, LakeError> {
        let bucket = if is_url(place) { Some(Bucket::open(&place.to_string_lossy())?) } else { None };
        let root = bucket.as_ref().map_or_else(|| place.to_owned(), |bucket| PathBuf::from(&bucket.url));
        let runtime = runtime().map_err(|error| LakeError::io(&root, error))?;
        Ok(Self(Arc::new(Inner { root, bucket, scratch: OnceLock::new(), runtime })))
    }

    /// The folder, or the URL.
    pub(crate) fn root(&self) -> &Path {
        &self.0.root
    }

    /// What a message calls the file at `path`.
    pub(crate) fn place(&self, path: &str) -> PathBuf {
        self.0.root.join(path)
    }

    /// Where the file at `path` is on this machine, if the lake is a local folder.
    pub(crate) fn local(&self, path: &str) -> Option<PathBuf> {
        self.0.bucket.is_none().then(|| self.place(path))
    }

    /// The object store, if the lake is in one.
    pub(super) fn objects(&self) -> Option<&Arc<dyn ObjectStore>> {
        self.0.bucket.as_ref().map(|bucket| &bucket.objects)
    }

    /// The object that is the file at `path`.
    pub(super) fn object(&self, path: &str) -> ObjectPath {
        let prefix = self.0.bucket.as_ref().map(|bucket| bucket.prefix.clone()).unwrap_or_default();
        path.split('/').filter(|part| !part.is_empty()).fold(prefix, ObjectPath::join)
    }

    /// Waits for a future. It must not be called from within one.
    pub(super) fn wait<F: Future>(&self, future: F) -> F::Output {
        self.0.runtime.block_on(future)
    }

    /// The whole file.
    pub(crate) fn read(&self, path: &str) -> Result<Bytes, LakeError> {
        let missing = || LakeError::io(&self.place(path), ErrorKind::NotFound.into());
        self.find(path)?.ok_or_else(missing)
    }

    /// The whole file, if it is there.
    pub(crate) fn find(&self, path: &str) -> Result<Option<Bytes>, LakeError> {
        let Some(objects) = self.objects() else { return disk::find(&self.place(path)) };
        let get = async { objects.get(&self.object(path)).await?.bytes().await };
        match self.wait(get) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(LakeError::store(&self.place(path), &error)),
        }
    }

    /// The size of the file.
    pub(crate) fn size(&self, path: &str) -> Result<u64, LakeError> {
        let place = self.place(path);
        match self.objects() {
            None => Ok(fs::metadata(&place).map_err(|error| LakeError::io(&place, error))?.len()),
            Some(objects) => {
                let about = self.wait(objects.head(&self.object(path)));
                Ok(about.map_err(|error| LakeError::store(&place, &error))?.size)
            }
        }
    }

    /// Whether anything is in a folder.
    pub(crate) fn holds(&self, folder: &str) -> Result<bool, LakeError> {
        match self.objects() {
            None => Ok(self.place(folder).is_dir()),
            Some(_) => objects::holds(self, folder),
        }
    }

    /// The files below a folder in the order of their paths; none if there is no such folder. What is in logs below it
    /// is left out.
    pub(crate) fn list(&self, folder: &str) -> Result<Vec<Found>, LakeError> {
        match self.objects() {
            None => disk::list(&self.0.root, folder),
            Some(_) => objects::list(self, folder),
        }
    }

    /// The names of what is in the lake's folder.
    pub(crate) fn names(&self) -> Result<Vec<String>, LakeError> {
        match self.objects() {
            None => disk::names(&self.0.root),
            Some(_) => objects::names(self),
        }
    }

    /// Puts a file of [`Store::staging`] in its place, which another may have. When it returns, the file is there to stay.
    pub(crate) fn put(&self, path: &str, staged: &Path) -> Result<(), LakeError> {
        match self.objects() {
            None => disk::put(&self.place(path), staged)?.iter().try_for_each(|folder| disk::sync(folder)),
            Some(_) => objects::upload(self, path, staged, false),
        }
    }

    /// Puts a file of [`Store::staging`] in its place, which no other has; the folders that must be waited for with
    /// [`disk::sync`], since they list what is new.
    pub(super) fn put_new(&self, path: &str, staged: &Path) -> Result<Vec<PathBuf>, LakeError> {
        match self.objects() {
            None => disk::put(&self.place(path), staged),
            Some(_) => objects::upload(self, path, staged, true).map(|()| Vec::new()),
        }
    }

    /// Makes a file that nobody has made yet; false if somebody has. When it returns, the file is there to stay, and
    /// nobody ever sees a part of it. `staged` is the same bytes in a file of [`Store::staging`], where the lake is local.
    pub(super) fn create(&self, path: &str, bytes: &Bytes, staged: Option<&Path>) -> Result<bool, LakeError> {
        match (self.objects(), staged) {
            (Some(_), _) => objects::create(self, path, bytes),
            (None, Some(staged)) => disk::create(&self.place(path), staged),
            (None, None) => {
                let staged = self.staging()?.join(path.replace('/', "-"));
                disk::write(&staged, bytes)?;
                disk::create(&self.place(path), &staged)
            }
        }
    }

    /// Deletes a file; it may be gone already.
    pub(crate) fn delete(&self, path: &str) -> Result<(), LakeError> {
        let place = self.place(path);
        match self.objects() {
            None => disk::delete(&place),
            Some(objects) => match self.wait(objects.delete(&self.object(path))) {
                Err(object_store::Error::NotFound { .. }) | Ok(()) => Ok(()),
                Err(error) => Err(LakeError::store(&place, &error)),
            },
        }
    }

    /// The same, given up after a while: then it may be deleted or not.
    ///
    /// # Errors
    /// [`LakeError::LockLost`] if it took too long.
    pub(super) fn delete_within(&self, path: &str, time: Duration) -> Result<(), LakeError> {
        let Some(objects) = self.objects() else { return self.delete(path) };
        let object = self.object(path);
        let deleted = self.wait(async { tokio::time::timeout(time, objects.delete(&object)).await });
        match deleted {
            Ok(Err(object_store::Error::NotFound { .. }) | Ok(())) => Ok(()),
            Ok(Err(error)) => Err(LakeError::store(&self.place(path), &error)),
            Err(_) => Err(LakeError::LockLost { path: self.root().to_owned() }),
        }
    }

    /// The local folder where files are made before they are put in their places.
    pub(crate) fn staging(&self) -> Result<PathBuf, LakeError> {
        if self.0.bucket.is_none() {
            let folder = self.place(STAGING);
            fs::create_dir_all(&folder).map_err(|error| LakeError::io(&folder, error))?;
            return Ok(folder);
        }
        if self.0.scratch.get().is_none() {
            // Of two threads that make one at a time, the other's is kept and this one removed.
            let _ = self.0.scratch.set(Scratch::new()?);
        }
        Ok(self.0.scratch.get().map(|scratch| scratch.folder().to_owned()).unwrap_or_default())
    }

    /// The Delta log of the table in the folder `table`.
    pub(super) fn log_store(&self, table: &str) -> Result<LogStoreRef, LakeError> {
        let place = self.place(table);
        let location = place.to_str().ok_or_else(|| LakeError::NotUtf8 { path: place.clone() })?;
        let Some(bucket) = &self.0.bucket else {
            let storage = || DeltaTableBuilder::from_url(ensure_table_uri(location)?)?.build_storage();
            return storage().map_err(|error| LakeError::log(&place, error));
        };
        let of_table: Arc<dyn ObjectStore> =
            Arc::new(PrefixStore::new(Arc::clone(&bucket.objects), self.object(table)));
        let url = format!("{location}/");
        let url = url.parse().map_err(|_| LakeError::NotUtf8 { path: place.clone() })?;
        Ok(default_logstore(of_table, Arc::clone(&bucket.objects), &url, &StorageConfig::default()))
    }
}

#[cfg(test)]
impl Store {
    /// A place in the memory of a test, which is an object store as any other.
    pub(super) fn in_memory() -> Self {
        let bucket = Bucket {
            objects: Arc::new(object_store::memory::InMemory::new()),
            url: "s3://memory/lake".to_owned(),
            prefix: "lake".into(),
        };
        let runtime = runtime().unwrap();
        let root = PathBuf::from(&bucket.url);
        Self(Arc::new(Inner { root, bucket: Some(bucket), scratch: OnceLock::new(), runtime }))
    }
}
