//! Spark, on a cluster of two worker processes, finds the rows that every other reader finds: after appends, after a
//! compaction in either order, and after games were taken out.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use saelake::lake::{Compaction, Lake, Order};

use super::checksum::Expected;
use super::synthetic::{SMALL, batch, first_batch};
use super::{copy, folder};
use crate::support::{python, repository};

#[test]
fn a_cluster_of_spark_reads_every_table() {
    let folder = folder();
    let place = |name: &str| folder.path().join(name);
    let keys: Vec<i64> = (1..=103).map(|key| key * 1_000_003 - 40_000_000).collect();
    let mut lake = Lake::create_or_open(place("appended")).unwrap();
    for batch in [first_batch(&keys[..60], SMALL), batch(&keys[60..], SMALL)] {
        lake.append(batch).unwrap();
    }
    for (name, order) in [("by game", Order::Game), ("by position", Order::Position)] {
        copy(&place("appended"), &place(name));
        let mut lake = Lake::open(place(name)).unwrap();
        lake.compact(Compaction { order, target_bytes: 128 << 20 }, &mut |_| {}).unwrap();
    }
    copy(&place("by position"), &place("dropped"));
    let dropped = BTreeSet::from([keys[0], keys[70], keys[102]]);
    Lake::open(place("dropped")).unwrap().drop_games(&dropped, &mut |_| {}).unwrap();
    let mut script = Command::new(python());
    script.arg(repository("tests/python/spark_readers.py"));
    for name in ["appended", "by game", "by position", "dropped"] {
        let json = folder.path().join(format!("{name}.json"));
        let expected = Expected::of_lake(&Lake::open(place(name)).unwrap());
        fs::write(&json, expected.to_json().to_string()).unwrap();
        script.arg(place(name)).arg(json);
    }
    let read = script.output().unwrap();
    let (said, complained) = (String::from_utf8_lossy(&read.stdout), String::from_utf8_lossy(&read.stderr));
    assert!(read.status.success(), "{}\n{said}{complained}", read.status);
    assert_eq!(said.lines().last(), Some("2 workers"), "{said}");
    assert_eq!(said.lines().count(), 5, "{said}");
}
