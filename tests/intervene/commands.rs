//! `saelake patch` as a user meets it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use crate::support::{program, said};

/// One line that names the trouble, and the exit code.
pub(super) fn refuses(arguments: &[&str], code: i32, says: &[&str]) {
    let output = program(arguments);
    let said = said(&output);
    assert_eq!(output.status.code(), Some(code), "{arguments:?} said: {said}");
    let errors: Vec<&str> = said.lines().filter(|line| line.starts_with("error: ")).collect();
    assert_eq!(errors.len(), 1, "one clear line, not: {said}");
    for word in says {
        assert!(errors[0].contains(word), "`{word}` is not in: {}", errors[0]);
    }
    assert!(output.stdout.is_empty(), "an error must print no data");
}

pub(super) fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A lake of one game, made once.
pub(super) fn lake() -> &'static Path {
    static LAKE: OnceLock<(tempfile::TempDir, PathBuf)> = OnceLock::new();
    let (_, lake) = LAKE.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let lake = folder.path().join("lake");
        let collect = ["collect", "--device", "cpu", "--lake", text(&lake), "--games", "1", "--layers", "29"];
        assert!(program(&collect).status.success());
        (folder, lake)
    });
    lake
}

/// A file of pairs whose prompts are these.
fn pairs(folder: &Path, prompts: &[&str]) -> String {
    let path = folder.join(format!("pairs-{}.jsonl", prompts.len()));
    let line = |prompt: &&str| serde_json::json!({"game": "a", "text": prompt}).to_string();
    fs::write(&path, prompts.iter().map(line).collect::<Vec<_>>().join("\n")).unwrap();
    text(&path).to_owned()
}

#[test]
fn patches_that_cannot_be_made_are_refused_in_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let lake = text(lake());
    refuses(&["patch", lake, "--step", "999", "--swap", "balance=$10"], 2, &["no step 999", "steps 0 to"]);
    refuses(&["patch", lake, "--game", "5", "--swap", "balance=$10"], 2, &["game 5", "not there"]);
    refuses(&["patch", lake, "--swap", "balance"], 2, &["SPAN=TEXT"]);
    refuses(&["patch", lake, "--ablate", "all"], 2, &["`all`", "resample"]);
    refuses(&["patch", lake, "--ablate", "mean"], 2, &["no game but"]);
    refuses(&["patch", lake, "--swap", "balanse=$10"], 2, &["balanse", "balance"]);
    refuses(&["patch", lake, "--swap", "balance=$10", "--span", "gaol"], 2, &["gaol", "goal"]);
    let alone = pairs(folder.path(), &["You have $100. Bet or stop? I"]);
    refuses(&["patch", "--pairs", &alone], 2, &["`a`", "1 steps"]);
    let good = pairs(folder.path(), &["You have $90. Bet or stop? I", "You have $10. Bet or stop? I"]);
    let patch =
        |more: &[&str], says: &[&str]| refuses(&[&["patch", "--pairs", &good], more].concat(), 2, says);
    patch(&["--site", "resid_pre"], &["resid_pre", "resid_post"]);
    patch(&["--by", "word"], &["`word`", "position"]);
    patch(&["--into", "both"], &["`both`"]);
    patch(&["--layers", "99"], &["blocks.99.hook_resid_post", "0 to 29"]);
    patch(&["--heads"], &["blocks.0.hook_resid_post", "not split into heads"]);
    patch(&["--metric-tokens", " Bet $10", " Stop"], &["` Bet $10` is 4 tokens"]);
    patch(&["--feature", "L15-99999"], &["no feature 99999"]);
    patch(&["--feature", "L3-1"], &["layer 3 has no dictionary"]);
    fs::remove_file(&good).unwrap();
    let apart = pairs(folder.path(), &["You have $100. Bet or stop? I", "You have $10. Bet or stop? I"]);
    refuses(&["patch", "--pairs", &apart], 2, &["tokens", "no span of both"]);
}

/// The share of the last block's decision is all of it, and the lake has what was printed.
#[test]
fn patches_of_a_step_are_printed_and_added_to_its_lake() {
    let lake = lake();
    let patch = |more: &[&str]| {
        let swap = ["patch", text(lake), "--swap", "balance=$10", "--format", "json"];
        let output = program(&[&swap, more].concat());
        assert!(output.status.success(), "{}", said(&output));
        let rows: Vec<serde_json::Value> = serde_json::from_slice(&output.stdout).unwrap();
        rows
    };
    let rows = patch(&["--by", "span", "--layers", "0,29"]);
    let share = |hook: &str, span: &str| {
        let row = rows.iter().find(|row| row["hook"] == hook && row["span"] == span).unwrap();
        row["share"].as_f64().unwrap()
    };
    assert!((share("blocks.29.hook_resid_post", "decision") - 1.0).abs() < 1e-4);
    assert!(
        share("blocks.29.hook_resid_post", "balance").abs() < 1e-6,
        "the last block reads no other position"
    );
    assert!(share("blocks.0.hook_resid_post", "initial_funds").abs() < 1e-6, "it stands before the balance");
    patch(&["--feature", "L29-5"]);
    patch(&["--feature", "L29-5"]);
    let printed = patch(&["--by", "span", "--layers", "29", "--print-only"]);
    assert_eq!(2 * printed.len(), rows.len());

    let opened = saelake::lake::Lake::open(lake).unwrap();
    let patches = opened.files(&schemas::interventions::TABLE).unwrap().into_iter().filter(|file| {
        let values = opened.read(&schemas::interventions::TABLE, file).unwrap();
        schemas::interventions::Rows::from_values(values).unwrap().command == ["patch"]
    });
    assert_eq!(patches.count(), 2, "the same again is the same");
    let count =
        |table: &schemas::Table| opened.files(table).unwrap().iter().map(|file| file.rows).sum::<u64>();
    assert!(count(&schemas::effects::TABLE) > rows.len() as u64);
    let file = opened.files(&schemas::effects::TABLE).unwrap();
    let stored: Vec<schemas::effects::Row> = file
        .iter()
        .flat_map(|file| {
            let values = opened.read(&schemas::effects::TABLE, file).unwrap();
            schemas::effects::Rows::from_values(values).unwrap().into_rows()
        })
        .filter(|row| row.node == "activation")
        .collect();
    assert_eq!(stored.len(), rows.len());
    let sum = |numbers: &mut dyn Iterator<Item = f64>| numbers.sum::<f64>();
    let of_lake = sum(&mut stored.iter().map(|row| f64::from(row.exact.unwrap())));
    let of_print = sum(&mut rows.iter().map(|row| row["effect"].as_f64().unwrap()));
    assert!((of_lake - of_print).abs() < 1e-5);
}

#[test]
fn heads_are_ablated_without_a_pair() {
    let zero = ["patch", text(lake()), "--ablate", "zero", "--format", "json", "--site", "z", "--heads"];
    let output = program(&[&zero[..], &["--layers", "29", "--span", "decision", "--print-only"]].concat());
    assert!(output.status.success(), "{}", said(&output));
    let rows: Vec<serde_json::Value> = serde_json::from_slice(&output.stdout).unwrap();
    assert!(rows.len() == 9 && rows.iter().all(|row| row["share"].is_null() && row["effect"] != 0.0));
}
