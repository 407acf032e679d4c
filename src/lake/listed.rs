//! Which files a lake is made of, for readers that do not read its logs.

use std::collections::BTreeMap;
use std::path::Path;

use super::at_once::at_once;
use super::log::Log;
use super::open::place_of_lake;
use super::store::Store;
use super::{Lake, LakeError};

/// How often the logs are read again because a file went away that they had named.
const MOST_READINGS: usize = 3;

/// The files of every table by its name, relative to the table's folder. Each is there, and has the size that its log
/// says.
///
/// # Errors
/// [`LakeError::Damaged`] if one is not; if a log cannot be read.
pub fn listed(place: &Path) -> Result<BTreeMap<&'static str, Vec<String>>, LakeError> {
    let store = place_of_lake(place)?;
    let mut reading = 1;
    loop {
        let lake = Lake::open_bare(&store)?;
        let logs = lake.logs.iter().chain(&lake.causal).collect();
        match at_once(logs, |log| files(&store, log)) {
            Ok(listed) => return Ok(listed.into_iter().collect()),
            // Somebody may be compacting the lake.
            Err(LakeError::Damaged { .. }) if reading < MOST_READINGS => reading += 1,
            Err(error) => return Err(error),
        }
    }
}

fn files(store: &Store, log: &Log) -> Result<(&'static str, Vec<String>), LakeError> {
    let sizes: BTreeMap<String, u64> =
        store.list(log.table.name)?.into_iter().map(|file| (file.path, file.bytes)).collect();
    for file in log.files.values() {
        let path = log.path(&file.path);
        let what = match sizes.get(&path) {
            Some(bytes) if *bytes == file.bytes => continue,
            Some(bytes) => format!("it has {bytes} bytes, and its log says {}", file.bytes),
            None => "it is in the log of its table, and it is not there".to_owned(),
        };
        return Err(LakeError::Damaged { path: store.place(&path), what });
    }
    Ok((log.table.name, log.files.keys().cloned().collect()))
}
