//! What a position holds is what numpy says.

use queries::{Scope, Selection, Specials, Tables, flow::Heads, position};

use super::{
    GAMES,
    plain::{compare, refused},
    rows, tables,
};

fn at(position: i32) -> Selection {
    Selection { position: Some(position), ..Selection::default() }
}

fn of(span: &str) -> Selection {
    Selection { span: Some(span.to_owned()), ..Selection::default() }
}

fn ask(tables: &Tables, selection: &Selection) -> Result<queries::Asked, queries::QueryError> {
    position::ask(tables, selection, Heads::Mean)
}

#[test]
fn a_position_of_a_step_is_what_numpy_says() {
    let selections = [
        at(2),
        Selection { specials: Specials::Include, limit: Some(100), ..at(0) },
        // A special token in one game and the last of the other.
        Selection { layer: Some(3), ..at(5) },
        Selection { feature: Some("L7-9".parse().unwrap()), ..at(6) },
        Selection { limit: Some(2), ..of("balance") },
        of("decision"),
    ];
    for heads in [Heads::Mean, Heads::Each] {
        let ask = |tables: &Tables, selection: &Selection| position::ask(tables, selection, heads);
        compare("position", &selections, ask);
    }
}

#[test]
fn a_span_of_all_games_is_what_numpy_says() {
    let selections = [
        of("balance"),
        of("decision"),
        Selection { specials: Specials::Include, limit: Some(1), ..of("balance") },
        Selection { layer: Some(7), ..of("balance") },
        Selection { feature: Some("L3-5".parse().unwrap()), ..of("balance") },
    ];
    compare("position-all", &selections, ask);
}

#[test]
fn a_generated_token_can_be_looked_at() {
    // The first game's decision is at 7, and two tokens follow.
    let scope = Scope::Step { game: Some(GAMES[0]), step: None };
    let rows = rows(ask(&tables(), &Selection { scope, ..at(9) }).unwrap()).unwrap();
    let kinds = rows.iter().map(|row| row["kind"].as_str().unwrap()).collect::<Vec<_>>();
    assert!(kinds.contains(&"attends_to") && kinds.contains(&"feature"), "{kinds:?}");
    assert!(!kinds.contains(&"attended_by") && !kinds.contains(&"decision_attention"), "{kinds:?}");
}

#[test]
fn only_the_strongest_of_a_kind_are_shown() {
    let rows = rows(ask(&tables(), &Selection { limit: Some(1), ..at(2) }).unwrap()).unwrap();
    let kinds = rows.iter().map(|row| (row["layer"].as_i64(), row["kind"].as_str())).collect::<Vec<_>>();
    let mut once = kinds.clone();
    once.dedup();
    assert_eq!(kinds, once);
    assert_eq!(kinds.len(), 2 * 7, "two layers, seven kinds");
}

#[test]
fn what_position_needs_is_said() {
    let tables = tables();
    let said = |selection: &Selection| refused(ask(&tables, selection), 2);
    assert_eq!(said(&Selection::default()), "`position` needs either a position or a span");
    assert_eq!(
        said(&Selection { position: Some(2), ..of("balance") }),
        "`position` needs either a position or a span"
    );
    for selection in [at(2), Selection::default()] {
        let selection = Selection { scope: Scope::AllGames, ..selection };
        assert_eq!(said(&selection), "`position` needs a span, and no position, of all games");
    }
}

#[test]
fn what_position_cannot_find_is_named() {
    let tables = tables();
    let said = |selection: &Selection| refused(ask(&tables, selection), 1);
    let first = format!("step 0 of game {}", GAMES[0]);
    assert_eq!(said(&at(10)), format!("{first} has no position 10; it has 0 to 9"));
    assert_eq!(said(&at(-1)), format!("{first} has no position -1; it has 0 to 9"));
    let feature = Some("L3-7".parse().unwrap());
    assert_eq!(
        said(&Selection { feature, ..at(2) }),
        "L3-7 fires nowhere here; the nearest that do are L3-5, L3-9"
    );
    for scope in [Scope::default(), Scope::AllGames] {
        let said = said(&Selection { scope, ..of("ballance") });
        assert_eq!(said, "there is no span `ballance`; the nearest are balance, decision");
    }
    let said = said(&Selection { scope: Scope::AllGames, layer: Some(4), ..of("balance") });
    assert_eq!(said, "no game has anything at layer 4; there are the layers 3, 7");
}
