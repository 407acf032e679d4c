//! What the last token does not show is what plain loops say.

use queries::{
    FeatureName, QueryError, Scope, Selection, Specials, Tables,
    last_token::{self, Thresholds},
};
use serde_json::{Value, json};

use super::{GAMES, games, loops, made, rows, tables};

fn all_games() -> Selection {
    Selection { scope: Scope::AllGames, ..Selection::default() }
}

fn settings(selection: &Selection, thresholds: Thresholds) -> Value {
    let mut settings = json!({"threshold": thresholds.threshold, "silent": thresholds.silent});
    match selection.scope {
        Scope::AllGames => settings["name"] = "last-token-all".into(),
        Scope::Step { game, step } => {
            settings["name"] = "last-token".into();
            settings["game"] = json!(game);
            settings["step"] = json!(step.unwrap_or(0));
        }
    }
    settings["layer"] = json!(selection.layer);
    settings["limit"] = json!(selection.limit.unwrap_or(last_token::LIMIT));
    settings["specials"] = json!((selection.specials == Specials::Include).then_some("include"));
    settings
}

#[test]
fn what_is_missed_is_what_plain_loops_find() {
    let tables = tables();
    let mut cases = Vec::new();
    for (threshold, silent) in [(0.5, 0.1), (6.0, 5.0), (9.0, 9.0), (11.5, 2.0), (14.0, 12.0)] {
        for scope in [all_games().scope, Selection::default().scope]
            .into_iter()
            .chain(GAMES.map(|game| Scope::Step { game: Some(game), step: Some(1) }))
        {
            for specials in [Specials::LeaveOut, Specials::Include] {
                for (layer, limit) in [(None, None), (Some(3), Some(1))] {
                    let thresholds = Thresholds { threshold, silent };
                    let selection = Selection { scope, specials, layer, limit, ..Selection::default() };
                    let asked = last_token::ask(&tables, &selection, thresholds).unwrap();
                    cases.push((asked, settings(&selection, thresholds)));
                }
            }
        }
    }
    let found = loops::check(&made().join("lake"), cases);
    assert!(found.iter().filter(|rows| **rows > 0).count() > 30, "{found:?}");
    assert!(found.contains(&0), "{found:?}");
}

#[test]
fn nothing_is_missed_where_everything_is_heard() {
    // Every feature of the lake fires above 0.1 at every position.
    let found = rows(last_token::ask(&tables(), &all_games(), Thresholds::default()).unwrap()).unwrap();
    assert_eq!(found.len(), 2 * 3);
    for row in &found {
        assert_eq!((&row["n_missed"], &row["share"], &row["n_steps"]), (&json!(0), &json!(0.0), &json!(4)));
        let seen = if row["feature"].is_null() { 8 } else { 4 };
        assert_eq!(row["n_seen"], seen, "two features in four steps");
    }
    let one = Selection { feature: Some(FeatureName { layer: 7, feature: 9 }), ..all_games() };
    let found = rows(last_token::ask(&tables(), &one, Thresholds::default()).unwrap()).unwrap();
    assert_eq!(found.iter().map(|row| &row["feature"]).collect::<Vec<_>>(), [&Value::Null, &json!(9)]);
    assert_eq!(found[0]["n_seen"], 4);
}

#[test]
fn what_was_forgotten_is_missed() {
    let truth = std::fs::read(games().join("truth.json")).unwrap();
    let truth = serde_json::from_slice::<Value>(&truth).unwrap();
    let planted: FeatureName = truth["planted"]["forgotten"]["feature"].as_str().unwrap().parse().unwrap();
    let tables = Tables::open(&games().join("lake")).unwrap();
    let selection = Selection { layer: Some(planted.layer), limit: Some(3), ..all_games() };
    let found = rows(last_token::ask(&tables, &selection, Thresholds::default()).unwrap()).unwrap();
    let row = found.iter().find(|row| row["feature"] == planted.feature).unwrap();
    assert_eq!((&row["share"], &row["n_missed"]), (&json!(1.0), &row["n_seen"]));
    assert_eq!(found.len(), 4);
}

#[test]
fn thresholds_that_make_no_sense_are_refused() {
    for (threshold, silent) in [(0.5, 0.6), (0.5, 0.0), (-1.0, -2.0), (f64::NAN, 0.1), (0.5, f64::NAN)] {
        let error = last_token::ask(&tables(), &all_games(), Thresholds { threshold, silent }).err().unwrap();
        assert!(matches!(error, QueryError::Thresholds { .. }), "{error}");
        assert_eq!(error.exit_code(), 2);
        assert!(error.hint().is_some());
    }
    let layer = Selection { layer: Some(4), ..all_games() };
    let error = last_token::ask(&tables(), &layer, Thresholds::default()).err().unwrap();
    assert_eq!(error.to_string(), "no game has anything at layer 4; there are the layers 3, 7");
}
