//! Appending: what is read back is what was given, and the same input gives the same files.

use std::collections::BTreeMap;
use std::fs;

use saelake::lake::{Folders, Lake, Receipt};
use schemas::{Values, features, games, tokens};

use super::checksum::Expected;
use super::synthetic::{SMALL, Shape, batch, dictionary, first_batch, run};
use super::{data_files, folder};

/// Keys of the first and the second batch, negative and out of order.
const FIRST: [i64; 3] = [7_000_000_000, -3, 12];
const SECOND: [i64; 2] = [i64::MIN, i64::MAX];

#[test]
fn what_is_appended_is_read_back() {
    let folder = folder();
    let mut lake = Lake::create_or_open(folder.path()).unwrap();
    let (first, second) = (first_batch(&FIRST, SMALL), batch(&SECOND, SMALL));
    let mut expected = Expected::default();
    expected.add(&first);
    let receipt = lake.append(first.clone()).unwrap();
    assert_eq!(receipt.games, 3);
    let rows: u64 = schemas::ALL.iter().map(|table| expected.n_rows(table)).sum();
    assert_eq!(receipt.rows, rows);
    let on_disk: usize = data_files(folder.path()).iter().map(|(_, bytes)| bytes.len()).sum();
    assert_eq!(receipt.bytes, on_disk as u64);
    expected.add(&second);
    lake.append(second).unwrap();
    for lake in [lake, Lake::open(folder.path()).unwrap()] {
        Expected::of_lake(&lake).assert_same(&expected);
        assert_eq!(lake.games().collect::<Vec<_>>(), [i64::MIN, -3, 12, 7_000_000_000, i64::MAX]);
        assert_eq!((lake.n_games(), lake.has_game(12), lake.has_game(13)), (5, true, false));
        assert_eq!(lake.runs(), [run()]);
        assert_eq!(lake.dictionaries(), [dictionary(8), dictionary(15), dictionary(29)]);
    }
}

/// Cell by cell, in order: the checksums of the other tests are sums.
#[test]
fn rows_come_back_in_the_order_of_the_sort_columns() {
    let folder = folder();
    let mut lake = Lake::create_or_open(folder.path()).unwrap();
    let given = first_batch(&FIRST, SMALL);
    let mut rows = given.features[&15].clone().into_rows();
    rows.sort_by_key(|row| (row.game, row.step, row.position, row.rank));
    lake.append(given).unwrap();
    let files = lake.files(&features::TABLE).unwrap();
    let file = files.iter().find(|file| file.folders.layer == Some(15)).unwrap();
    assert_eq!(file.folders, Folders { game_block: Some(0), layer: Some(15) });
    assert_eq!(
        file.path,
        "game_block=0/layer=15/part-0123456789abcdef-fffffffffffffffd-00000001a13b8600.parquet"
    );
    let found = features::Rows::from_values(lake.read(&features::TABLE, file).unwrap()).unwrap();
    assert_eq!(found.into_rows(), rows);
}

#[test]
fn shuffled_rows_give_the_same_files() {
    let (ordered, shuffled) = (folder(), folder());
    let given = first_batch(&FIRST, SMALL);
    let mut turned = given.clone();
    turned.games = given.games.clone();
    turned.tokens = reversed(given.tokens.clone());
    for rows in turned.features.values_mut() {
        *rows = rows.clone().into_rows().into_iter().rev().collect();
    }
    Lake::create_or_open(ordered.path()).unwrap().append(given).unwrap();
    Lake::create_or_open(shuffled.path()).unwrap().append(turned).unwrap();
    assert_eq!(data_files(ordered.path()), data_files(shuffled.path()));
}

fn reversed(rows: tokens::Rows) -> tokens::Rows {
    rows.into_rows().into_iter().rev().collect()
}

