//! Files of a lake in an object store, where a file is seen whole or not at all.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use bytes::Bytes;
use futures::TryStreamExt as _;
use object_store::{
    Error, GetOptions, GetRange, ObjectStore, ObjectStoreExt as _, PutMode, PutOptions, WriteMultipart,
};

use super::LakeError;
use super::layout::LOG;
use super::store::{Found, Store};

/// Larger files are sent in parts, several at a time.
const LARGE_BYTES: u64 = 64 << 20;

/// The size of a part.
const PART_BYTES: usize = 16 << 20;

/// Parts on their way at a time.
const PARTS_AT_ONCE: usize = 4;

/// Whether anything is in a folder.
pub(super) fn holds(store: &Store, folder: &str) -> Result<bool, LakeError> {
    let Some(objects) = store.objects() else { return Ok(false) };
    let prefix = store.object(folder);
    let mut list = objects.list(Some(&prefix));
    let first = store.wait(list.try_next());
    Ok(first.map_err(|error| LakeError::store(&store.place(folder), &error))?.is_some())
}

/// The files below a folder, those in logs left out.
pub(super) fn list(store: &Store, folder: &str) -> Result<Vec<Found>, LakeError> {
    let Some(objects) = store.objects() else { return Ok(Vec::new()) };
    let (root, prefix) = (store.object(""), store.object(folder));
    let listed = store.wait(objects.list(Some(&prefix)).try_collect::<Vec<_>>());
    let listed = listed.map_err(|error| LakeError::store(&store.place(folder), &error))?;
    let below = prefix.parts_count();
    let found = listed.iter().filter_map(|about| {
        let is_in_log = about.location.parts().skip(below).any(|part| part.as_ref() == LOG);
        let path =
            about.location.prefix_match(&root)?.map(|part| part.as_ref().to_owned()).collect::<Vec<_>>();
        (!is_in_log).then(|| Found { path: path.join("/"), bytes: about.size })
    });
    let mut found: Vec<Found> = found.collect();
    found.sort();
    Ok(found)
}

/// The names of what is in the lake's folder.
pub(super) fn names(store: &Store) -> Result<Vec<String>, LakeError> {
    let Some(objects) = store.objects() else { return Ok(Vec::new()) };
    let root = store.object("");
    let listed = store.wait(objects.list_with_delimiter(Some(&root)));
    let listed = listed.map_err(|error| LakeError::store(store.root(), &error))?;
    let paths = listed.common_prefixes.iter().chain(listed.objects.iter().map(|about| &about.location));
    Ok(paths.filter_map(|path| path.filename().map(str::to_owned)).collect())
}

/// The last `length` bytes of an object at most, and the size of all of it.
pub(super) fn tail(store: &Store, path: &str, length: u64) -> Result<(Bytes, u64), LakeError> {
    let missing = || LakeError::io(&store.place(path), std::io::ErrorKind::NotFound.into());
    let objects = store.objects().ok_or_else(missing)?;
    let options = GetOptions { range: Some(GetRange::Suffix(length)), ..GetOptions::default() };
    let get = async {
        let found = objects.get_opts(&store.object(path), options).await?;
        let size = found.meta.size;
        Ok::<_, Error>((found.bytes().await?, size))
    };
    store.wait(get).map_err(|error| LakeError::store(&store.place(path), &error))
}

/// Makes an object that is not there yet; false if it is. An answer that was lost on its way makes the client ask twice,
/// so an object that holds these very bytes is its own.
pub(super) fn create(store: &Store, path: &str, bytes: &Bytes) -> Result<bool, LakeError> {
    let Some(objects) = store.objects() else { return Ok(false) };
    let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
    match store.wait(objects.put_opts(&store.object(path), bytes.clone().into(), options)) {
        Ok(_) => Ok(true),
        Err(Error::AlreadyExists { .. }) => Ok(store.find(path)?.is_some_and(|there| there == bytes)),
        Err(error) => Err(LakeError::store(&store.place(path), &error)),
    }
}

