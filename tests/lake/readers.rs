//! Other people's readers find in every table what was given to the writer.

use std::fs;
use std::process::Command;

use saelake::lake::Lake;

use super::checksum::Expected;
use super::folder;
use super::synthetic::{SMALL, batch, first_batch};
use crate::support::{python, repository};

#[test]
fn duckdb_polars_pandas_and_deltalake_read_every_table() {
    let folder = folder();
    let root = folder.path().join("lake with a space");
    let mut lake = Lake::create_or_open(&root).unwrap();
    let mut expected = Expected::default();
    let keys: Vec<i64> = (1..=103).map(|key| key * 1_000_003 - 40_000_000).collect();
    for batch in [first_batch(&keys[..99], SMALL), batch(&keys[99..], SMALL)] {
        expected.add(&batch);
        lake.append(batch).unwrap();
    }
    let json = folder.path().join("expected.json");
    fs::write(&json, expected.to_json().to_string()).unwrap();
    let script = repository("tests/python/readers.py");
    let read = Command::new(python()).arg(script).arg(&root).arg(&json).output().unwrap();
    let (said, complained) = (String::from_utf8_lossy(&read.stdout), String::from_utf8_lossy(&read.stderr));
    assert!(read.status.success(), "{}\n{said}{complained}", read.status);
    assert_eq!(said.lines().count(), schemas::ALL.len(), "{said}");
}
