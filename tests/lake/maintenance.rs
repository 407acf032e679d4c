//! Compaction, games taken out, files in no log: the rows that were to stay are there, once, and no others.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::time::Duration;

use saelake::lake::{Compaction, Lake, LakeError, Order, Vacuum, verify, verify_watched};
use schemas::{Table, Values, attention, features, prefixes};

use super::checksum::Expected;
use super::synthetic::{SMALL, Shape, batch, first_batch};
use super::{copy, data_files, folder};
use crate::support::{program, python, repository};

const ONE_LAYER: Shape = Shape { layers: &[8], ..SMALL };
/// Enough rows of a layer for two row groups.
const LONG: Shape = Shape { steps: 2, tokens: 560, layers: &[8], top_k: 64, heads: 1, keys: 2 };
const BY_GAME: Compaction = Compaction { order: Order::Game, target_bytes: 128 << 20 };
const BY_POSITION: Compaction = Compaction { order: Order::Position, ..BY_GAME };

/// A lake of batches of these sizes.
fn lake_of(root: &Path, sizes: &[usize], shape: Shape) -> Lake {
    let mut lake = Lake::create_or_open(root).unwrap();
    let mut next = 0_i64;
    for (number, size) in sizes.iter().enumerate() {
        let keys: Vec<i64> = (next..next + *size as i64).map(|key| (key * 7_919) % 1_009 - 300).collect();
        next += *size as i64;
        let games = if number == 0 { first_batch(&keys, shape) } else { batch(&keys, shape) };
        lake.append(games).unwrap();
    }
    lake
}

fn paths(root: &Path) -> Vec<String> {
    data_files(root).into_iter().map(|(path, _)| path).collect()
}

fn assert_sound(root: &Path) {
    let verified = verify(root).unwrap();
    assert_eq!(verified.findings, [], "{}", root.display());
    assert_eq!(verified.games, Lake::open(root).unwrap().n_games() as u64);
}

#[test]
fn a_check_says_how_far_it_is() {
    let work = folder();
    let lake = lake_of(work.path(), &[2, 1], SMALL);
    let files: usize = schemas::ALL.iter().map(|table| lake.files(table).unwrap().len()).sum();
    let seen = Mutex::new(Vec::new());
    let verified = verify_watched(work.path(), &|done, of| seen.lock().unwrap().push((done, of))).unwrap();
    let mut seen = seen.into_inner().unwrap();
    seen.sort_unstable();
    let of = (files + SMALL.layers.len()) as u64;
    assert_eq!(seen, (1..=of).map(|done| (done, of)).collect::<Vec<_>>());
    assert_eq!(verified.files, files as u64);
}

#[test]
fn a_compacted_lake_has_the_same_rows_in_one_file_a_partition() {
    let work = folder();
    let root = work.path().join("lake");
    let lake = lake_of(&root, &[3, 1, 95, 2, 4], SMALL);
    let expected = Expected::of_lake(&lake);
    assert_sound(&root);
    for compaction in [BY_GAME, BY_POSITION] {
        let copied = work.path().join(format!("{:?}", compaction.order));
        copy(&root, &copied);
        let mut lake = Lake::open(&copied).unwrap();
        let done = lake.compact(compaction, &mut |_| {}).unwrap();
        assert!(done.written.0 < done.replaced.0, "{done:?}");
        Expected::of_lake(&lake).assert_same(&expected);
        Expected::of_lake(&Lake::open(&copied).unwrap()).assert_same(&expected);
        for table in schemas::ALL {
            let files = lake.files(table).unwrap();
            let partitions: BTreeSet<_> = files.iter().map(|file| file.folders).collect();
            assert_eq!(files.len(), partitions.len(), "{}", table.name);
        }
        let listed: usize = schemas::ALL.iter().map(|table| lake.files(table).unwrap().len()).sum();
        assert_eq!(paths(&copied).len(), listed);
        assert_sorted(&lake, &features::TABLE, compaction.order);
        assert_sorted(&lake, &attention::TABLE, compaction.order);
        assert_sound(&copied);
        assert_eq!(lake.compact(compaction, &mut |_| {}).unwrap().replaced.0, 0, "nothing is left to do");
        // The lake goes on.
        let mut expected = expected.clone();
        expected.add(&batch(&[5_000, 5_001], SMALL));
        lake.append(batch(&[5_000, 5_001], SMALL)).unwrap();
        Expected::of_lake(&Lake::open(&copied).unwrap()).assert_same(&expected);
        assert_sound(&copied);
    }
}

