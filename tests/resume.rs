//! Runs that are killed, interrupted and asked for again, against runs that nobody disturbed.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{program, python, repository, said};

/// The longest time from the start of a run to its first commit, the loading of the model included.
const PATIENCE: Duration = Duration::from_mins(4);

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn arguments<'a>(lake: &'a Path, options: &[&'a str]) -> Vec<&'a str> {
    [&["collect", "--device", "cpu", "--lake", text(lake), "--layers", "15"], options].concat()
}

/// Runs `collect`, which must go well; what it said.
fn collect(lake: &Path, options: &[&str]) -> String {
    let output = program(&arguments(lake, options));
    assert!(output.status.success(), "{}", said(&output));
    said(&output)
}

/// Begins to collect. The child takes signals, even if who runs the tests ignores them.
pub(crate) fn begin(lake: &Path, options: &[&str]) -> Child {
    let mut command = Command::new("env");
    command.args(["--default-signal=INT,TERM", env!("CARGO_BIN_EXE_saelake")]);
    command.args(arguments(lake, options)).stderr(Stdio::null()).spawn().unwrap()
}

/// Waits until so many commits of games are in the lake.
pub(crate) fn wait_for_games(lake: &Path, commits: u64) {
    let start = Instant::now();
    while !lake.join(format!("games/_delta_log/{commits:020}.json")).exists() {
        assert!(start.elapsed() < PATIENCE, "no game was committed in time");
        sleep(Duration::from_millis(5));
    }
}

pub(crate) fn interrupt(child: &Child, signal: &str) {
    assert!(Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap().success());
}

/// What DuckDB finds to be different between two lakes, table by table: rows, and rows that only one of them has.
fn compare(one: &Path, other: &Path) -> Value {
    let script = repository("tests/python/same_rows.py");
    let output = Command::new(python()).arg(script).args([text(one), text(other)]).output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Both lakes have the same rows in every table.
pub(crate) fn assert_same(one: &Path, other: &Path) {
    let tables = compare(one, other);
    for (table, about) in tables.as_object().unwrap() {
        assert_eq!(about["differ"], 0, "{table}: {tables}");
        assert!(table == "prefixes" || about["rows"].as_u64().unwrap() > 0, "{table} is empty");
    }
    assert_eq!(tables.as_object().unwrap().len(), schemas::ALL.len());
}

/// Kills a run once so many commits are in, and says whether it was still at work.
fn kill_after(lake: &Path, options: &[&str], commits: u64) -> bool {
    let mut child = begin(lake, options);
    wait_for_games(lake, commits);
    child.kill().unwrap();
    child.wait().unwrap().code().is_none()
}

#[test]
fn a_killed_run_goes_on_to_the_same_rows() {
    let folder = tempfile::tempdir().unwrap();
    let (whole, killed) = (folder.path().join("whole"), folder.path().join("killed"));
    let options = ["--total-games", "5", "--commit-games", "2", "--bet-type", "variable", "--seed", "7"];
    collect(&whole, &options);
    assert!(kill_after(&killed, &options, 1), "it was through before it was killed");
    collect(&killed, &options);
    assert_same(&whole, &killed);

    let files = || {
        let logs = schemas::ALL.iter().map(|table| killed.join(table.name).join("_delta_log"));
        logs.map(|log| fs::read_dir(log).unwrap().count()).collect::<Vec<_>>()
    };
    let before = files();
    let said = collect(&killed, &options);
    assert!(said.contains("already"), "{said}");
    assert_eq!(files(), before, "a request that is fulfilled commits nothing");
}

#[test]
fn a_killed_run_of_prompts_goes_on_to_the_same_rows() {
    let folder = tempfile::tempdir().unwrap();
    let (whole, killed) = (folder.path().join("whole"), folder.path().join("killed"));
    let prompts = folder.path().join("prompts.jsonl");
    let line = |index: usize| {
        let words = "the machine pays and then it takes ".repeat(1 + index % 5);
        let spans = [json!({"name": "round", "start": 0, "end": 5})];
        let text = format!("Round {index}: {words}");
        json!({"game": format!("g{}", index / 2), "text": text, "spans": spans}).to_string()
    };
    fs::write(&prompts, (0..40).map(line).collect::<Vec<_>>().join("\n")).unwrap();
    let options = ["--prompts", text(&prompts), "--commit-games", "3", "--batch-tokens", "128"];
    collect(&whole, &options);
    assert!(kill_after(&killed, &options, 2), "it was through before it was killed");
    collect(&killed, &options);
    assert_same(&whole, &killed);
}

#[test]
fn a_run_that_is_asked_to_end_ends_with_its_commit() {
    let folder = tempfile::tempdir().unwrap();
    let lake = folder.path().join("lake");
    let options = ["--games", "1000", "--commit-games", "1"];
    let mut child = begin(&lake, &options);
    wait_for_games(&lake, 1);
    interrupt(&child, "-TERM");
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let staged = fs::read_dir(lake.join("_staging")).unwrap().map(|entry| entry.unwrap().file_name());
    assert_eq!(staged.collect::<Vec<_>>(), ["lock"], "nothing is half done");
    let commits = |table: &str| {
        let entries = fs::read_dir(lake.join(table).join("_delta_log")).unwrap();
        entries
            .filter(|entry| entry.as_ref().unwrap().path().extension().is_some_and(|e| e == "json"))
            .count()
    };
    assert_eq!(commits("steps"), commits("games"), "the commit under way was finished");
}

#[test]
fn more_games_and_all_games_exclude_each_other() {
    let output = program(&["collect", "--lake", "none", "--games", "2", "--total-games", "2"]);
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    assert!(said(&output).contains("--total-games"), "{}", said(&output));
}

/// Turns of a talk, each of which goes on from the last, and prompts that begin alike only.
fn talks(path: &Path) {
    let mut lines = Vec::new();
    for game in 0..3 {
        let mut text = String::from("The machine pays $30 for $10. ");
        for turn in 0..4 {
            if game < 2 {
                write!(text, "Round {turn}: you bet $10 and lose, and {} is left. ", 90 - 10 * turn).unwrap();
            } else {
                text = format!(
                    "The machine pays $30 for $10. You have ${} and may bet or stop now. ",
                    100 - turn
                );
            }
            let spans = [json!({"name": "rules", "start": 0, "end": 28})];
            lines.push(json!({"game": format!("talk {game}"), "text": text, "spans": spans}).to_string());
        }
    }
    fs::write(path, lines.join("\n")).unwrap();
}

#[test]
fn positions_stored_once_are_those_of_every_step() {
    let folder = tempfile::tempdir().unwrap();
    let prompts = folder.path().join("talks.jsonl");
    talks(&prompts);
    let lake = |positions: &str| {
        let lake = folder.path().join(positions);
        collect(&lake, &["--prompts", text(&prompts), "--positions", positions]);
        lake
    };
    let lakes = ["all", "new", "last"].map(lake);
    let script = repository("tests/python/seen_positions.py");
    let output =
        Command::new(python()).arg(script).args(lakes.each_ref().map(|lake| text(lake))).output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    let seen: Value = serde_json::from_slice(&output.stdout).unwrap();
    for table in ["features", "positions", "attention", "attention_rows"] {
        let about = &seen[table];
        assert_eq!(about["missing"], 0, "{table}: {seen}");
        // What is packed differently differs in its last bits at most.
        assert!(about["differ"].as_f64().unwrap() < 1e-5, "{table}: {seen}");
        let [all, new, last] = ["all", "new", "last"].map(|name| about[name].as_u64().unwrap());
        assert!(2 * new < all && 2 * last < new && last > 0, "{table}: {seen}");
        assert_eq!(about["not of decisions"], 0, "{table}: {seen}");
    }
    assert_eq!(seen["rollup"], 0, "the rollup counts shared positions in every step: {seen}");
    let other = folder.path().join("other.jsonl");
    fs::write(&other, json!({"game": "other", "text": "The machine pays $30."}).to_string()).unwrap();
    let output = program(&arguments(&lakes[0], &["--prompts", text(&other), "--positions", "new"]));
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    assert!(said(&output).contains("positions is all in the lake and new in this run"), "{}", said(&output));
}
