//! `saelake attribute` and `saelake trace` as a user meets them.

use schemas::{edges, effects, interventions};
use serde_json::Value;

use super::commands::{lake, refuses, text};
use crate::support::{program, said};

/// The rows that a command printed as JSON.
fn rows(arguments: &[&str]) -> Vec<Value> {
    let output = program(&[arguments, &["--format", "json"]].concat());
    assert!(output.status.success(), "{arguments:?}: {}", said(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn number(row: &Value, column: &str) -> f64 {
    row[column].as_f64().unwrap()
}

/// What other tests may be writing to: the causal tables, and what lies there until it is written.
const CHANGING: [&str; 4] = ["interventions", "effects", "edges", "_staging"];

/// A lake of its own, so that what others add to theirs is not counted.
fn own_lake() -> (tempfile::TempDir, std::path::PathBuf) {
    fn copy(from: &std::path::Path, to: &std::path::Path) {
        std::fs::create_dir_all(to).unwrap();
        for entry in std::fs::read_dir(from).unwrap() {
            let (from, to) = (entry.as_ref().unwrap().path(), to.join(entry.unwrap().file_name()));
            let is_analysis = CHANGING.iter().any(|table| from.ends_with(table));
            if from.is_dir() && !is_analysis {
                copy(&from, &to);
            } else if from.is_file() {
                std::fs::copy(&from, &to).unwrap();
            }
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let own = folder.path().join("lake");
    copy(lake(), &own);
    (folder, own)
}

#[test]
fn attributions_that_cannot_be_made_are_refused_in_one_line() {
    let lake = text(lake());
    let attribute = |more: &[&str], says: &[&str]| refuses(&[&["attribute", lake], more].concat(), 2, says);
    attribute(&["--step", "999"], &["no step 999", "steps 0 to"]);
    attribute(&["--game", "5"], &["game 5", "not there"]);
    attribute(&["--layers", "8"], &["layer 8 has no dictionary", "29"]);
    attribute(&["--swap", "balance"], &["SPAN=TEXT"]);
    attribute(&["--swap", "weather=rain"], &["no span `weather`"]);
    attribute(&["--swap", "balance=$10", "--into", "both"], &["`both`", "clean"]);
    attribute(&["--ablate", "half"], &["`half`", "`zero` or `mean`"]);
    attribute(&["--freeze", "heads"], &["`heads` cannot be frozen"]);
    attribute(&["--answer", "everything"], &["`effects`, `audit` or `direct`"]);
    attribute(&["--format", "xml"], &["xml"]);
    attribute(&["--metric-tokens", " Bet $10", " Stop"], &["` Bet $10` is 4 tokens"]);
    attribute(&["--metric-text", " Stop", "--answer", "direct"], &["a log-probability is none"]);
}

#[test]
fn traces_that_cannot_be_made_are_refused_in_one_line() {
    let lake = text(lake());
    refuses(&["trace", lake], 2, &["required arguments"]);
    let trace =
        |more: &[&str], says: &[&str]| refuses(&[&["trace", lake, "--causal"], more].concat(), 2, says);
    trace(&["--node-share", "2"], &["--node-share", "`2`", "between 0 and 1"]);
    trace(&["--edge-share", "1.5"], &["--edge-share", "between 0 and 1"]);
    trace(&["--max-nodes", "0"], &["--max-nodes", "at least 1"]);
    trace(&["--freeze", "patterns"], &["--freeze", "patterns+norms"]);
    trace(&["--step", "999"], &["no step 999"]);
    trace(&["--layers", "15"], &["layer 15 has no dictionary"]);
}

/// What is printed is what the lake gets and what the question answers; the same again is the same analysis.
#[test]
fn attributions_are_printed_kept_and_asked_for() {
    let (_folder, lake) = own_lake();
    let swap =
        ["attribute", text(&lake), "--swap", "balance=$10", "--steps", "2", "--top", "3", "--drawn", "4"];
    let printed = rows(&swap);
    let audited = printed.iter().filter(|row| !row["exact"].is_null()).collect::<Vec<_>>();
    assert!(audited.len() >= 7, "{}", audited.len());
    for row in &audited {
        // The last block's change is nearly linear: there is nothing but the final norm above it.
        let (exact, estimate) = (number(row, "exact"), number(row, "estimate"));
        assert!((exact - estimate).abs() <= 1e-4 + 0.05 * exact.abs(), "{row}");
    }
    assert_eq!(rows(&swap), printed);

    let opened = saelake::lake::Lake::open(&lake).unwrap();
    let files = opened.files(&interventions::TABLE).unwrap();
    assert_eq!(files.len(), 1, "the same again is the same");
    let arms = opened.read(&interventions::TABLE, &files[0]).unwrap();
    let arms = interventions::Rows::from_values(arms).unwrap();
    let settings: Value = serde_json::from_str(&arms.settings[0]).unwrap();
    assert_eq!(arms.name[0], "attribution");
    assert!(settings["audit"]["recall"].as_f64().unwrap() > 0.0, "{settings}");
    let file = &opened.files(&effects::TABLE).unwrap()[0];
    let stored = effects::Rows::from_values(opened.read(&effects::TABLE, file).unwrap()).unwrap();
    let of = |method: &str| stored.method.iter().filter(|of| *of == method).count();
    assert!(of("attribution") >= printed.len().min(1000), "{} of {}", of("attribution"), printed.len());
    assert!(of("published") > 0 && of("integrated-gradients") == of("attribution"));

    let asked = rows(&["query", "effects", text(&lake), "--limit", "3"]);
    let size = |row: &&&Value| (number(row, "exact").abs() * 1e7) as i64;
    let top = audited.iter().max_by_key(size).unwrap();
    assert!((number(&asked[0], "exact") - number(top, "exact")).abs() < 1e-6, "{} {top}", asked[0]);
    assert_eq!((&asked[0]["node"], &asked[0]["feature"]), (&top["node"], &top["feature"]));
}

/// The direct contributions add up to the difference of logits that the lake has of the step; an ablation is printed
/// without a second prompt; the audit is an answer of its own.
#[test]
fn other_answers_are_printed() {
    let lake = text(lake());
    let plain = ["attribute", lake, "--steps", "0", "--top", "2", "--drawn", "2", "--print-only"];
    let direct = rows(&[plain.as_slice(), &["--answer", "direct"]].concat());
    assert_eq!(direct.len(), 1 + 30 * 10);
    let sum: f64 = direct.iter().map(|row| number(row, "logit")).sum();
    let opened = saelake::lake::Lake::open(super::commands::lake()).unwrap();
    let game = opened.games().next().unwrap();
    let step = opened.step(game, 0).unwrap().unwrap().row;
    assert!((sum - f64::from(step.logit_diff.unwrap())).abs() < 1e-3, "{sum} and {:?}", step.logit_diff);

    let ablated = rows(&plain);
    assert!(ablated.iter().all(|row| row["after"].is_null() || number(row, "after") <= 0.0));
    assert!(ablated.iter().all(|row| row["position"] != 0 || number(row, "estimate").abs() <= 0.0));
    let audit = rows(&[plain.as_slice(), &["--answer", "audit"]].concat());
    assert_eq!(audit[0]["score"], "attribution");
    assert!(number(&audit[0], "nodes") > 3.0 && audit.iter().any(|row| row["score"] == "published"));
}

/// The means that features are set to are those of a plain loop over the lake.
#[test]
fn features_are_set_to_their_means_over_the_lake() {
    let lake = lake();
    let plain = ["attribute", text(lake), "--steps", "0", "--top", "1", "--drawn", "1", "--print-only"];
    let found = rows(&[plain.as_slice(), &["--ablate", "mean", "--limit", "5000"]].concat());
    let opened = saelake::lake::Lake::open(lake).unwrap();
    let values = |table: &'static schemas::Table| {
        let files = opened.files(table).unwrap();
        files.iter().map(|file| opened.read(table, file).unwrap()).collect::<Vec<_>>()
    };
    let mut counted = std::collections::BTreeSet::new();
    let mut decisions = std::collections::BTreeMap::new();
    for values in values(&schemas::steps::TABLE) {
        for row in schemas::steps::Rows::from_values(values).unwrap().into_rows() {
            decisions.insert((row.game, row.step), row.decision_position);
        }
    }
    for values in values(&schemas::tokens::TABLE) {
        for row in schemas::tokens::Rows::from_values(values).unwrap().into_rows() {
            if row.position > 0 && !row.is_special && row.position <= decisions[&(row.game, row.step)] {
                counted.insert((row.game, row.step, row.position));
            }
        }
    }
    let mut sums = std::collections::BTreeMap::<i64, f64>::new();
    for values in values(&schemas::features::TABLE) {
        for row in schemas::features::Rows::from_values(values).unwrap().into_rows() {
            if counted.contains(&(row.game, row.step, row.position)) {
                *sums.entry(i64::from(row.feature)).or_default() += f64::from(row.activation);
            }
        }
    }
    let features = found.iter().filter(|row| row["node"] == "feature").collect::<Vec<_>>();
    assert!(features.len() > 1000, "{}", features.len());
    for row in features {
        let sum = sums.get(&row["feature"].as_i64().unwrap()).copied().unwrap_or_default();
        let mean = sum / counted.len() as f64;
        assert!((number(row, "after") - mean).abs() <= 1e-6 * (1.0 + mean), "{row} and {mean}");
    }
}

/// The lake has the edges that are printed, and the question shows them.
#[test]
fn traces_are_printed_kept_and_asked_for() {
    let (_folder, lake) = own_lake();
    let all = ["--max-nodes", "3", "--edge-share", "1", "--node-share", "1"];
    let printed = rows(&[&["trace", text(&lake), "--causal"], all.as_slice()].concat());
    let opened = saelake::lake::Lake::open(&lake).unwrap();
    let file = &opened.files(&edges::TABLE).unwrap()[0];
    let stored = edges::Rows::from_values(opened.read(&edges::TABLE, file).unwrap()).unwrap();
    assert_eq!(stored.weight.len(), printed.len());
    assert!(stored.frozen.iter().all(|frozen| *frozen));
    for (row, weight) in printed.iter().zip(&stored.weight) {
        let weight = f64::from(*weight);
        assert!((number(row, "weight") - weight).abs() <= 1e-6 * (1.0 + weight.abs()));
    }
    let kinds = stored.source_node.iter().collect::<std::collections::BTreeSet<_>>();
    assert_eq!(kinds.into_iter().collect::<Vec<_>>(), ["bias", "error", "feature", "token"]);
    let asked = rows(&["query", "causal-trace", text(&lake), "--limit", "5"]);
    assert_eq!(asked.len(), 5);
    assert_eq!(asked[0]["target_node"], "metric");
}
