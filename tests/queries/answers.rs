//! Attribution says what numpy and DuckDB say.

use queries::{Specials, attribution::AsPublished};
use serde_json::{Value, json};

use super::{GAMES, ORPHAN, Question, TOLERANCE, ask, check, elsewhere, engine, made, tables};

/// More than there are positions.
const ALL: u32 = 1000;

const OURS: [&str; 9] =
    ["game", "step", "layer", "rank", "position", "token", "importance", "attention", "feature_norm"];

fn expected() -> Vec<Value> {
    serde_json::from_slice(&std::fs::read(made().join("expected.json")).unwrap()).unwrap()
}

fn question(case: &Value, published: AsPublished) -> Question {
    Question {
        game: case["game"].as_i64(),
        step: case["step"].as_i64().map(|step| step as i32),
        layer: case["layer"].as_i64().map(|layer| layer as i32),
        limit: Some(ALL),
        specials: if case["specials"] == "include" { Specials::Include } else { Specials::LeaveOut },
        published,
    }
}

/// With the published formula, rows that only its first place brings in are shown too.
fn shown(rows: &[Value], published: AsPublished) -> Vec<Value> {
    let is_shown = |row: &&Value| {
        !row["rank"].is_null() || (published == AsPublished::Yes && row["published_rank"] == 1)
    };
    rows.iter().filter(is_shown).cloned().collect()
}

fn columns(published: AsPublished) -> Vec<&'static str> {
    let theirs = ["published_importance", "published_rank"];
    let shown = if published == AsPublished::Yes { 2 } else { 0 };
    OURS.into_iter().chain(theirs.into_iter().take(shown)).collect()
}

#[test]
fn attribution_is_what_numpy_computes_from_the_whole_pattern() {
    let (tables, cases) = (tables(), expected());
    assert_eq!(cases.len(), 16);
    for case in &cases {
        for published in [AsPublished::No, AsPublished::Yes] {
            let question = question(case, published);
            let found = ask(&tables, &question).unwrap();
            let rows = shown(case["rows"].as_array().unwrap(), published);
            check(&found, &rows, &columns(published), &format!("{question:?}"));
            let sum = found.iter().filter_map(|row| row["importance"].as_f64()).sum::<f64>();
            assert!((sum - 1.0).abs() < TOLERANCE, "{question:?}: importances sum to {sum}");
        }
    }
}

#[test]
fn attribution_is_what_duckdb_says() {
    let (tables, cases) = (tables(), expected());
    let mut questions = vec![Question::default(), Question { limit: Some(2), ..elsewhere() }];
    questions.push(Question { published: AsPublished::Yes, ..questions[1].clone() });
    questions.push(Question { step: Some(1), ..Question::default() });
    questions.push(Question { layer: Some(3), ..Question::default() });
    for published in [AsPublished::No, AsPublished::Yes] {
        questions.extend(cases.iter().map(|case| question(case, published)));
    }
    let asked = questions.iter().map(|question| question.asked(&tables).unwrap()).collect::<Vec<_>>();
    let answers = engine("duckdb", &asked.iter().collect::<Vec<_>>());
    for (question, theirs) in questions.iter().zip(&answers) {
        let ours = ask(&tables, question).unwrap();
        assert!(!ours.is_empty());
        check(&ours, theirs, &columns(question.published), &format!("{question:?} in DuckDB"));
    }
}

#[test]
fn the_column_of_the_pattern_is_not_its_row() {
    let everything = Question {
        limit: Some(ALL),
        specials: Specials::Include,
        published: AsPublished::Yes,
        ..elsewhere()
    };
    let rows = ask(&tables(), &everything).unwrap();
    let decision = 7;
    assert_eq!(rows.len(), decision + 1);
    for row in &rows {
        let published = row["published_importance"].as_f64().unwrap();
        let last = row["position"] == decision;
        assert!((published - if last { 1.0 } else { 0.0 }).abs() < TOLERANCE, "{row}");
        assert!(row["importance"].as_f64().unwrap() > 0.0 && row["importance"].as_f64().unwrap() < 1.0);
    }
}

#[test]
fn the_first_of_the_published_formula_is_shown_though_we_do_not_rank_it() {
    // The decision position of the second game is a special token.
    let question =
        Question { game: Some(GAMES[1]), limit: Some(1), published: AsPublished::Yes, ..Question::default() };
    let rows = ask(&tables(), &question).unwrap();
    assert_eq!(rows.len(), 2);
    assert_eq!((&rows[0]["rank"], &rows[1]["rank"]), (&json!(1), &Value::Null));
    assert_eq!((&rows[1]["token"], &rows[1]["importance"]), (&json!("<end>"), &Value::Null));
    assert_eq!(rows[1]["published_rank"], 1);
}

#[test]
fn defaults_are_the_first_game_its_first_step_and_the_last_layer() {
    let tables = tables();
    let named = Question {
        game: Some(GAMES[0]),
        step: Some(0),
        layer: Some(7),
        limit: Some(10),
        ..Question::default()
    };
    let rows = ask(&tables, &Question::default()).unwrap();
    assert_eq!(rows, ask(&tables, &named).unwrap());
    assert!(rows.iter().all(|row| row["position"] != 0 && row["token"] != "<sep>"));
}

#[test]
fn equal_importances_go_by_position() {
    let question = Question {
        game: Some(GAMES[1]),
        step: Some(0),
        layer: Some(3),
        limit: Some(ALL),
        ..Question::default()
    };
    let rows = ask(&tables(), &question).unwrap();
    let alike = rows.iter().filter(|row| row["token"] == " now").collect::<Vec<_>>();
    assert_eq!(alike[0]["importance"], alike[1]["importance"]);
    assert_eq!((&alike[0]["position"], &alike[1]["position"]), (&json!(2), &json!(3)));
}

#[test]
fn what_is_not_there_is_answered_with_what_there_is() {
    let tables = tables();
    let said = |question| {
        let error = ask(&tables, &question).unwrap_err();
        assert_eq!(error.exit_code(), 1);
        error.to_string()
    };
    assert_eq!(
        said(Question { game: Some(ORPHAN), ..Question::default() }),
        "the lake holds no game 7000000000033; the nearest are 7000000000011, 7000000000022"
    );
    assert_eq!(
        said(Question { step: Some(2), ..Question::default() }),
        "game 7000000000011 has no step 2; it has 0, 1"
    );
    assert_eq!(
        said(Question { layer: Some(5), ..Question::default() }),
        "step 0 of game 7000000000011 has no features at layer 5; it has them at 3, 7"
    );
}
