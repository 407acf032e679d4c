//! What is read of a lake, and what is refused.

use std::path::Path;

use queries::{Condition, QueryError, Tables};
use tempfile::TempDir;

use super::{GAMES, ORPHAN, Question, ask, copy, copy_of, elsewhere, games, made, tables};

/// The run of the files of made games that do not count.
const DEAD_RUN: &str = "00000000000000dd";

fn refused(lake: &str) -> QueryError {
    Tables::open(&made().join(lake)).err().unwrap()
}

fn games_of(table: queries::LazyFrame) -> Vec<i64> {
    let frame = queries::run(table).unwrap();
    let mut games =
        frame.column("game").unwrap().i64().unwrap().iter().map(Option::unwrap).collect::<Vec<_>>();
    games.sort_unstable();
    games.dedup();
    games
}

#[test]
fn rows_of_games_that_do_not_exist_are_not_there() {
    let lake = made().join("lake");
    assert!(lake.join(format!("tokens/part-{ORPHAN}.parquet")).is_file());
    let tables = tables();
    for table in [
        tables.games(),
        tables.steps(),
        tables.tokens(),
        tables.spans(),
        tables.features(),
        tables.positions(),
        tables.attention(),
        tables.attention_rows(),
    ] {
        assert_eq!(games_of(table), GAMES);
    }
    // Two games, two steps, two layers, ten and seven tokens; nothing from the left-over block.
    let positions = queries::run(tables.positions()).unwrap();
    assert_eq!(positions.height(), 2 * 2 * (10 + 7));
    assert_eq!(queries::run(tables.runs()).unwrap().height(), 1);
    assert_eq!(queries::run(tables.dictionaries()).unwrap().height(), 2);
}

#[test]
fn files_of_committed_games_are_known_by_their_names() {
    let folder = TempDir::new().unwrap();
    let lake = copy_of(&games().join("lake"), &folder);
    let plan = |lake: &Path| queries::explain(&Tables::open(lake).unwrap().features()).unwrap();
    let left_over = |plan: &str| plan.contains("SEMI");
    assert!(left_over(&plan(&lake)), "rows that do not count are there");
    let rows = |lake: &Path| queries::run(Tables::open(lake).unwrap().features()).unwrap().height();
    let before = rows(&lake);
    let removed = remove(&lake, DEAD_RUN);
    assert_eq!(removed, 35, "files of twelve tables");
    assert!(!left_over(&plan(&lake)), "{}", plan(&lake));
    assert_eq!(rows(&lake), before);
    // A name that says nothing is no reason to believe a file.
    let folder = lake.join("features/game_block=0/layer=3");
    let file = std::fs::read_dir(&folder).unwrap().next().unwrap().unwrap().path();
    std::fs::rename(file, folder.join("compacted.parquet")).unwrap();
    assert!(left_over(&plan(&lake)));
    assert_eq!(rows(&lake), before);
}

/// Removes the files below `folder` with `part` in their name, and says how many there were.
fn remove(folder: &Path, part: &str) -> usize {
    let mut removed = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            removed += remove(&path, part);
        } else if path.file_name().unwrap().to_str().unwrap().contains(part) {
            std::fs::remove_file(path).unwrap();
            removed += 1;
        }
    }
    removed
}

#[test]
fn only_the_rows_of_chosen_games_are_shown() {
    let tables = Tables::open(&games().join("lake")).unwrap();
    let chosen = tables.only(Condition::parse(["outcome=bankruptcy"]).unwrap()).unwrap();
    let bankrupt = games_of(chosen.games());
    assert!(bankrupt.len() > 5);
    for table in [chosen.steps(), chosen.tokens(), chosen.features(), chosen.attention_rows()] {
        assert_eq!(games_of(table), bankrupt);
    }
}

