//! From games to answers, with the real model, through the program.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use sha2::{Digest as _, Sha256};

use crate::resume::{begin, interrupt, wait_for_games};
use crate::support::{program, python, repository, said};

/// Polars and DuckDB compute the same sums in different orders.
const ENGINES_AGREE: f64 = 1e-6;

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Runs `collect` on the CPU into `lake`, which must go well.
fn collect(lake: &Path, options: &[&str]) -> String {
    let output = program(&[&["collect", "--device", "cpu", "--lake", text(lake)], options].concat());
    let said = said(&output);
    assert!(output.status.success(), "{said}");
    said
}

/// What a Python script of the tests prints as JSON.
fn ask_python(script: &str, arguments: &[&str]) -> serde_json::Value {
    let output =
        Command::new(python()).arg(repository("tests/python").join(script)).args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The SHA-256 of every Parquet file below `root`, by its path there.
fn files(root: &Path) -> BTreeMap<PathBuf, String> {
    let mut files = BTreeMap::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "parquet") {
                let hash = Sha256::digest(fs::read(&path).unwrap());
                files.insert(path.strip_prefix(root).unwrap().to_owned(), format!("{hash:x}"));
            }
        }
    }
    files
}

#[test]
fn games_go_in_and_answers_come_out() {
    let folder = tempfile::tempdir().unwrap();
    let lake = folder.path().join("lake");
    collect(&lake, &["--games", "2", "--layers", "8,15,29"]);
    collect(&lake, &["--games", "2", "--layers", "8,15,29"]);
    let seen = ask_python("pipeline.py", &[text(&lake)]);
    assert_eq!(seen["games"], serde_json::json!([0, 1, 2, 3]), "a second call adds the next games");
    assert_eq!(seen["runs"], 2);
    assert_eq!(seen["layers"], serde_json::json!([8, 15, 29]));
    assert_eq!(seen["violations"], serde_json::json!([]));

    let query = ["query", "attribution", text(&lake), "--layer", "15", "--limit", "1000", "--format", "json"];
    let rows: Vec<serde_json::Value> = serde_json::from_slice(&program(&query).stdout).unwrap();
    let total: f64 = rows.iter().map(|row| row["importance"].as_f64().unwrap()).sum();
    assert!((total - 1.0).abs() < 1e-5, "importances sum to 1, not {total}");
    let duckdb = ask_python("pipeline.py", &[text(&lake), "15"]);
    assert_eq!(rows.len(), duckdb["attribution"].as_array().unwrap().len());
    for (ours, theirs) in rows.iter().zip(duckdb["attribution"].as_array().unwrap()) {
        for column in ["game", "step", "layer", "rank", "position", "token"] {
            assert_eq!(ours[column], theirs[column]);
        }
        for column in ["importance", "attention", "feature_norm"] {
            let (ours, theirs) = (ours[column].as_f64().unwrap(), theirs[column].as_f64().unwrap());
            assert!((ours - theirs).abs() <= ENGINES_AGREE * theirs.abs(), "{column}: {ours} and {theirs}");
        }
    }
    let info = program(&["lake", "info", text(&lake)]);
    assert!(info.status.success());
    assert!(String::from_utf8(info.stdout).unwrap().contains("blocks.15.hook_resid_post"));
}

#[test]
fn two_runs_write_the_same_files() {
    let folder = tempfile::tempdir().unwrap();
    let (one, other) = (folder.path().join("one"), folder.path().join("other"));
    for lake in [&one, &other] {
        collect(lake, &["--games", "2", "--layers", "15", "--bet-type", "variable", "--seed", "7"]);
    }
    // A run's row says when it began, which is all that may differ.
    let data = |lake: &Path| {
        let mut files = files(lake);
        files.retain(|path, _| !path.starts_with("runs"));
        files
    };
    assert!(data(&one).len() > 8);
    assert_eq!(data(&one), data(&other));
}

