//! A writer killed at every stage of an append: readers see whole games only, and a rerun makes it good.

use std::path::Path;
use std::process::{Command, id};

use saelake::lake::{Lake, LakeError, Receipt, Stage};
use schemas::games;

use super::checksum::Expected;
use super::engines::{Engines, Globs, is_soak};
use super::synthetic::{SMALL, Shape, batch, first_batch};
use super::{copy, data_files, folder};

const FIRST: [i64; 2] = [5, 3];
const SECOND: [i64; 3] = [4, -9, 8];
const SHAPE: Shape = Shape { layers: &[8], ..SMALL };
/// Tables that the second batch writes a file of.
const TABLES: usize = 10;
const ROOT: &str = "SAELAKE_TEST_CRASH_ROOT";
const AT: &str = "SAELAKE_TEST_CRASH_AT";

#[test]
fn killed_at_any_stage_the_lake_stays_whole() {
    let work = folder();
    let (before, after) = (work.path().join("before"), work.path().join("after"));
    let mut lake = Lake::create_or_open(&before).unwrap();
    lake.append(first_batch(&FIRST, SHAPE)).unwrap();
    let (former, former_files) = (Expected::of_lake(&lake), data_files(&before));
    copy(&before, &after);
    let mut stages = Vec::new();
    let mut lake = Lake::open(&after).unwrap();
    lake.append_watched(batch(&SECOND, SHAPE), &mut |stage| stages.push(stage)).unwrap();
    let (whole, whole_files) = (Expected::of_lake(&lake), data_files(&after));
    // Once for all files staged, then a file of every table moved and committed, but for those of the run.
    let moved = stages.iter().filter(|stage| matches!(stage, Stage::Moved(_))).count();
    assert_eq!((moved, stages.len()), (TABLES, 1 + 2 * TABLES));
    assert_eq!(stages.last(), Some(&Stage::Committed(games::TABLE.name)));
    let kept = folder();
    let mut engines = Engines::new(kept.path());
    for (at, stage) in stages.iter().enumerate() {
        let root = work.path().join(format!("killed-{at}"));
        copy(&before, &root);
        append_and_die(&root, at);
        let mut lake = Lake::open(&root).unwrap();
        if at + 1 == stages.len() {
            Expected::of_lake(&lake).assert_same(&whole);
            // The same batch is known by its transaction; the same games in another are not.
            assert_eq!(lake.append(batch(&SECOND, SHAPE)).unwrap(), Receipt::default());
            let again = lake.append(batch(&SECOND[..2], SHAPE)).unwrap_err();
            assert!(matches!(again, LakeError::GameExists { game: 4, .. }), "{again}");
        } else {
            Expected::of_lake(&lake).assert_same(&former);
            assert_ne!(data_files(&root), former_files, "{stage:?} left nothing");
            if is_soak() || at % 9 == 1 {
                engines.keep(&root, &format!("killed after stage {at}"), &former, Globs::May(&whole));
            }
            lake.append(batch(&SECOND, SHAPE)).unwrap();
        }
        Expected::of_lake(&Lake::open(&root).unwrap()).assert_same(&whole);
        assert_eq!(data_files(&root), whole_files, "killed after {stage:?}");
    }
    engines.read();
}

/// What was left behind is cleared away even if the games come back in other batches, with other names.
#[test]
fn a_rerun_in_other_batches_doubles_no_row() {
    let folder = folder();
    let mut lake = Lake::create_or_open(folder.path()).unwrap();
    lake.append(first_batch(&FIRST, SHAPE)).unwrap();
    // Every table but `games` is committed.
    append_and_die(folder.path(), 2 * TABLES - 1);
    let mut lake = Lake::open(folder.path()).unwrap();
    assert_eq!(lake.info().unwrap().tables.iter().map(|table| table.orphans).sum::<u64>(), TABLES as u64 - 1);
    let mut expected = Expected::of_lake(&lake);
    for keys in [&SECOND[1..], &SECOND[..1]] {
        expected.add(&batch(keys, SHAPE));
        lake.append(batch(keys, SHAPE)).unwrap();
    }
    Expected::of_lake(&lake).assert_same(&expected);
    assert_eq!(lake.info().unwrap().tables.iter().map(|table| table.orphans).sum::<u64>(), 0);
}

/// A run that died before its first game was committed does not keep another model out.
#[test]
fn a_run_without_games_binds_nobody() {
    let folder = folder();
    drop(Lake::create_or_open(folder.path()).unwrap());
    append_and_die(folder.path(), 2 * TABLES + 2);
    let mut lake = Lake::open(folder.path()).unwrap();
    assert_eq!((lake.n_games(), lake.runs().len(), lake.dictionaries().len()), (0, 0, 0));
    let mut other = first_batch(&[1], SHAPE);
    let run = other.run.as_mut().unwrap();
    run.model_hash = "bb".repeat(32);
    let model_hash = run.model_hash.clone();
    lake.append(other).unwrap();
    let lake = Lake::open(folder.path()).unwrap();
    assert_eq!(lake.runs()[0].model_hash, model_hash);
    assert_eq!(lake.files(&schemas::runs::TABLE).unwrap().len(), 1);
}

/// Appends the second batch in another process, which is killed after stage `at`.
fn append_and_die(root: &Path, at: usize) {
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["lake::crash::child", "--exact", "--nocapture"])
        .env(ROOT, root)
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
    let at: usize = at.parse().unwrap();
    let mut lake = Lake::open(root).unwrap();
    let batch = if lake.n_games() == 0 { first_batch(&SECOND, SHAPE) } else { batch(&SECOND, SHAPE) };
    let mut stage = 0;
    let appended = lake.append_watched(batch, &mut |_| {
        if stage == at {
            Command::new("kill").args(["-9", &id().to_string()]).status().unwrap();
            loop {
                std::thread::park();
            }
        }
        stage += 1;
    });
    panic!("stage {at} was never reached: {appended:?}");
}