#[test]
fn a_layer_filter_leaves_the_files_of_other_layers_unopened() {
    let folder = TempDir::new().unwrap();
    let lake = copy(&folder);
    for table in ["positions", "attention", "attention_rows"] {
        std::fs::write(lake.join(table).join("game_block=0/layer=7/part-z.parquet"), "not Parquet").unwrap();
        std::fs::write(lake.join(table).join("game_block=1/layer=3/part-z.parquet"), "not Parquet").unwrap();
    }
    let tables = Tables::open(&lake).unwrap();
    let question = elsewhere();
    assert_eq!(question.layer, Some(3));
    assert_eq!(ask(&tables, &question).unwrap(), ask(&super::tables(), &question).unwrap());
    let error = ask(&tables, &Question { layer: Some(7), ..question }).unwrap_err();
    assert!(matches!(error, QueryError::Engine(_)), "{error}");
    assert_eq!(error.exit_code(), 3);
}

#[test]
fn an_empty_file_is_not_skipped() {
    let folder = TempDir::new().unwrap();
    let lake = copy(&folder);
    std::fs::write(lake.join("attention/game_block=0/layer=3/part-z.parquet"), "").unwrap();
    let tables = Tables::open(&lake).unwrap();
    assert!(matches!(ask(&tables, &elsewhere()), Err(QueryError::Engine(_))));
}

#[test]
fn a_plan_filters_where_it_scans() {
    let plan = elsewhere().asked(&tables()).unwrap().plan;
    let text = queries::explain(&plan).unwrap();
    let scans = text.lines().filter(|line| line.trim_start().starts_with("SELECTION")).collect::<Vec<_>>();
    for column in ["layer", "game_block", "query", "position"] {
        let wanted = format!("col(\"{column}\")");
        assert!(scans.iter().any(|line| line.contains(&wanted)), "no scan filters on {column}:\n{text}");
    }
}

#[test]
fn a_later_format_is_refused_and_both_versions_are_named() {
    let error = refused("newer");
    let QueryError::FormatTooNew { found: 3, supported, .. } = error else { panic!("{error}") };
    assert_eq!(supported, schemas::FORMAT_VERSION);
    assert_eq!(error.exit_code(), 3);
    assert_eq!(error.hint().unwrap(), "use the version of saelake that wrote it, or a later one");
}

#[test]
fn wrong_columns_are_named() {
    let missing = refused("no-column");
    assert_eq!(missing.to_string(), "table `tokens` has no column `token`");
    let wrong = refused("wrong-type");
    assert_eq!(wrong.to_string(), "column `position` of table `tokens` holds i64, not Int32");
    assert_eq!((missing.exit_code(), wrong.exit_code()), (3, 3));
}

#[test]
fn a_folder_that_is_no_lake_is_refused() {
    let folder = TempDir::new().unwrap();
    let error = Tables::open(folder.path()).err().unwrap();
    assert!(matches!(error, QueryError::NotALake { table: "runs", .. }), "{error}");
    let error = Tables::open(Path::new("nowhere")).err().unwrap();
    assert_eq!(error.to_string(), "nowhere is not a lake: it has no folder `runs`");
    assert_eq!(error.exit_code(), 3);
}

#[test]
fn a_lake_below_what_reads_like_a_partition_is_refused() {
    let folder = tempfile::Builder::new().prefix("layer=3").tempdir().unwrap();
    let error = Tables::open(&copy(&folder)).err().unwrap();
    assert!(matches!(error, QueryError::PartitionAbove { .. }), "{error}");
}

#[test]
fn a_lake_without_features_or_games_says_so() {
    let tables = Tables::open(&made().join("no-features")).unwrap();
    let error = ask(&tables, &Question::default()).unwrap_err();
    assert_eq!(error.to_string(), "step 0 of game 7000000000011 has no features at any layer");
    let tables = Tables::open(&made().join("no-games")).unwrap();
    for game in [None, Some(GAMES[0])] {
        let error = ask(&tables, &Question { game, ..Question::default() }).unwrap_err();
        assert!(matches!(error, QueryError::NoGames), "{error}");
        assert_eq!(error.exit_code(), 1);
    }
}

#[test]
fn attention_without_a_head_is_refused() {
    let folder = TempDir::new().unwrap();
    let lake = copy(&folder);
    let rows = lake.join("attention_rows/game_block=0/layer=3");
    std::fs::remove_dir_all(rows).unwrap();
    let error = ask(&Tables::open(&lake).unwrap(), &elsewhere()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "layer 3 of step 1 of game 7000000000011 has attention of 0 heads, not of 3"
    );
    assert_eq!(error.exit_code(), 3);
}