#[test]
fn another_run_into_the_same_lake_is_refused_by_the_difference() {
    let folder = tempfile::tempdir().unwrap();
    let lake = folder.path().join("lake");
    collect(&lake, &["--games", "1", "--layers", "15"]);
    let before = files(&lake);
    for (options, difference) in [
        (["--layers", "8"], "layers"),
        (["--top-k", "16"], "top_k"),
        (["--attention", "decision"], "attention"),
        (["--activation-bits", "7"], "activation_bits"),
    ] {
        let mut collect = vec!["collect", "--lake", text(&lake), "--games", "1"];
        collect.extend(options);
        if !options.contains(&"--layers") {
            collect.extend(["--layers", "15"]);
        }
        let output = program(&collect);
        assert_eq!(output.status.code(), Some(2), "{}", said(&output));
        assert!(said(&output).contains(difference), "`{difference}` is not in: {}", said(&output));
    }
    assert_eq!(files(&lake), before, "a refused run must change nothing");
}

#[test]
fn prompts_are_run_and_one_that_does_not_fit_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let (lake, prompts) = (folder.path().join("lake"), folder.path().join("prompts.jsonl"));
    let long = "very ".repeat(9000);
    let lines = [
        serde_json::json!({"game": "a", "text": "Balance: $100. Bet", "spans": [{"name": "balance", "start": 9, "end": 13}],
            "metric": {"first": " it", "second": " on"}, "metadata": {"arm": "x"}}),
        serde_json::json!({"game": "b", "messages": [{"role": "user", "content": "슬롯 머신 🎰 $90"}]}),
        serde_json::json!({"game": "b", "text": long}),
    ];
    fs::write(&prompts, lines.map(|line| line.to_string()).join("\n")).unwrap();
    let collect =
        ["collect", "--device", "cpu", "--lake", text(&lake), "--prompts", text(&prompts), "--layers", "8"];
    let output = program(&collect);
    assert_eq!(output.status.code(), Some(6), "{}", said(&output));
    let seen = ask_python("pipeline.py", &[text(&lake)]);
    assert_eq!(seen["violations"], serde_json::json!([]));
    let errors: Vec<&str> = seen["errors"].as_array().unwrap().iter().map(|e| e.as_str().unwrap()).collect();
    assert_eq!(errors.len(), 1);
    assert!(errors[0].contains("8192"), "{}", errors[0]);
    let again = program(&collect);
    assert!(again.status.success() && said(&again).contains("already"), "{}", said(&again));
}

#[test]
fn a_free_answer_that_cannot_be_parsed_is_never_a_bet() {
    let folder = tempfile::tempdir().unwrap();
    let lake = folder.path().join("lake");
    // The small model answers with "You are playing a slot machine game.", greedily, whatever it is asked.
    let options = ["--games", "2", "--layers", "15", "--decide", "generate", "--activation-bits", "7"];
    collect(&lake, &[&options[..], &["--temperature", "0", "--max-new-tokens", "12"]].concat());
    let seen = ask_python("pipeline.py", &[text(&lake)]);
    assert_eq!(seen["violations"], serde_json::json!([]));
    assert_eq!(seen["outcomes"], serde_json::json!(["unparsable", "unparsable"]));
    assert_eq!(seen["activation_bits"], serde_json::json!([7]));
    assert!(seen["generated_tokens"].as_i64().unwrap() > 0, "generated tokens are in the lake");
    assert_eq!(seen["bets"], 0);
}

#[test]
fn an_interrupted_run_keeps_what_is_committed() {
    let folder = tempfile::tempdir().unwrap();
    let lake = folder.path().join("lake");
    let options = ["--games", "1000", "--layers", "15", "--commit-games", "1"];
    let mut child = begin(&lake, &options);
    wait_for_games(&lake, 1);
    interrupt(&child, "-INT");
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let seen = ask_python("pipeline.py", &[text(&lake)]);
    assert_eq!(seen["violations"], serde_json::json!([]));
    let committed = seen["games"].as_array().unwrap().len();
    assert!((1..1000).contains(&committed));
    collect(&lake, &["--games", "1", "--layers", "15", "--commit-games", "1"]);
    let seen = ask_python("pipeline.py", &[text(&lake)]);
    assert_eq!(seen["games"].as_array().unwrap().len(), committed + 1, "the next call goes on");
}
