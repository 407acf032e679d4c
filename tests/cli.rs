//! The program as a user meets it: what it prints, and the code that it ends with.

use std::fs;
use std::path::Path;

use crate::support::{program, said};

/// One line that names the trouble, the exit code, and nothing left behind.
fn refuses(arguments: &[&str], code: i32, says: &[&str]) {
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

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn help_names_every_option_of_collect() {
    let output = program(&["collect", "--help"]);
    let help = String::from_utf8(output.stdout).unwrap();
    for option in [
        "--lake",
        "--model",
        "--dictionary",
        "--layers",
        "--games",
        "--prompts",
        "--decide",
        "--bet-type",
        "--components",
        "--top-k",
        "--attention",
        "--device",
        "--dtype",
        "--seed",
        "--config",
    ] {
        assert!(help.contains(option), "{option} is not in the help");
    }
}

#[test]
fn completions_are_printed_for_a_shell() {
    let output = program(&["completions", "bash"]);
    assert!(output.status.success());
    assert!(String::from_utf8(output.stdout).unwrap().contains("complete"));
}

#[test]
fn options_that_cannot_be_are_refused() {
    let lake = tempfile::tempdir().unwrap();
    let lake = path(lake.path());
    refuses(&["collect"], 2, &["--lake"]);
    refuses(&["collect", "--lake", lake, "--top-k", "0"], 2, &["top-k", "`0`"]);
    refuses(&["collect", "--lake", lake, "--activation-bits", "24"], 2, &["activation-bits", "`24`"]);
    refuses(&["collect", "--lake", lake, "--activation-bits", "0"], 2, &["activation-bits", "1 to 23"]);
    refuses(&["collect", "--lake", lake, "--attention", "half"], 2, &["attention", "`half`"]);
    refuses(&["collect", "--lake", lake, "--components", "GX"], 2, &["components", "`GX`"]);
    refuses(&["collect", "--lake", lake, "--decide", "guess"], 2, &["decide", "`guess`"]);
    refuses(&["collect", "--lake", lake, "--device", "cuda:99"], 2, &["cuda:99", "CPU"]);
    refuses(&["collect", "--lake", lake, "--dtype", "bf16", "--device", "cpu"], 2, &["bf16"]);
    refuses(&["collect", "--lake", lake, "--layers", "30"], 2, &["layer 30", "30 blocks"]);
    refuses(&["collect", "--lake", lake, "--layers", "3"], 2, &["layer 3", "dictionar"]);
    refuses(&["collect", "--lake", lake, "--dictionary", "none"], 2, &["layer"]);
}

#[test]
fn a_configuration_file_is_read_and_checked() {
    let folder = tempfile::tempdir().unwrap();
    let lake = folder.path().join("lake");
    let config = folder.path().join("run.toml");
    fs::write(&config, "lake = \"LAKE\"\ntop-k = \"0\"\n".replace("LAKE", path(&lake))).unwrap();
    refuses(&["collect", "--config", path(&config)], 2, &["top-k"]);
    fs::write(&config, "lakes = \"x\"\n").unwrap();
    refuses(&["collect", "--config", path(&config)], 2, &["run.toml", "lakes"]);
    fs::write(&config, "games = 1\nprompts = \"x\"\n").unwrap();
    refuses(&["collect", "--config", path(&config)], 2, &["exclude"]);
    refuses(&["collect", "--config", path(&folder.path().join("none.toml"))], 2, &["none.toml"]);
    assert!(!lake.exists(), "a refused run must leave nothing behind");
}

#[test]
fn a_model_that_is_not_there_or_broken_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let lake = folder.path().join("lake");
    let missing = folder.path().join("no-model");
    refuses(&["collect", "--lake", path(&lake), "--model", path(&missing)], 2, &["no-model"]);
    let broken = folder.path().join("broken.gguf");
    let whole = fs::read(crate::support::smollm2()).unwrap();
    fs::write(&broken, &whole[..whole.len() / 2]).unwrap();
    refuses(&["collect", "--lake", path(&lake), "--model", path(&broken)], 2, &["broken.gguf"]);
    assert!(!lake.exists(), "a refused run must leave nothing behind");
}

#[test]
fn malformed_prompts_are_refused_by_line() {
    let folder = tempfile::tempdir().unwrap();
    let lake = folder.path().join("lake");
    let prompts = folder.path().join("prompts.jsonl");
    fs::write(&prompts, "{\"game\": \"a\", \"text\": \"x\"}\n{\"game\": \"b\"\n").unwrap();
    let collect = ["collect", "--lake", path(&lake), "--prompts", path(&prompts)];
    refuses(&collect, 2, &["prompts.jsonl", "2"]);
    assert!(!lake.exists(), "a refused run must leave nothing behind");
}

#[test]
fn a_lake_that_cannot_be_written_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    refuses(&["collect", "--lake", path(&file)], 2, &["file"]);
    refuses(&["collect", "--lake", "/proc/saelake"], 3, &["/proc/saelake"]);
}

