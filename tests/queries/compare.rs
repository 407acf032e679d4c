//! Two groups of games differ by what plain loops say.

use queries::{Condition, QueryError, Selection, Specials, Tables, Variable, compare, games};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{GAMES, copy, loops, made, rows, tables};

fn only(tables: &Tables, condition: &str) -> Tables {
    tables.only(Condition::parse([condition]).unwrap()).unwrap()
}

fn number(found: &[Value], kind: &str, name: &str) -> [Value; 3] {
    let row = found.iter().find(|row| row["kind"] == kind && row["name"] == name).unwrap();
    ["first", "second", "difference"].map(|column| row[column].clone())
}

#[test]
fn differences_are_what_plain_loops_find() {
    let tables = tables();
    let (first, second) = (only(&tables, "game_id=g11"), only(&tables, "game_id=g22"));
    let all = Selection::default();
    let narrow = Selection { layer: Some(7), limit: Some(1), specials: Specials::Include, ..all.clone() };
    let groups = json!({"name": "compare", "where": {"game_id": "g11"}, "against": {"game_id": "g22"}});
    let with = |settings: Value| {
        let mut all = groups.clone();
        all.as_object_mut().unwrap().extend(settings.as_object().unwrap().clone());
        all
    };
    let cases = vec![
        (compare::ask(&first, &second, &all).unwrap(), groups.clone()),
        (
            compare::ask(&first, &second, &narrow).unwrap(),
            with(json!({"layer": 7, "limit": 1, "specials": "include"})),
        ),
        (compare::ask(&tables, &second, &all).unwrap(), with(json!({"where": {}}))),
    ];
    assert_eq!(loops::check(&made().join("lake"), cases), [4 + 3 + 1 + 2 * 4 + 2 * 2, 4 + 3 + 1 + 4 + 1, 20]);
}

#[test]
fn a_group_does_not_differ_from_itself() {
    let tables = tables();
    let found = rows(compare::ask(&tables, &tables, &Selection::default()).unwrap()).unwrap();
    assert_eq!(number(&found, "games", "shared"), [json!(2.0), json!(2.0), json!(0.0)]);
    for row in found.iter().filter(|row| row["kind"] != "games") {
        assert_eq!((&row["first"], &row["difference"]), (&row["second"], &json!(0.0)), "{row}");
        assert_eq!(row["n_first"], row["n_second"]);
    }
    // Two features that fire at every position.
    let shares = found.iter().filter(|row| row["kind"] == "feature").map(|row| &row["first"]);
    assert_eq!(shares.collect::<Vec<_>>(), vec![&json!(1.0); 4]);
    assert!(compare::differing(&tables, &tables).unwrap().is_empty());
}

#[test]
fn groups_that_share_games_say_so() {
    let tables = tables();
    let found = rows(compare::ask(&tables, &only(&tables, "game_id=g22"), &Selection::default()).unwrap());
    let found = found.unwrap();
    assert_eq!(number(&found, "games", "total"), [json!(2.0), json!(1.0), json!(1.0)]);
    assert_eq!(number(&found, "games", "shared"), [json!(1.0), json!(1.0), json!(0.0)]);
    assert_eq!(number(&found, "games", "only_first"), [json!(1.0), json!(0.0), json!(1.0)]);
    assert_eq!(number(&found, "games", "only_second"), [json!(0.0), json!(0.0), json!(0.0)]);
    assert_eq!(number(&found, "decision", "bet_share"), [json!(1.0), json!(1.0), json!(0.0)]);
    assert_eq!(number(&found, "decision", "final_balance"), [json!(90.0), json!(90.0), json!(0.0)]);
    assert_eq!(number(&found, "outcome", "voluntary_stop"), [json!(1.0), json!(1.0), json!(0.0)]);
}

#[test]
fn features_of_other_dictionaries_are_not_compared() {
    let folder = TempDir::new().unwrap();
    let lake = copy(&folder);
    for entry in std::fs::read_dir(lake.join("dictionaries")).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            std::fs::remove_file(path).unwrap();
        }
    }
    let other = Tables::open(&lake).unwrap();
    let asked = compare::ask(&tables(), &other, &Selection::default()).unwrap();
    let text = |name: &str| match asked.variables.iter().find(|variable| variable.0 == name) {
        Some((_, Variable::Text(text))) => text.clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!(
        (text("lake"), text("other")),
        (made().join("lake").to_string_lossy().into_owned(), lake.to_string_lossy().into_owned(),)
    );
    let kinds = rows(asked).unwrap();
    assert!(kinds.iter().any(|row| row["kind"] == "layer"));
    assert!(kinds.iter().all(|row| row["kind"] != "feature"));
    let error = compare::ask(&other, &other, &Selection { layer: Some(4), ..Selection::default() });
    let error = error.err().unwrap();
    assert!(matches!(error, QueryError::NoSuchLayer { layer: 4, .. }), "{error}");
}

#[test]
fn games_are_listed_with_their_bets() {
    let found = rows(games::ask(&tables(), &Selection::default())).unwrap();
    let first = json!({
        "game": GAMES[0], "game_id": "g11", "n_steps": 2, "outcome": "voluntary_stop", "final_balance": 90,
        "bet_type": "fixed", "components": "GM", "bets": 2,
    });
    assert_eq!(found.len(), 2);
    assert_eq!(found[0], first);
    assert_eq!(found[1]["game"], GAMES[1]);
    let one = Selection { limit: Some(1), ..Selection::default() };
    assert_eq!(rows(games::ask(&tables(), &one)).unwrap(), [first]);
    let second = only(&tables(), "game_id=g22");
    assert_eq!(rows(games::ask(&second, &Selection::default())).unwrap()[0]["game_id"], "g22");
}
