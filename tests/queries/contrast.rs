//! The contrast finds what was planted, and nothing where there is nothing.

use std::path::Path;

use queries::{
    QueryError, Scope, Selection, Tables,
    contrast::{self, Groups, MIN_SUPPORT},
    features,
};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{agree, check, engines::columns, games, python, rows};

/// More rows than there are.
const ALL: u32 = 1_000_000;

/// The rate below which a row is a discovery.
const RATE: f64 = 0.05;

fn everything() -> Selection {
    Selection { scope: Scope::AllGames, limit: Some(ALL), ..Selection::default() }
}

fn made() -> Tables {
    Tables::open(&games().join("lake")).unwrap()
}

fn contrast(tables: &Tables, selection: &Selection, groups: &Groups, min_support: u32) -> Vec<Value> {
    rows(contrast::ask(tables, selection, groups, min_support).unwrap()).unwrap()
}

fn groups(by: &str) -> Groups {
    Groups::of(by, None, None).unwrap()
}

/// The rows in the order in which they are sorted, which rounding must not change.
fn name(row: &Value) -> (i64, String, i64) {
    let (layer, span) = (row["layer"].as_i64().unwrap(), row["span"].as_str().unwrap());
    (layer, span.to_owned(), row["feature"].as_i64().unwrap())
}

#[test]
fn every_number_is_what_numpy_computes_from_all_pairs_and_triples_of_steps() {
    let lake = games().join("lake");
    for (by, first, second, min_support) in [
        ("decision", "bet", "stop", MIN_SUPPORT),
        ("outcome", "bankruptcy", "voluntary_stop", 1),
        ("source", "slot-machine", "prompts", 3),
    ] {
        let groups = Groups::of(by, Some(first), Some(second)).unwrap();
        let mut found = contrast(&made(), &everything(), &groups, min_support);
        found.sort_by_key(name);
        let support = min_support.to_string();
        let arguments =
            [lake.as_path(), Path::new(by), Path::new(first), Path::new(second), Path::new(&support)];
        let expected =
            serde_json::from_str::<Vec<Value>>(&python("contrast_reference.py", &arguments, "")).unwrap();
        assert!(expected.len() > 500, "{by}: {}", expected.len());
        check(&found, &expected, &columns(&found), &format!("{by} in numpy"));
        for (found, expected) in found.iter().zip(&expected) {
            // Where p is small, the tolerance of `check` says nothing of it.
            if let (Some(p), Some(exact)) = (found["p_value"].as_f64(), expected["p_value"].as_f64()) {
                assert!((p / exact - 1.0).abs() < 1e-6, "{p} is not {exact}: {found}");
            }
        }
    }
}

/// The smallest case: two games of one step in a group and one in the other, so that pairs do not count.
/// Values 0, 0, 6: difference -6, variance of the values 12, of the difference 12·(1/2 + 1/1) = 18.
#[test]
fn one_step_a_game_is_the_textbook_case() {
    let deviation = 18_f64.sqrt();
    let statistic = -6.0 / deviation;
    // Σz³ = 64 − 8 − 8 = 48, their mean 16, times 9/2 for three games; times Σa³ = 2/8 − 1 = −3/4: −54.
    let skewness = -54.0 / deviation.powi(3);
    let shape: f64 = 4.0 / (skewness * skewness);
    let root = ((1.0 + -statistic / shape.sqrt()).cbrt() - 1.0 + 1.0 / (9.0 * shape)) * 3.0 * shape.sqrt();
    assert!((statistic + 2_f64.sqrt()).abs() < 1e-12 && (skewness + 0.5_f64.sqrt()).abs() < 1e-12);
    let folder = TempDir::new().unwrap();
    python("three_games.py", &[folder.path()], "");
    let tables = Tables::open(&folder.path().join("lake")).unwrap();
    let groups = Groups::of("outcome", None, None).unwrap();
    let selection = Selection { span: Some("balance".to_owned()), ..everything() };
    let found = contrast(&tables, &selection, &groups, 1);
    assert_eq!(found.len(), 1, "{found:?}");
    let expected = json!({"n_first": 2, "n_second": 1, "games": 3, "support": 1, "mean_first": 0.0, "mean_second": 6.0,
        "difference": -6.0, "effect": null, "statistic": statistic});
    for (column, value) in expected.as_object().unwrap() {
        assert!(agree(&found[0][column], value), "{column} of {}", found[0]);
    }
    // The normal distribution's two tails beyond 1.3458, to seven digits.
    let p = found[0]["p_value"].as_f64().unwrap();
    assert!((root - ROOT).abs() < 1e-6 && (p / TWO_TAILS - 1.0).abs() < 1e-6, "{root} {p}");
    assert_eq!(found[0]["q_value"], found[0]["p_value"]);
}

/// Wilson and Hilferty's score of the smallest case, and what Python's math.erfc says of it.
const ROOT: f64 = 1.345_792_197_1;
const TWO_TAILS: f64 = 0.178_369_542_57;