/// What `plan` tells, by its names.
fn plan(options: &[&str]) -> serde_json::Value {
    let output = program(&[&["plan", "--json", "--device", "cpu"], options].concat());
    assert!(output.status.success(), "{}", said(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn a_plan_tells_what_a_run_takes_and_runs_nothing() {
    /// A forecast that is off by more than this, one way or the other, is of no use.
    const OFF: f64 = 1.5;
    let folder = tempfile::tempdir().unwrap();
    let lake = folder.path().join("lake");
    let prompts = folder.path().join("prompts.jsonl");
    let text = "The machine pays three times the bet. ".repeat(20);
    let lines = (0..4).map(|game| format!("{{\"game\": \"{game}\", \"text\": \"{text}{game}\"}}\n"));
    fs::write(&prompts, lines.collect::<String>()).unwrap();
    let options = ["--lake", path(&lake), "--prompts", path(&prompts)];
    let before = plan(&options);
    assert!(!lake.exists(), "a plan must leave nothing behind");
    let output = program(&[&["collect", "--device", "cpu"], &options[..]].concat());
    assert!(output.status.success(), "{}", said(&output));
    let told = said(&output);
    assert!(told.contains("expected were"), "{told}");
    let count = |word: &str| -> u64 {
        let words = told.split_whitespace().collect::<Vec<_>>();
        let at = words.iter().position(|other| other.trim_end_matches([',', ':']) == word).unwrap();
        words[at - 1].parse().unwrap()
    };
    assert_eq!((before["games"].as_u64(), before["tokens"].as_u64()), (Some(4), Some(count("tokens"))));
    let (planned, written) = (before["disk_bytes"].as_f64().unwrap(), count("bytes") as f64);
    assert!(
        planned / written < OFF && written / planned < OFF,
        "{planned} bytes are planned, {written} written"
    );
    // Four games are in the lake now; what they took is known.
    let after = plan(&["--lake", path(&lake), "--games", "10"]);
    assert_eq!(after["games"], 10);
    assert!((after["bytes_a_token"].as_f64().unwrap() - written / count("tokens") as f64).abs() <= 1.0);
}

#[test]
fn a_plan_of_what_no_disk_holds_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let lake = folder.path().join("lake");
    refuses(
        &["plan", "--device", "cpu", "--lake", path(&lake), "--games", "1000000"],
        3,
        &["GB free", "lake"],
    );
    refuses(&["plan", "--lake", path(&lake), "--layers", "30"], 2, &["layer 30"]);
}

#[test]
fn a_question_to_no_lake_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    refuses(&["query", "attribution", path(folder.path())], 3, &["not a lake"]);
    refuses(&["query", "attribution", path(folder.path()), "--format", "xml"], 2, &["xml"]);
    refuses(&["lake", "info", path(folder.path())], 2, &["not a lake"]);
}

#[test]
fn a_question_about_what_is_not_there_names_what_is() {
    let lake = crate::queries::games().join("lake");
    let ask = |question: &str, options: &[&str], code: i32, said: &[&str]| {
        refuses(&[&["query", question, path(&lake)], options].concat(), code, said);
    };
    ask("features", &["--span", "balanse"], 1, &["balanse", "balance"]);
    ask("flow", &["--all", "--span", "gaol"], 1, &["gaol", "goal"]);
    ask("heatmap", &["--feature", "L7-9999"], 1, &["L7-9999", "nearest"]);
    ask("last-token", &["--all", "--layer", "8"], 1, &["layer 8", "3, 7, 11"]);
    ask("trace", &["--game", "5"], 1, &["no game 5", "nearest"]);
    ask("contrast", &["--where", "outcome=bankrupt"], 1, &["outcome", "bankrupt"]);
    ask("contrast", &["--group", "outcom"], 2, &["outcom", "outcome"]);
    ask("games", &["--where", "outcom=bankruptcy"], 2, &["outcom", "outcome"]);
    ask("games", &["--where", "n_steps=many"], 2, &["n_steps=many", "whole number"]);
    ask("position", &[], 2, &["position", "span"]);
    ask("position", &["--position", "999"], 1, &["no position 999"]);
    ask("contrast", &["--game", "1000000"], 2, &["all games"]);
    ask("attribution", &["--position", "3"], 2, &["no use for --position"]);
    ask("features", &["--feature", "59"], 2, &["`59` is no feature"]);
    ask("attribution", &["--plot", "picture.gif"], 2, &["picture.gif"]);
}

#[test]
fn an_empty_answer_is_no_picture_and_says_so() {
    let lake = crate::queries::games().join("lake");
    let picture = tempfile::tempdir().unwrap().path().join("empty.svg");
    let empty = ["query", "contrast", path(&lake), "--min-support", "1000", "--plot", path(&picture)];
    let output = program(&empty);
    assert_eq!((output.status.code(), said(&output).lines().count()), (Some(1), 1), "{}", said(&output));
    assert!(said(&output).starts_with("nothing found") && !picture.exists());
}

#[test]
fn a_plan_is_explained_with_the_sql_and_its_settings() {
    let lake = crate::queries::games().join("lake");
    let output = program(&["query", "flow", path(&lake), "--where", "outcome=bankruptcy", "--explain"]);
    assert!(output.status.success(), "{}", said(&output));
    let text = String::from_utf8(output.stdout).unwrap();
    for part in ["Parquet SCAN", "SET VARIABLE \"where\" = '\"outcome\" = ''bankruptcy''';", "WITH"] {
        assert!(text.contains(part), "no {part} in\n{text}");
    }
}
