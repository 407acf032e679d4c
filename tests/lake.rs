//! Tests of the lake: what is appended is what every reader finds, and nothing else ever is.

mod analysis;
mod append;
mod checksum;
mod crash;
mod cut_short;
mod documents;
mod engines;
mod faults;
mod footers;
mod formats;
mod full;
mod killed;
mod maintenance;
mod maintenance_soak;
mod overtaken;
mod race;
mod readers;
mod refusals;
mod rollup;
mod rounding;
mod s3;
mod sizes;
mod spark;
mod synthetic;

use std::fs;
use std::path::Path;

/// A folder that a lake can be made in.
fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

/// Every data file under a lake with its bytes, by path relative to the lake.
fn data_files(root: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
            let path = entry.path();
            if path.is_dir() && path.file_name().unwrap() != "_delta_log" {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "parquet") {
                let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
                found.push((name, fs::read(path).unwrap()));
            }
        }
    }
    found.sort();
    found
}

/// Copies a lake as it lies on disk.
pub(crate) fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// What is enough to have every table.
const ONE_LAYER: synthetic::Shape = synthetic::Shape { layers: &[8], heads: 9, ..synthetic::SMALL };

/// Makes a small lake of two batches.
pub(crate) fn make_small(root: &Path) {
    let mut lake = saelake::lake::Lake::create_or_open(root).unwrap();
    lake.append(synthetic::first_batch(&[5, 3], ONE_LAYER)).unwrap();
    lake.append(synthetic::batch(&[-9, 4], ONE_LAYER)).unwrap();
}

/// Appends a batch that such a lake does not have.
pub(crate) fn append_small(
    lake: &mut saelake::lake::Lake,
) -> Result<saelake::lake::Receipt, saelake::lake::LakeError> {
    lake.append(synthetic::batch(&[77], ONE_LAYER))
}