/// The first columns of the order ascend.
fn assert_sorted(lake: &Lake, table: &'static Table, order: Order) {
    let (first, second) = match (order, table.name) {
        (Order::Game, _) => ("game", "step"),
        (Order::Position, "attention") => ("query", "game"),
        (Order::Position, _) => ("position", "game"),
    };
    for file in lake.files(table).unwrap() {
        let values = lake.read(table, &file).unwrap();
        let column = |name: &str| {
            let index = table.columns.iter().position(|column| column.name == name).unwrap();
            match &values[index] {
                Values::Int32(cells) => cells.iter().map(|cell| i64::from(*cell)).collect::<Vec<_>>(),
                Values::Int64(cells) => cells.clone(),
                _ => panic!("{name}"),
            }
        };
        let keys: Vec<(i64, i64)> = column(first).into_iter().zip(column(second)).collect();
        assert!(keys.is_sorted(), "{} in {order:?}", file.path);
    }
}

/// Files are cut where they are full, and a second compaction leaves full ones alone.
#[test]
fn full_files_are_cut_and_left_alone() {
    let folder = folder();
    let mut lake = lake_of(folder.path(), &[2, 1], LONG);
    let expected = Expected::of_lake(&lake);
    for order in [Order::Position, Order::Game] {
        lake.compact(Compaction { order, target_bytes: 1 }, &mut |_| {}).unwrap();
        Expected::of_lake(&lake).assert_same(&expected);
        let files = lake.files(&features::TABLE).unwrap();
        assert_eq!(files.len(), if order == Order::Position { 2 } else { files.len() });
        assert_sound(folder.path());
    }
}

/// More files than are merged at a time.
#[test]
fn many_small_files_become_one() {
    let folder = folder();
    let mut lake = lake_of(folder.path(), &[1; 67], Shape { tokens: 8, steps: 1, ..ONE_LAYER });
    let expected = Expected::of_lake(&lake);
    assert_eq!(lake.files(&schemas::games::TABLE).unwrap().len(), 67);
    lake.compact(BY_GAME, &mut |_| {}).unwrap();
    Expected::of_lake(&lake).assert_same(&expected);
    assert_eq!(lake.files(&schemas::games::TABLE).unwrap().len(), 1);
    assert_sound(folder.path());
}

#[test]
fn a_dropped_game_is_nowhere() {
    let work = folder();
    let root = work.path().join("lake");
    let mut lake = lake_of(&root, &[3, 1, 2], SMALL);
    let games: Vec<i64> = lake.games().collect();
    for dropped in [vec![games[0]], vec![games[2], games[5]], games.clone()] {
        for is_compacted in [false, true] {
            let copied = work.path().join(format!("{}-{is_compacted}", dropped.len()));
            copy(&root, &copied);
            lake = Lake::open(&copied).unwrap();
            if is_compacted {
                lake.compact(BY_POSITION, &mut |_| {}).unwrap();
            }
            let expected = Expected::of_lake_without(&lake, &dropped);
            let done = lake.drop_games(&dropped.iter().copied().collect(), &mut |_| {}).unwrap();
            assert_eq!(done.games, dropped);
            for lake in [&lake, &Lake::open(&copied).unwrap()] {
                Expected::of_lake(lake).assert_same(&expected);
                assert_eq!(rows_of(lake, &dropped), 0);
            }
            assert_sound(&copied);
            let again = lake.drop_games(&BTreeSet::from([dropped[0]]), &mut |_| {}).unwrap_err();
            assert!(matches!(again, LakeError::NoSuchGame { .. }), "{again}");
            assert_eq!(again.exit_code(), 2);
        }
    }
}

/// Rows of the games in any file of any table, those that do not count too.
fn rows_of(lake: &Lake, games: &[i64]) -> usize {
    let mut found = 0;
    for table in schemas::ALL.into_iter().filter(|table| table.column("game").is_some()) {
        for file in lake.files(table).unwrap() {
            let values = lake.read(table, &file).unwrap();
            let Values::Int64(keys) = &values[0] else { panic!("{}", table.name) };
            found += keys.iter().filter(|key| games.contains(key)).count();
        }
    }
    found
}