#[test]
fn two_identical_runs_give_identical_files() {
    let lakes = [folder(), folder()];
    for folder in &lakes {
        let mut lake = Lake::create_or_open(folder.path()).unwrap();
        lake.append(first_batch(&FIRST, SMALL)).unwrap();
        lake.append(batch(&SECOND, SMALL)).unwrap();
    }
    let [one, other] = lakes.map(|folder| data_files(folder.path()));
    // Two files of each large table and layer, two of each small table, one each of runs and dictionaries.
    assert_eq!(one.len(), 5 * 3 * 2 + 5 * 2 + 2);
    assert_eq!(one, other);
}

/// A hundred games fill a block; the batch that crosses its end is cut.
#[test]
fn blocks_are_filled_in_the_order_of_arrival() {
    let folder = folder();
    let tiny = Shape { steps: 1, tokens: 8, layers: &[8], top_k: 2, heads: 1, keys: 1 };
    let mut lake = Lake::create_or_open(folder.path()).unwrap();
    let mut expected = Expected::default();
    // Keys that run against the order of arrival: the order decides the block.
    let batches = [
        first_batch(&(0..98).collect::<Vec<_>>(), tiny),
        batch(&[200, 199, 198, 197], tiny),
        batch(&(1000..1100).collect::<Vec<_>>(), tiny),
    ];
    for batch in batches {
        expected.add(&batch);
        lake.append(batch).unwrap();
    }
    let lake = Lake::open(folder.path()).unwrap();
    Expected::of_lake(&lake).assert_same(&expected);
    let blocks = blocks_of(&lake);
    let in_block = |block: i32| blocks.values().filter(|of_game| **of_game == block).count();
    assert_eq!((in_block(0), in_block(1), in_block(2)), (100, 100, 2));
    assert_eq!((blocks[&200], blocks[&199], blocks[&198], blocks[&197]), (0, 0, 1, 1));
}

/// A hundred commits make a checkpoint of each table, while others are appended; one that nobody made is made later. The
/// log says the same after it.
#[test]
fn logs_are_checkpointed() {
    let folder = folder();
    let tiny = Shape { steps: 1, tokens: 8, layers: &[], top_k: 0, heads: 0, keys: 0 };
    let mut lake = Lake::create_or_open(folder.path()).unwrap();
    let mut expected = Expected::default();
    let mut append = |lake: &mut Lake, game: i64| {
        let batch = if game == 0 { first_batch(&[game], tiny) } else { batch(&[game], tiny) };
        expected.add(&batch);
        lake.append(batch).unwrap();
        expected.clone()
    };
    for game in 0..151 {
        append(&mut lake, game);
    }
    // Whoever closes a lake waits for what is being made.
    drop(lake);
    let log = |table: &str| folder.path().join(table).join("_delta_log");
    for table in ["tokens", "spans", "steps", "games"] {
        assert!(log(table).join("_last_checkpoint").is_file(), "{table} has no checkpoint");
        if table != "steps" {
            // The checkpoint is needed: what it gathers is gone.
            fs::remove_file(log(table).join("00000000000000000005.json")).unwrap();
        }
    }
    // As if its writer had been killed.
    for entry in fs::read_dir(log("steps")).unwrap().map(|entry| entry.unwrap().path()) {
        if entry.to_str().unwrap().contains("checkpoint") {
            fs::remove_file(entry).unwrap();
        }
    }
    let mut lake = Lake::open(folder.path()).unwrap();
    let expected = append(&mut lake, 151);
    Expected::of_lake(&Lake::open(folder.path()).unwrap()).assert_same(&expected);
    assert!(log("steps").join("_last_checkpoint").is_file(), "it was not made up for");
    fs::remove_file(log("steps").join("00000000000000000005.json")).unwrap();
    let expected = append(&mut lake, 200);
    Expected::of_lake(&Lake::open(folder.path()).unwrap()).assert_same(&expected);
}