/// Of 200 shuffles at a rate of 0.05, at most 18 have a discovery in 99 of 100 cases. A t test over steps finds
/// something in 9 shuffles of the decision and 139 of the outcome; with a variance for each group, in 34 and 192.
#[test]
fn shuffled_groups_differ_in_nothing() {
    const SHUFFLES: usize = 200;
    const MOST: usize = 18;
    let folder = TempDir::new().unwrap();
    python("shuffled_games.py", &[folder.path(), Path::new(&SHUFFLES.to_string())], "");
    let lake = folder.path().join("lake");
    for (by, table) in [("decision", "steps"), ("outcome", "games")] {
        let file = std::fs::read_dir(lake.join(table)).unwrap().next().unwrap().unwrap().path();
        let (mut with_discoveries, mut tests, mut below) = (0, 0, 0);
        for shuffle in 0..SHUFFLES {
            std::fs::copy(folder.path().join(format!("{table}-{shuffle}.parquet")), &file).unwrap();
            let found = contrast(&Tables::open(&lake).unwrap(), &everything(), &groups(by), MIN_SUPPORT);
            with_discoveries += usize::from(!discoveries(&found).is_empty());
            let p = found.iter().filter_map(|row| row["p_value"].as_f64()).collect::<Vec<_>>();
            tests += p.len();
            below += p.iter().filter(|p| **p < RATE).count();
        }
        assert!(tests > 100 * SHUFFLES, "{by}: {tests}");
        assert!(with_discoveries <= MOST, "{by}: {with_discoveries} of {SHUFFLES} shuffles have a discovery");
        // It is no test that never says anything.
        let share = below as f64 / tests as f64;
        assert!((0.02..=RATE).contains(&share), "{by}: p is below {RATE} in {share} of the tests");
    }
}

fn discoveries(rows: &[Value]) -> Vec<&Value> {
    rows.iter().filter(|row| row["q_value"].as_f64().is_some_and(|q| q < RATE)).collect()
}

#[test]
fn what_was_planted_is_found_and_what_games_have_of_themselves_is_not() {
    let found = contrast(&made(), &everything(), &Groups::default(), MIN_SUPPORT);
    assert_eq!(name(&found[0]), (7, "balance".to_owned(), 13));
    assert!(found[0]["q_value"].as_f64().unwrap() < 1e-4 && found[0]["effect"].as_f64().unwrap() > 1.0);
    // It differs as much between bets and stops, because a few long games that always bet have it.
    let of_games = found.iter().find(|row| name(row) == (7, "balance".to_owned(), 29)).unwrap();
    assert!(
        of_games["effect"].as_f64().unwrap() > 0.5 && of_games["q_value"].as_f64().unwrap() > RATE,
        "{of_games}"
    );
}

#[test]
fn groups_may_change_places() {
    let there = contrast(&made(), &everything(), &Groups::default(), MIN_SUPPORT);
    let back = Groups::of("decision", Some("stop"), Some("bet")).unwrap();
    let back = contrast(&made(), &everything(), &back, MIN_SUPPORT);
    let turned =
        |row: &Value, column: &str| row[column].as_f64().map(|value| json!(-value)).unwrap_or_default();
    for (there, back) in there.iter().zip(&back) {
        assert_eq!(name(there), name(back));
        for column in ["difference", "effect", "statistic"] {
            assert!(agree(&turned(there, column), &back[column]), "{column}: {there} {back}");
        }
        assert!(agree(&there["p_value"], &back["p_value"]) && agree(&there["n_first"], &back["n_second"]));
    }
}

#[test]
fn effects_are_importances() {
    let tables = made();
    let given = contrast::importance(&tables, &everything(), &Groups::default(), MIN_SUPPORT).unwrap();
    let mut json = Vec::new();
    queries::write(&mut given.rows().clone(), queries::Format::Json, &mut json).unwrap();
    let importances = serde_json::from_slice::<Vec<Value>>(&json).unwrap();
    let planted = importances.iter().find(|row| row["layer"] == 7 && row["feature"] == 13).unwrap();
    let found = contrast(&tables, &everything(), &Groups::default(), MIN_SUPPORT);
    let largest = found.iter().filter(|row| row["layer"] == 7 && row["feature"] == 13);
    let largest = largest.filter_map(|row| row["effect"].as_f64()).max_by(|a, b| a.abs().total_cmp(&b.abs()));
    assert!(agree(&planted["importance"], &json!(largest)), "{planted} {largest:?}");
    let weights = queries::Weights { importance: Some(given), couplings: None };
    let selection = Selection { layer: Some(7), span: Some("balance".to_owned()), ..Selection::default() };
    let ranked = rows(features::ask(&tables, &selection, &weights).unwrap()).unwrap();
    assert_eq!(ranked[0]["feature"], 13, "{ranked:?}");
}

#[test]
fn groups_that_are_not_there_are_answered_with_those_that_are() {
    let unknown = Groups::of("outcom", None, None).unwrap_err();
    assert!(
        matches!(&unknown, QueryError::UnknownColumn { nearest, .. } if nearest[0] == "outcome"),
        "{unknown}"
    );
    for (first, second) in [(None, None), (Some("fixed"), None), (Some("fixed"), Some("fixed"))] {
        let error = Groups::of("bet_type", first, second).unwrap_err();
        assert_eq!(error.exit_code(), 2, "{error}");
    }
    let groups = Groups::of("bet_type", Some("fixed"), Some("free")).unwrap();
    let error = contrast::ask(&made(), &everything(), &groups, MIN_SUPPORT).err().unwrap();
    assert_eq!(error.to_string(), "no step has the bet_type `free`; there are fixed, variable");
    assert_eq!(error.exit_code(), 1);
    let step = Selection::default();
    let error = contrast::ask(&made(), &step, &Groups::default(), MIN_SUPPORT).err().unwrap();
    assert_eq!(error.to_string(), "`contrast` needs all games");
}
