//! Effects and edges, on the lake of made games.

use queries::{QueryError, Scope, Selection, Tables, causal_trace, effects};
use serde_json::Value;

use super::{games, made, rows};

fn lake() -> Tables {
    Tables::open(&games().join("lake")).unwrap()
}

fn step(limit: u32) -> Selection {
    let scope = Scope::Step { game: Some(1_000_003), step: Some(1) };
    Selection { scope, limit: Some(limit), ..Selection::default() }
}

fn number(row: &Value, column: &str) -> Option<f64> {
    row[column].as_f64()
}

/// What an interrupted analysis left is larger than all else, and so are direct contributions: neither is there.
#[test]
fn effects_are_ranked_and_whole() {
    let found = rows(effects::ask(&lake(), &step(10_000)).unwrap()).unwrap();
    // Three layers with six positions of three nodes, and a head each, twice.
    assert_eq!(found.len(), 2 * 3 * (6 * 3 + 1));
    let size = |row: &Value| {
        let known = ["exact", "integrated", "estimate"].iter().find_map(|column| number(row, column));
        known.unwrap().abs()
    };
    for pair in found.windows(2) {
        assert!(size(&pair[0]) >= size(&pair[1]), "{} before {}", pair[0], pair[1]);
    }
    for row in &found {
        assert!(size(row) < 10.0, "{row}");
        // An odd step: the other run is 0.25, this one 0.75; the second analysis has no other run.
        let share = number(row, "exact").filter(|_| row["analysis"] == "00000000000000e1");
        match (share, number(row, "share")) {
            (Some(exact), Some(share)) => assert!((share - exact / -0.5).abs() < 1e-6, "{row}"),
            (None, None) => {}
            _ => panic!("{row}"),
        }
        let is_head = row["node"] == "head";
        assert_eq!(number(row, "estimate").is_none(), is_head, "{row}");
    }
}

/// The means of all games are those of the steps one by one.
#[test]
fn means_are_those_of_the_steps() {
    let tables = lake();
    let all = Selection { scope: Scope::AllGames, limit: Some(10_000), ..Selection::default() };
    let found = rows(effects::ask(&tables, &all).unwrap()).unwrap();
    let head = found.iter().find(|row| row["node"] == "head" && row["layer"] == 7).unwrap();
    assert_eq!(head["n_nodes"], head["n_exact"]);
    assert_eq!(head["n_nodes"].as_i64(), head["n_steps"].as_i64().map(|steps| 2 * steps));
    let (mut sum, mut count) = (0.0, 0.0);
    let steps = queries::run(tables.steps()).unwrap();
    let keys = steps.column("game").unwrap().i64().unwrap().iter().flatten();
    let steps = keys.zip(steps.column("step").unwrap().i32().unwrap().iter().flatten());
    for (game, step) in steps.collect::<Vec<_>>() {
        let scope = Scope::Step { game: Some(game), step: Some(step) };
        let of_step = Selection { scope, layer: Some(7), limit: Some(10_000), ..Selection::default() };
        for row in rows(effects::ask(&tables, &of_step).unwrap()).unwrap() {
            if row["node"] == "head" {
                (sum, count) = (sum + number(&row, "exact").unwrap(), count + 1.0);
            }
        }
    }
    assert!((number(head, "mean_exact").unwrap() - sum / count).abs() < 1e-6);
}

/// The shares of a target's edges add up to 1, and the graph comes as it was followed.
#[test]
fn edges_have_their_shares() {
    let found = rows(causal_trace::ask(&lake(), &step(10_000)).unwrap()).unwrap();
    assert_eq!(found[0]["target_node"], "metric");
    let mut sums = std::collections::BTreeMap::<String, f64>::new();
    for row in &found {
        let target = ["analysis", "target_node", "target_layer", "target_position", "target_feature"];
        let target = target.map(|column| row[column].to_string()).join(" ");
        *sums.entry(target).or_default() += number(row, "share").unwrap();
        assert_eq!(row["frozen"], row["analysis"] == "00000000000000e3", "{row}");
    }
    assert!(sums.len() > 10 && sums.values().all(|sum| (sum - 1.0).abs() < 1e-6), "{sums:?}");
}

#[test]
fn a_lake_without_effects_says_how_to_make_some() {
    let tables = Tables::open(&made().join("lake")).unwrap();
    let refused = [effects::ask(&tables, &step(1)).err(), causal_trace::ask(&tables, &step(1)).err()];
    for (error, (table, command)) in refused.into_iter().zip([("effects", "attribute"), ("edges", "trace")]) {
        let error: QueryError = error.unwrap();
        assert!(error.to_string().contains(table) && error.hint().unwrap().contains(command), "{error}");
    }
}