/// Prefixes without rows keep a file, so that the SQL's glob finds one.
#[test]
fn the_empty_table_of_prefixes_keeps_a_file() {
    let folder = folder();
    let mut lake = lake_of(folder.path(), &[1, 1], ONE_LAYER);
    lake.compact(BY_GAME, &mut |_| {}).unwrap();
    assert_eq!(lake.files(&prefixes::TABLE).unwrap().len(), 1);
    assert_sound(folder.path());
    lake.drop_games(&lake.games().collect(), &mut |_| {}).unwrap();
    assert_eq!(lake.files(&prefixes::TABLE).unwrap().len(), 1);
}

#[test]
fn vacuum_deletes_what_is_in_no_log() {
    let folder = folder();
    let mut lake = lake_of(folder.path(), &[2], ONE_LAYER);
    let before = data_files(folder.path());
    let foreign = folder.path().join("tokens/other.parquet");
    fs::copy(folder.path().join(&before[0].0), &foreign).unwrap();
    fs::write(folder.path().join("tokens/notes.txt"), "mine").unwrap();
    fs::write(folder.path().join("_staging/left.parquet"), "half").unwrap();
    let old = Vacuum { older_than: Duration::from_hours(1), quarantine: false };
    assert_eq!(lake.vacuum(old).unwrap().files, Vec::<String>::new(), "they are too young");
    assert!(!folder.path().join("_staging/left.parquet").exists());
    // A clock that goes backwards makes no file old.
    let later = std::time::SystemTime::now() + Duration::from_secs(1_000_000);
    fs::File::options().append(true).open(&foreign).unwrap().set_modified(later).unwrap();
    let any = Vacuum { older_than: Duration::from_secs(1), quarantine: false };
    assert!(!lake.unlisted(any).unwrap().files.contains(&"tokens/other.parquet".to_owned()));
    let any = Vacuum { older_than: Duration::ZERO, quarantine: false };
    assert_eq!(lake.unlisted(any).unwrap().files, ["tokens/notes.txt", "tokens/other.parquet"]);
    assert!(foreign.exists());
    lake.vacuum(any).unwrap();
    assert!(!foreign.exists());
    assert_eq!(data_files(folder.path()), before);
    assert_sound(folder.path());
}

#[test]
fn the_commands_say_what_they_did() {
    let work = folder();
    let root = work.path().join("lake");
    drop(lake_of(&root, &[2, 1], ONE_LAYER));
    let lake = root.to_str().unwrap();
    let said = |arguments: &[&str], code: i32| {
        let output = program(&[&["lake"], arguments].concat());
        let all =
            format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {all}");
        all
    };
    assert!(said(&["verify", lake], 0).contains("sound: 3 games"));
    assert!(said(&["compact", lake, "--order", "position"], 0).contains("the same"));
    assert!(said(&["drop-game", lake, "--game-id", "game -300"], 0).contains("1 games dropped"));
    assert!(said(&["drop-game", lake, "--game", "12345"], 2).contains("the lake has no game"));
    assert!(said(&["drop-game", lake], 2).contains("--game"));
    assert!(
        said(&["vacuum", lake, "--older-than", "0s", "--dry-run"], 0).contains("0 files would be deleted")
    );
    assert!(said(&["vacuum", lake, "--older-than", "soon"], 2).contains("is no number with"));
    let json: serde_json::Value =
        serde_json::from_str(&said(&["verify", lake, "--format", "json"], 0)).unwrap();
    assert_eq!((json["sound"].as_bool(), json["games"].as_u64()), (Some(true), Some(2)));
    assert!(said(&["info", lake], 0).contains("positions all, 23 bits"));
    let json: serde_json::Value =
        serde_json::from_str(&said(&["info", lake, "--format", "json"], 0)).unwrap();
    let opened = Lake::open(&root).unwrap();
    for (table, told) in schemas::ALL.iter().zip(json["tables"].as_array().unwrap()) {
        let rows: u64 = opened.files(table).unwrap().iter().map(|file| file.rows).sum();
        assert_eq!((told["name"].as_str(), told["rows"].as_u64()), (Some(table.name), Some(rows)));
    }
    assert_eq!(json["runs"][0]["positions"], "all");
}

