//! Commits that others made while a writer had the lock, and entries of logs that were cut off.

use std::fs;
use std::path::Path;

use saelake::lake::{Lake, LakeError, Stage};

use super::checksum::Expected;
use super::synthetic::{SMALL, Shape, batch, first_batch};
use super::{data_files, folder};

const SHAPE: Shape = Shape { layers: &[8], ..SMALL };

/// The entries of the log of a table, by version.
fn entries(root: &Path, table: &str) -> Vec<std::path::PathBuf> {
    let log = root.join(table).join("_delta_log");
    let paths = fs::read_dir(log).unwrap().map(|entry| entry.unwrap().path());
    let mut entries: Vec<_> =
        paths.filter(|path| path.extension().is_some_and(|end| end == "json")).collect();
    entries.sort();
    entries
}

fn next(root: &Path, table: &str) -> std::path::PathBuf {
    let entries = entries(root, table);
    entries[0].with_file_name(format!("{:020}.json", entries.len()))
}

/// Somebody who does not know the lock commits at each stage of an append: the append fails by name at that table, takes
/// back what it did, and what the other one committed stays.
#[test]
fn a_commit_of_somebody_else_ends_the_append() {
    for (table, stage) in
        [("tokens", Stage::Staged), ("tokens", Stage::Moved("steps")), ("games", Stage::Committed("steps"))]
    {
        let folder = folder();
        let mut lake = Lake::create_or_open(folder.path()).unwrap();
        lake.append(first_batch(&[1], SHAPE)).unwrap();
        let files = data_files(folder.path());
        let foreign = next(folder.path(), table);
        let commit = r#"{"commitInfo":{"operation":"FSCK"}}"#;
        let error = lake
            .append_watched(batch(&[2], SHAPE), &mut |at| {
                if at == stage {
                    fs::write(&foreign, commit).unwrap();
                }
            })
            .unwrap_err();
        assert!(
            matches!(&error, LakeError::Overtaken { table: of, version: 2, .. } if *of == table),
            "{stage:?}: {error}"
        );
        assert_eq!(error.exit_code(), 3);
        assert_eq!(data_files(folder.path()), files, "{stage:?}");
        assert_eq!(fs::read_to_string(&foreign).unwrap(), commit);
        let mut expected = Expected::of_lake(&Lake::open(folder.path()).unwrap());
        // The same handle goes on.
        lake.append(batch(&[2], SHAPE)).unwrap();
        expected.add(&batch(&[2], SHAPE));
        Expected::of_lake(&Lake::open(folder.path()).unwrap()).assert_same(&expected);
    }
}

/// An entry that is empty or cut off is named, by who opens the lake and by who has it open; without it all is well.
#[test]
fn an_entry_that_was_cut_off_is_named() {
    for kept in [0, 40] {
        let folder = folder();
        let mut lake = Lake::create_or_open(folder.path()).unwrap();
        lake.append(first_batch(&[1], SHAPE)).unwrap();
        let expected = Expected::of_lake(&lake);
        let torn = next(folder.path(), "games");
        let whole = fs::read(entries(folder.path(), "games").pop().unwrap()).unwrap();
        fs::write(&torn, &whole[..kept]).unwrap();
        let appended = lake.append(batch(&[2], SHAPE)).unwrap_err();
        for error in [Lake::open(folder.path()).err().unwrap(), appended] {
            let is_named =
                matches!(&error, LakeError::TornEntry { path } if path.ends_with(torn.file_name().unwrap()));
            assert!(is_named && error.exit_code() == 3, "{kept}: {error}");
        }
        fs::remove_file(torn).unwrap();
        Expected::of_lake(&Lake::open(folder.path()).unwrap()).assert_same(&expected);
        lake.append(batch(&[2], SHAPE)).unwrap();
    }
}