/// The block of every game, after checking that its features lie there.
fn blocks_of(lake: &Lake) -> BTreeMap<i64, i32> {
    let mut blocks = BTreeMap::new();
    for file in lake.files(&games::TABLE).unwrap() {
        let rows = games::Rows::from_values(lake.read(&games::TABLE, &file).unwrap()).unwrap();
        blocks.extend(rows.game.into_iter().zip(rows.game_block));
    }
    for file in lake.files(&features::TABLE).unwrap() {
        let values = lake.read(&features::TABLE, &file).unwrap();
        let Values::Int64(games) = &values[0] else { panic!("features begin with the game") };
        assert!(games.iter().all(|game| Some(blocks[game]) == file.folders.game_block), "{}", file.path);
    }
    blocks
}

#[test]
fn a_second_run_of_the_same_kind_joins() {
    let folder = folder();
    let mut lake = Lake::create_or_open(folder.path()).unwrap();
    lake.append(first_batch(&FIRST, SMALL)).unwrap();
    let mut second = first_batch(&SECOND, SMALL);
    let mut other = run();
    other.run = "fedcba9876543210".into();
    other.started_at = "2025-11-24T12:00:00Z".into();
    other.seed = 8;
    other.device = "cuda:0".into();
    second.run = Some(other.clone());
    second.games.run.fill(other.run.clone());
    for dictionary in &mut second.dictionaries {
        dictionary.run.clone_from(&other.run);
    }
    lake.append(second).unwrap();
    let lake = Lake::open(folder.path()).unwrap();
    assert_eq!(lake.runs(), [run(), other]);
    assert_eq!(lake.dictionaries(), [dictionary(8), dictionary(15), dictionary(29)]);
}

#[test]
fn an_empty_batch_adds_nothing() {
    let folder = folder();
    let mut lake = Lake::create_or_open(folder.path()).unwrap();
    assert_eq!(lake.append(batch(&[], SMALL)).unwrap(), Receipt::default());
    assert_eq!(data_files(folder.path()), []);
}

/// Two handles on one lake: each sees what the other appended before it appends.
#[test]
fn two_writers_take_turns() {
    let folder = folder();
    let mut one = Lake::create_or_open(folder.path()).unwrap();
    let mut other = Lake::create_or_open(folder.path()).unwrap();
    let (first, second, third) = (first_batch(&[1], SMALL), batch(&[2], SMALL), batch(&[3], SMALL));
    let mut expected = Expected::default();
    for batch in [&first, &second, &third] {
        expected.add(batch);
    }
    one.append(first).unwrap();
    other.append(second).unwrap();
    one.append(third).unwrap();
    other.refresh().unwrap();
    for lake in [one, other] {
        Expected::of_lake(&lake).assert_same(&expected);
    }
}

#[test]
fn the_description_counts_what_is_there() {
    let folder = folder();
    let mut lake = Lake::create_or_open(folder.path()).unwrap();
    assert_eq!(lake.info().unwrap().tables.iter().map(|table| table.files).sum::<u64>(), 0);
    let given = first_batch(&FIRST, SMALL);
    let mut expected = Expected::default();
    expected.add(&given);
    let receipt = lake.append(given).unwrap();
    let info = lake.info().unwrap();
    assert_eq!((info.games, info.steps, info.tokens), (3, 6, 3 * (12 + 15)));
    assert_eq!((info.format_version, info.layers), (schemas::FORMAT_VERSION, vec![8, 15, 29]));
    assert_eq!((info.runs, info.dictionaries.len()), (vec![run()], 3));
    assert_eq!(info.tables.iter().map(|table| table.bytes).sum::<u64>(), receipt.bytes);
    for (table, counted) in schemas::ALL.iter().zip(info.tables) {
        assert_eq!((counted.name, counted.rows), (table.name, expected.n_rows(table)));
        assert_eq!(counted.files, if table.partition.is_empty() { 1 } else { 3 });
        assert_eq!(counted.bytes_per_token, Some(counted.bytes as f64 / 81.0));
        assert_eq!(counted.orphans, 0);
    }
}