/// A lake of the first format, brought up to date, is sound and takes games.
#[test]
fn an_upgraded_lake_is_one_of_the_last_format() {
    let work = folder();
    let root = work.path().join("lake");
    copy(&repository("tests/fixtures/lake/format-1/lake"), &root);
    assert_sound(&root);
    let before = Expected::of_lake(&Lake::open(&root).unwrap());
    let mut lake = Lake::open(&root).unwrap();
    lake.upgrade().unwrap();
    assert_eq!(lake.format(), saelake::lake::Format::LAST);
    let lake = Lake::open(&root).unwrap();
    assert_eq!(lake.format(), saelake::lake::Format::LAST);
    let after = Expected::of_lake(&lake);
    for table in [&features::TABLE, &attention::TABLE, &schemas::tokens::TABLE] {
        assert_eq!(after.of_table(table), before.of_table(table), "{}", table.name);
    }
    assert!(after.n_rows(&schemas::feature_rollup::TABLE) > 0);
    assert_eq!((lake.runs()[0].format_version, lake.runs()[0].positions.as_str()), (2, "all"));
    assert_sound(&root);
}

/// Four engines read lakes after each kind of maintenance as the lake itself does.
#[test]
fn other_readers_find_the_same_after_maintenance() {
    let work = folder();
    let root = work.path().join("lake");
    drop(lake_of(&root, &[99, 4], SMALL));
    let mut arguments: Vec<PathBuf> = Vec::new();
    let mut given = |name: &str, maintain: &dyn Fn(&mut Lake)| {
        let copied = work.path().join(name);
        copy(&root, &copied);
        let mut lake = Lake::open(&copied).unwrap();
        maintain(&mut lake);
        let json = work.path().join(format!("{name}.json"));
        fs::write(&json, Expected::of_lake(&lake).to_json().to_string()).unwrap();
        arguments.extend([copied, json]);
    };
    given("by-game", &|lake| {
        lake.compact(BY_GAME, &mut |_| {}).unwrap();
    });
    given("by-position", &|lake| {
        lake.compact(BY_POSITION, &mut |_| {}).unwrap();
    });
    given("dropped", &|lake| {
        let games = lake.games().take(2).collect();
        lake.drop_games(&games, &mut |_| {}).unwrap();
    });
    given("repaired", &|lake| {
        let file = lake.files(&features::TABLE).unwrap().pop().unwrap();
        fs::remove_file(lake.root().join("features").join(file.path)).unwrap();
        let repaired = saelake::lake::repair_lake(lake.root()).unwrap();
        assert_eq!(repaired.after.findings, []);
        *lake = Lake::open(lake.root()).unwrap();
    });
    let script = repository("tests/python/readers.py");
    let read = Command::new(python()).arg(script).args(&arguments).output().unwrap();
    let (said, complained) = (String::from_utf8_lossy(&read.stdout), String::from_utf8_lossy(&read.stderr));
    assert!(read.status.success(), "{}\n{said}{complained}", read.status);
    assert_eq!(said.lines().count(), 4 * schemas::ALL.len(), "{said}");
}

/// Dictionaries stay as long as a game has features of them, whichever run brought them.
#[test]
fn a_run_without_games_hands_its_dictionaries_on() {
    let folder = folder();
    let mut lake = lake_of(folder.path(), &[2], ONE_LAYER);
    let firsts: BTreeSet<i64> = lake.games().collect();
    let mut second = first_batch(&[500, 501], ONE_LAYER);
    let name = "fedcba9876543210".to_owned();
    second.run.as_mut().unwrap().run.clone_from(&name);
    second.games.run.fill(name.clone());
    second.dictionaries.iter_mut().for_each(|dictionary| dictionary.run.clone_from(&name));
    lake.append(second).unwrap();
    lake.drop_games(&firsts, &mut |_| {}).unwrap();
    for lake in [&lake, &Lake::open(folder.path()).unwrap()] {
        assert_eq!(lake.games().collect::<Vec<_>>(), [500, 501]);
        assert_eq!(lake.runs().iter().map(|run| &run.run).collect::<Vec<_>>(), [&name]);
        let dictionaries = lake.dictionaries().iter().map(|row| (row.layer, &row.run));
        assert_eq!(dictionaries.collect::<Vec<_>>(), [(8, &name)]);
    }
    assert_sound(folder.path());
    lake.append(batch_of(&name, 502)).unwrap();
    assert_sound(folder.path());
}

/// A game of another run.
fn batch_of(run: &str, key: i64) -> saelake::lake::Batch {
    let mut games = batch(&[key], ONE_LAYER);
    games.games.run.fill(run.to_owned());
    games
}
