//! The rollup answers as the rows that it is made of: in a lake that has one and in the same lake without.

use std::path::{Path, PathBuf};

use queries::{Asked, Condition, QueryError, Selection, Specials, Tables, compare, feature};
use serde_json::Value;
use tempfile::TempDir;

use super::{asked::Case, copy_of, engines, games, python, rows};
use crate::support::{program, repository, said};

/// The made games in the first format, which has no rollup.
fn without(folder: &TempDir) -> PathBuf {
    let copy = folder.path().join("first");
    python("first_format.py", &[&games().join("lake"), &copy], "");
    copy
}

fn named(name: &str) -> Selection {
    Selection { feature: name.parse().ok(), limit: Some(1000), ..Selection::default() }
}

/// Every question that the rollup answers, of all games and of some, and answers without it beside them.
fn answers(lake: &Path) -> Vec<Vec<Value>> {
    let tables = Tables::open(lake).unwrap();
    let only = |condition: &str| tables.only(Condition::parse([condition]).unwrap()).unwrap();
    let (bankrupt, others) = (only("outcome=bankruptcy"), only("outcome!=bankruptcy"));
    let mut answers = Vec::new();
    let mut answer = |asked: Result<Asked, QueryError>| answers.push(rows(asked.unwrap()).unwrap());
    for layer in [None, Some(7)] {
        for specials in [Specials::LeaveOut, Specials::Include] {
            let selection = Selection { layer, specials, limit: Some(1000), ..Selection::default() };
            answer(compare::ask(&bankrupt, &others, &selection));
        }
    }
    for name in ["L3-0", "L7-13", "L7-29", "L11-5"] {
        answer(feature::ask(&tables, &named(name)));
        answer(feature::ask(&bankrupt, &named(name)));
    }
    answers
}

#[test]
fn a_lake_with_a_rollup_answers_as_the_same_lake_without() {
    let folder = TempDir::new().unwrap();
    let (with, without) = (answers(&games().join("lake")), answers(&without(&folder)));
    assert!(with.iter().all(|rows| rows.len() > 3));
    for (with, without) in with.iter().zip(&without) {
        assert_eq!(with, without);
    }
}

/// Without its files, and only without them, what it answers is empty.
#[test]
fn the_rollup_is_what_is_read() {
    let folder = TempDir::new().unwrap();
    let lake = copy_of(&games().join("lake"), &folder);
    std::fs::remove_dir_all(lake.join("feature_rollup")).unwrap();
    std::fs::create_dir(lake.join("feature_rollup")).unwrap();
    let tables = Tables::open(&lake).unwrap();
    let fires = |specials: Specials| {
        let selection = Selection { specials, ..named("L7-29") };
        rows(feature::ask(&tables, &selection).unwrap()).unwrap().len()
    };
    assert_eq!(fires(Specials::LeaveOut), 0);
    assert!(fires(Specials::Include) > 10);
    let selection = Selection::default();
    let compared = rows(compare::ask(&tables, &tables, &selection).unwrap()).unwrap();
    assert!(compared.iter().all(|row| row["kind"] != "feature"));
}

#[test]
fn a_feature_that_is_not_there_is_refused_with_the_nearest() {
    let tables = Tables::open(&games().join("lake")).unwrap();
    let error = feature::ask(&tables, &Selection::default()).err().unwrap();
    assert_eq!(error.to_string(), "`feature` needs a feature, such as --feature L8-59");
    let error = feature::ask(&tables, &named("L3-4000")).err().unwrap();
    assert!(matches!(error, QueryError::UnknownFeature { .. }), "{error}");
    let error = feature::ask(&tables, &named("L4-1")).err().unwrap();
    assert!(matches!(error, QueryError::NoSuchLayer { layer: 4, .. }), "{error}");
}

/// The checked-in lake of the first format, whose answers are those of the lake that an upgrade makes of it; the SQL
/// reads tables that the first format lacks.
#[test]
fn the_sql_runs_on_an_upgraded_lake_of_the_first_format() {
    let (first, folder) = (repository("tests/fixtures/lake/format-1/lake"), tempfile::tempdir().unwrap());
    // The name of a copy has brackets, which DuckDB takes for a pattern.
    let lake = folder.path().join("lake");
    std::fs::rename(copy_of(&first, &folder), &lake).unwrap();
    let upgraded = program(&["lake", "upgrade", lake.to_str().unwrap()]);
    assert!(upgraded.status.success(), "{}", said(&upgraded));
    let tables = Tables::open(&first).unwrap();
    let before = rows(feature::ask(&tables, &named("L15-997")).unwrap()).unwrap();
    let tables = Tables::open(&lake).unwrap();
    assert_eq!(rows(feature::ask(&tables, &named("L15-997")).unwrap()).unwrap(), before);
    let selection = Selection { scope: queries::Scope::AllGames, ..Selection::default() };
    let games = |steps: &str| tables.only(Condition::parse([format!("n_steps={steps}").as_str()]).unwrap());
    let case = |what: &str, asked: Result<Asked, QueryError>| Case {
        what: what.to_owned(),
        name: "first format",
        asked: asked.unwrap(),
    };
    let cases = vec![
        case("overview", queries::overview::ask(&tables, &selection)),
        case("games", Ok(queries::games::ask(&tables, &selection))),
        case("compare", compare::ask(&games("7").unwrap(), &games("1").unwrap(), &selection)),
        case("feature", feature::ask(&tables, &named("L15-997"))),
        case("heatmap", queries::heatmap::ask(&tables, &selection)),
    ];
    engines::compare("duckdb", cases);
}
