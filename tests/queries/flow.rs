//! Flow is what numpy says, and no attention is lost or made.

use std::collections::BTreeMap;

use queries::{
    QueryError, Scope, Selection, Specials, Tables,
    flow::{self, Heads, NOT_KEPT, OTHER, ROLLOUT},
};
use serde_json::Value;
use tempfile::TempDir;

use super::{
    GAMES, copy_of, made,
    plain::{compare, refused, steps},
    rows, tables,
};

fn selections() -> Vec<Selection> {
    let of = |span: &str| Selection { span: Some(span.to_owned()), ..Selection::default() };
    vec![
        Selection::default(),
        Selection { layer: Some(3), ..Selection::default() },
        Selection { specials: Specials::Include, ..of("balance") },
        Selection { layer: Some(7), ..of("decision") },
        of("decision"),
    ]
}

fn ask(tables: &Tables, scope: Scope, heads: Heads) -> Vec<Value> {
    rows(flow::ask(tables, &Selection { scope, ..Selection::default() }, heads).unwrap()).unwrap()
}

/// Weights by layer, head and the span that looks.
fn by_look(rows: &[Value]) -> BTreeMap<(i64, i64, String), BTreeMap<String, f64>> {
    let mut found = BTreeMap::<_, BTreeMap<_, _>>::new();
    for row in rows {
        let text = |column: &str| row[column].as_str().unwrap().to_owned();
        let look = (row["layer"].as_i64().unwrap(), row["head"].as_i64().unwrap(), text("from_span"));
        found.entry(look).or_default().insert(text("to_span"), row["weight"].as_f64().unwrap());
    }
    found
}

#[test]
fn flow_of_a_step_is_what_numpy_says() {
    for heads in [Heads::Mean, Heads::Each] {
        let ask = |tables: &Tables, selection: &Selection| flow::ask(tables, selection, heads);
        compare("flow", &selections(), ask);
    }
}

#[test]
fn flow_of_all_games_is_what_numpy_says() {
    for heads in [Heads::Mean, Heads::Each] {
        let ask = |tables: &Tables, selection: &Selection| flow::ask(tables, selection, heads);
        compare("flow-all", &selections(), ask);
    }
}

#[test]
fn flow_of_all_games_is_the_mean_over_their_steps() {
    let tables = tables();
    let mut sums = BTreeMap::<_, f64>::new();
    let (scopes, mut n_steps) = (steps(), 0);
    for scope in scopes {
        n_steps += 1;
        for (look, weights) in by_look(&ask(&tables, scope, Heads::Each)) {
            for (to, weight) in weights {
                *sums.entry((look.clone(), to)).or_default() += weight;
            }
        }
    }
    let all = ask(&tables, Scope::AllGames, Heads::Each);
    assert_eq!(all.len(), sums.len());
    for (row, (key, sum)) in all.iter().zip(&sums) {
        // Every step of the lake is a bet, and has both spans.
        assert_eq!((&row["n_bet"], &row["n_stop"], &row["stop"]), (&n_steps.into(), &0.into(), &Value::Null));
        let bet = row["bet"].as_f64().unwrap();
        assert!((bet - sum / f64::from(n_steps)).abs() < 1e-6, "{key:?}: {row}, not {sum} / {n_steps}");
    }
}

#[test]
fn no_attention_is_lost_or_made() {
    let tables = tables();
    for scope in steps() {
        let looks = by_look(&ask(&tables, scope, Heads::Each));
        // Two spans, two layers, three heads and their mean, and the rollout.
        assert_eq!(looks.len(), 2 * 2 * 4 + 1);
        for (look, weights) in &looks {
            // The spans of the lake do not overlap.
            let sum = weights.values().sum::<f64>();
            assert!((sum - 1.0).abs() < 1e-6, "{look:?} sums to {sum}: {weights:?}");
            assert!(weights.contains_key(OTHER) && weights.contains_key(NOT_KEPT), "{look:?}: {weights:?}");
            let decides = look.0 != i64::from(ROLLOUT) && look.2 == "decision";
            assert!(!decides || weights[NOT_KEPT] == 0.0, "the decision row is whole: {weights:?}");
        }
    }
}

#[test]
fn a_rollout_over_whole_patterns_loses_nothing() {
    let whole = Tables::open(&made().join("whole")).unwrap();
    for (tables, is_whole) in [(tables(), false), (whole, true)] {
        for scope in steps() {
            let looks = by_look(&ask(&tables, scope, Heads::Mean));
            let rollout = &looks[&(i64::from(ROLLOUT), -1, "decision".to_owned())];
            assert_eq!(rollout[NOT_KEPT] == 0.0, is_whole, "{rollout:?}");
            // Two layers, each of which leaves half of it where it is.
            assert!(rollout["decision"] >= 0.25, "{rollout:?}");
        }
    }
}

#[test]
fn the_mean_is_over_all_heads() {
    let looks = by_look(&ask(&tables(), Scope::default(), Heads::Each));
    for layer in [3, 7] {
        let of = |head| &looks[&(layer, head, "decision".to_owned())];
        for (to, weight) in of(-1) {
            let mean = (0..3).map(|head| of(head).get(to).copied().unwrap_or_default()).sum::<f64>() / 3.0;
            assert!((weight - mean).abs() < 1e-6, "layer {layer}, {to}: {weight}, not {mean}");
        }
    }
}

#[test]
fn what_flow_cannot_find_is_named() {
    let tables = tables();
    for scope in [Scope::default(), Scope::AllGames] {
        let asked = |selection: Selection| flow::ask(&tables, &Selection { scope, ..selection }, Heads::Mean);
        let span = Selection { span: Some("balances".to_owned()), ..Selection::default() };
        let said = refused(asked(span), 1);
        assert_eq!(said, "there is no span `balances`; the nearest are balance, decision");
        let said = refused(asked(Selection { layer: Some(5), ..Selection::default() }), 1);
        assert_eq!(said, "no game has anything at layer 5; there are the layers 3, 7");
    }
    let scope = Scope::Step { game: Some(GAMES[0]), step: Some(9) };
    let error = flow::ask(&tables, &Selection { scope, ..Selection::default() }, Heads::Mean).err().unwrap();
    assert!(matches!(error, QueryError::UnknownStep { step: 9, .. }), "{error}");
}

#[test]
fn games_of_a_run_that_is_not_there_are_refused() {
    let folder = TempDir::new().unwrap();
    let lake = copy_of(&made().join("lake"), &folder);
    for file in std::fs::read_dir(lake.join("runs")).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "parquet") {
            std::fs::remove_file(path).unwrap();
        }
    }
    let tables = Tables::open(&lake).unwrap();
    for scope in [Scope::default(), Scope::AllGames] {
        let asked = flow::ask(&tables, &Selection { scope, ..Selection::default() }, Heads::Mean);
        let said = refused(asked, 3);
        assert!(said.contains("was added by run") && said.contains("not in table `runs`"), "{said}");
    }
}
