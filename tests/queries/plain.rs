//! Holds answers against dense numpy arrays.

use std::path::Path;

use queries::{Asked, FeatureName, QueryError, Scope, Selection, Tables};
use serde_json::{Value, json};

use super::{GAMES, check, engines::columns, games, made, python, rows, variables};

/// Every step of the tiny lake.
pub(super) fn steps() -> impl Iterator<Item = Scope> {
    GAMES.into_iter().flat_map(|game| [0, 1].map(|step| Scope::Step { game: Some(game), step: Some(step) }))
}

/// Some steps of the made games: one with two spans of one name, one that is decided at a special token.
fn made_steps() -> impl Iterator<Item = Scope> {
    let steps = [(1_000_003, 1), (2_000_009, 0)];
    steps.into_iter().map(|(game, step)| Scope::Step { game: Some(game), step: Some(step) })
}

/// Asks about every step, or all games, of both lakes, and compares the rows with those of `plain.py`.
pub(super) fn compare(
    question: &str,
    selections: &[Selection],
    ask: impl Fn(&Tables, &Selection) -> Result<Asked, QueryError>,
) {
    let (tiny, large) = (made().join("lake"), games().join("lake"));
    // Of the made games, feature 0 fires at every token.
    let other = |selection: &Selection| Selection {
        feature: selection.feature.map(|name| FeatureName { feature: 0, ..name }),
        ..selection.clone()
    };
    let others = selections.iter().map(other).collect::<Vec<_>>();
    if question.ends_with("-all") {
        compare_at(&tiny, question, selections, &[Scope::AllGames], &ask);
        compare_at(&large, question, &others, &[Scope::AllGames], &ask);
    } else {
        compare_at(&tiny, question, selections, &steps().collect::<Vec<_>>(), &ask);
        compare_at(&large, question, &others, &made_steps().collect::<Vec<_>>(), &ask);
    }
}

fn compare_at(
    lake: &Path,
    question: &str,
    selections: &[Selection],
    scopes: &[Scope],
    ask: &impl Fn(&Tables, &Selection) -> Result<Asked, QueryError>,
) {
    let tables = Tables::open(lake).unwrap();
    let mut asked = Vec::new();
    for selection in selections {
        asked.extend(scopes.iter().map(|scope| Selection { scope: *scope, ..selection.clone() }));
    }
    let answers = asked.iter().map(|selection| ask(&tables, selection).unwrap()).collect::<Vec<_>>();
    let mut settings = answers.iter().map(variables).collect::<Vec<_>>();
    for settings in &mut settings {
        settings["question"] = question.into();
    }
    let expected = python("plain.py", &[lake], &json!(settings).to_string());
    let expected = serde_json::from_str::<Vec<Vec<Value>>>(&expected).unwrap();
    for ((answer, selection), expected) in answers.into_iter().zip(&asked).zip(&expected) {
        let found = rows(answer).unwrap();
        assert!(!found.is_empty(), "{selection:?}");
        check(&found, expected, &columns(expected), &format!("{question} of {selection:?} by numpy"));
    }
}

/// What is said of a selection that cannot be answered.
pub(super) fn refused(asked: Result<Asked, QueryError>, exit_code: u8) -> String {
    let error = asked.err().unwrap();
    assert_eq!(error.exit_code(), exit_code, "{error}");
    error.to_string()
}
