//! Compactions and drops killed between any two of their stages: readers see whole games, and the next writer finishes.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, id};
use std::time::Duration;

use saelake::lake::{Compaction, Lake, Order, Rewriting, Vacuum, verify};

use super::checksum::Expected;
use super::engines::{Engines, Globs, is_soak};
use super::synthetic::{SMALL, Shape, batch, first_batch};
use super::{copy, data_files, folder};
use crate::support::program;

const SHAPE: Shape = Shape { layers: &[8], steps: 1, tokens: 8, ..SMALL };
const COMPACTION: Compaction = Compaction { order: Order::Position, target_bytes: 128 << 20 };
/// The lowest and the highest of a batch: what is between them must stay.
const DROPPED: [i64; 2] = [-9, 8];
const ROOT: &str = "SAELAKE_TEST_KILLED_ROOT";
const AT: &str = "SAELAKE_TEST_KILLED_AT";
const WHAT: &str = "SAELAKE_TEST_KILLED_WHAT";

fn make(root: &Path) -> Lake {
    let mut lake = Lake::create_or_open(root).unwrap();
    lake.append(first_batch(&[5, 3], SHAPE)).unwrap();
    lake.append(batch(&[-9, 4, 8], SHAPE)).unwrap();
    lake
}

/// Compacts or drops.
fn maintain(lake: &mut Lake, what: &str, watch: &mut dyn FnMut(Rewriting)) {
    if what == "compact" {
        lake.compact(COMPACTION, watch).unwrap();
    } else {
        lake.drop_games(&BTreeSet::from(DROPPED), watch).unwrap();
    }
}

/// The stages of it on a lake of its own, and the rows afterwards.
fn whole(work: &Path, what: &str) -> (Vec<Rewriting>, Expected) {
    let root = work.join(format!("whole-{what}"));
    copy(&work.join("lake"), &root);
    let (mut lake, mut stages) = (Lake::open(&root).unwrap(), Vec::new());
    maintain(&mut lake, what, &mut |stage| stages.push(stage));
    (stages, Expected::of_lake(&lake))
}

/// The stages that are tried: all of them take too long for every run.
fn tried(stages: &[Rewriting]) -> BTreeSet<usize> {
    let step = if is_soak() { 1 } else { 5 };
    (0..stages.len()).step_by(step).chain([stages.len() - 1]).collect()
}

#[test]
fn a_killed_compaction_changes_no_row() {
    let work = folder();
    let before = Expected::of_lake(&make(&work.path().join("lake")));
    let answer = overview(&work.path().join("lake"));
    let (stages, after) = whole(work.path(), "compact");
    after.assert_same(&before);
    let kept = folder();
    let mut engines = Engines::new(kept.path());
    for at in tried(&stages) {
        let root = work.path().join(format!("compact-{at}"));
        copy(&work.path().join("lake"), &root);
        die(&root, "compact", at);
        let mut lake = Lake::open(&root).unwrap();
        Expected::of_lake(&lake).assert_same(&before);
        engines.keep(&root, &format!("compaction killed after stage {at}"), &before, Globs::Unknown);
        if at % 3 == 0 {
            assert_eq!(overview(&root), answer, "killed after {:?}", stages[at]);
        }
        let mut expected = before.clone();
        expected.add(&batch(&[77], SHAPE));
        lake.append(batch(&[77], SHAPE)).unwrap();
        check(&root, &expected, stages[at]);
        if is_soak() || at % 10 == 0 {
            engines.keep(&root, &format!("finished after stage {at}"), &expected, Globs::Same);
        }
    }
    engines.read();
}

#[test]
fn a_killed_drop_is_finished_by_the_next_writer() {
    let work = folder();
    drop(make(&work.path().join("lake")));
    let (stages, after) = whole(work.path(), "drop");
    let kept = folder();
    let mut engines = Engines::new(kept.path());
    for at in tried(&stages) {
        let root = work.path().join(format!("drop-{at}"));
        copy(&work.path().join("lake"), &root);
        die(&root, "drop", at);
        let mut lake = Lake::open(&root).unwrap();
        let has_dropped = DROPPED.iter().any(|game| lake.has_game(*game));
        assert!(!has_dropped || at < 2, "killed after {:?}", stages[at]);
        lake.vacuum(Vacuum { older_than: Duration::from_hours(1), quarantine: false }).unwrap();
        check(&root, &after, stages[at]);
        if is_soak() || at % 10 == 0 {
            engines.keep(&root, &format!("drop finished after stage {at}"), &after, Globs::Same);
        }
    }
    engines.read();
}

/// The rows are there, and every file is in a log.
fn check(root: &Path, expected: &Expected, stage: Rewriting) {
    let lake = Lake::open(root).unwrap();
    Expected::of_lake(&lake).assert_same(expected);
    assert_eq!(verify(root).unwrap().findings, [], "killed after {stage:?}");
    let listed: usize = schemas::ALL.iter().map(|table| lake.files(table).unwrap().len()).sum();
    assert_eq!(data_files(root).len(), listed, "killed after {stage:?}");
    assert!(std::fs::read_dir(root.join("_dropping")).map_or(true, |mut marks| marks.next().is_none()));
}

fn overview(root: &Path) -> Vec<u8> {
    let output = program(&["query", "overview", root.to_str().unwrap(), "--format", "json"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

fn die(root: &Path, what: &str, at: usize) {
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["lake::killed::child", "--exact", "--nocapture"])
        .env(ROOT, root)
        .env(WHAT, what)
        .env(AT, at.to_string())
        .output()
        .unwrap();
    let signal = std::os::unix::process::ExitStatusExt::signal(&child.status);
    assert_eq!(signal, Some(9), "{}", String::from_utf8_lossy(&child.stderr));
}

/// The process that is killed; without the variables there is nothing to do.
#[test]
fn child() {
    let (Some(root), Ok(at)) = (std::env::var_os(ROOT), std::env::var(AT)) else { return };
    let (at, what): (usize, String) = (at.parse().unwrap(), std::env::var(WHAT).unwrap());
    let (mut lake, mut stage) = (Lake::open(root).unwrap(), 0);
    maintain(&mut lake, &what, &mut |_| {
        if stage == at {
            Command::new("kill").args(["-9", &id().to_string()]).status().unwrap();
            loop {
                std::thread::park();
            }
        }
        stage += 1;
    });
    panic!("stage {at} was never reached");
}