/// Sends a local file to its place and deletes it here.
///
/// # Errors
/// [`LakeError::Occupied`] of a new file if an object is there. The parts of a large one are put together whatever is
/// there: no store makes a condition of that.
pub(super) fn upload(store: &Store, path: &str, staged: &Path, is_new: bool) -> Result<(), LakeError> {
    let Some(objects) = store.objects() else { return Ok(()) };
    let failed = |error: std::io::Error| LakeError::io(staged, error);
    let mut file = File::open(staged).map_err(failed)?;
    let size = file.metadata().map_err(failed)?.len();
    if size > LARGE_BYTES {
        upload_in_parts(store, objects.as_ref(), path, (file, staged))?;
        let arrived = store.size(path)?;
        if arrived != size {
            return Err(LakeError::BytesLost { path: store.place(path), sent: size, found: arrived });
        }
    } else {
        let mut bytes = Vec::with_capacity(size as usize);
        file.read_to_end(&mut bytes).map_err(failed)?;
        let bytes = Bytes::from(bytes);
        if !is_new {
            let put = store.wait(objects.put(&store.object(path), bytes.into()));
            put.map_err(|error| LakeError::store(&store.place(path), &error))?;
        } else if !create(store, path, &bytes)? {
            return Err(LakeError::Occupied { path: store.place(path) });
        }
    }
    super::disk::delete(staged)
}

fn upload_in_parts(
    store: &Store,
    objects: &dyn ObjectStore,
    path: &str,
    (mut file, staged): (File, &Path),
) -> Result<(), LakeError> {
    let failed = |error: Error| LakeError::store(&store.place(path), &error);
    let upload = store.wait(objects.put_multipart(&store.object(path))).map_err(failed)?;
    // Parts are sent by tasks of the runtime.
    let mut upload = store.wait(async { WriteMultipart::new_with_chunk_size(upload, PART_BYTES) });
    let mut part = vec![0; PART_BYTES];
    loop {
        let read = match file.read(&mut part) {
            Ok(read) => read,
            Err(error) => {
                // The first error is what matters; the store forgets what was begun.
                let _ = store.wait(upload.abort());
                return Err(LakeError::io(staged, error));
            }
        };
        if read == 0 {
            break;
        }
        let sent = async {
            upload.wait_for_capacity(PARTS_AT_ONCE).await?;
            upload.write(&part[..read]);
            Ok(())
        };
        store.wait(sent).map_err(failed)?;
    }
    store.wait(upload.finish()).map_err(failed)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_files_arrive_whole_and_new_ones_take_no_place() {
        let store = Store::in_memory();
        let staged = store.staging().unwrap().join("staged");
        // A part more than what is sent at once, and a rest.
        let bytes: Vec<u8> =
            (0..LARGE_BYTES + PART_BYTES as u64 + 12_345).map(|at| (at % 251) as u8).collect();
        std::fs::write(&staged, &bytes).unwrap();
        upload(&store, "tokens/large", &staged, true).unwrap();
        assert!(store.read("tokens/large").unwrap() == bytes && !staged.exists());
        for (text, is_new) in [("one", true), ("one", true), ("two", false)] {
            std::fs::write(&staged, text).unwrap();
            upload(&store, "tokens/small", &staged, is_new).unwrap();
            assert_eq!(store.read("tokens/small").unwrap(), text);
        }
        std::fs::write(&staged, "three").unwrap();
        let error = upload(&store, "tokens/small", &staged, true).unwrap_err();
        assert!(matches!(&error, LakeError::Occupied { path } if path.ends_with("tokens/small")), "{error}");
        assert_eq!(store.read("tokens/small").unwrap(), "two");
        let paths = |folder: &str| {
            store.list(folder).unwrap().into_iter().map(|found| found.path).collect::<Vec<_>>()
        };
        create(&store, "tokens/_delta_log/entry", &Bytes::from("entry")).unwrap();
        assert_eq!(paths("tokens"), ["tokens/large", "tokens/small"]);
        assert_eq!(paths("tokens/_delta_log"), ["tokens/_delta_log/entry"]);
        assert_eq!((paths("token"), store.names().unwrap()), (vec![], vec!["tokens".to_owned()]));
    }
}
