//! Lakes in the layouts of other tools, and back.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

use crate::support::{program, python, repository, said};

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Runs the program, which must go well.
fn done(arguments: &[&str]) -> String {
    let output = program(arguments);
    assert!(output.status.success(), "{arguments:?}: {}", said(&output));
    said(&output)
}

/// The one line that a command that failed said, its hint left out.
fn refused(output: &Output, code: i32) -> String {
    let said = said(output);
    assert_eq!(output.status.code(), Some(code), "{said}");
    let errors: Vec<&str> = said.lines().filter(|line| line.starts_with("error: ")).collect();
    assert_eq!(errors.len(), 1, "{said}");
    errors[0].to_owned()
}

/// Runs a script of `tests/python`; the JSON that it prints, if it does.
fn script(name: &str, arguments: &[&Path]) -> Value {
    let output =
        Command::new(python()).arg(repository("tests/python").join(name)).args(arguments).output().unwrap();
    assert!(output.status.success(), "{name}: {}", said(&output));
    serde_json::from_slice(&output.stdout).unwrap_or(Value::Null)
}

#[test]
fn every_layout_has_the_rows_of_the_lake() {
    let folder = tempfile::tempdir().unwrap();
    let (lake, out) = (folder.path().join("lake"), folder.path().join("out"));
    let settings = ["--device", "cpu", "--layers", "8,15", "--bet-type", "variable", "--positions", "new"];
    done(&[&["collect", "--lake", text(&lake), "--games", "2"], &settings[..]].concat());
    // The second batch is in files of its own; compacted by position, rows of a game lie apart in a file.
    done(&[&["collect", "--lake", text(&lake), "--games", "1"], &settings[..]].concat());
    fs::create_dir(&out).unwrap();
    for order in ["game", "position"] {
        for (name, options) in [
            ("game-layer-position", &["--layout", "game-layer-position"][..]),
            ("decisions", &["--layout", "npz-coo"]),
            ("tokens", &["--layout", "npz-coo", "--rows", "token"]),
            ("delphi", &["--layout", "delphi"]),
            ("saelens", &["--layout", "saelens"]),
        ] {
            done(&[&["lake", "export", text(&lake), text(&out.join(name))], options].concat());
        }
        let found = script("exports.py", &[&lake, &out]);
        for (what, found) in
            found.as_object().unwrap().iter().filter(|(_, found)| found.get("lake").is_some())
        {
            assert_eq!(found["different"], 0, "{order}, {what}: {found}");
            assert!(
                found["lake"].as_u64() > Some(0) && found["lake"] == found["export"],
                "{order}, {what}: {found}"
            );
        }
        assert_eq!(found["metadata"], Value::Array(Vec::new()), "{order}");
        assert_eq!(found["columns"], serde_json::json!(["step", "feature", "activation", "rank"]));
        let left: Vec<_> = fs::read_dir(&out).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left.len(), 5, "{left:?}");
        fs::remove_dir_all(&out).unwrap();
        fs::create_dir(&out).unwrap();
        done(&["lake", "compact", text(&lake), "--order", "position"]);
    }
    check_refusals(&lake, &out);
}

/// What an export cannot do is said, and nothing is left of it.
fn check_refusals(lake: &Path, out: &Path) {
    let export = |options: &[&str]| program(&[&["lake", "export"], options].concat());
    let (lake, new, own) = (text(lake), out.join("new"), out.join("own"));
    fs::create_dir(&own).unwrap();
    fs::write(own.join("notes.txt"), "mine").unwrap();
    let (new, own) = (text(&new), text(&own));
    let line = refused(&export(&[lake, own, "--layout", "delphi"]), 2);
    assert!(line.contains("not an empty folder"), "{line}");
    let line = refused(&export(&[lake, new, "--layout", "delphi", "--layers", "9"]), 2);
    assert!(line.contains("layer 9; it has those of 8, 15"), "{line}");
    refused(&export(&[lake, new, "--layout", "delphi", "--rows", "token"]), 2);
    refused(&export(&[lake, new, "--layout", "saelens", "--splits", "2"]), 2);
    refused(&export(&[own, new, "--layout", "saelens"]), 2);
    let empty = out.join("empty");
    saelake::lake::Lake::create_or_open(&empty).unwrap();
    refused(&export(&[text(&empty), new, "--layout", "saelens"]), 1);
    // A lake that has lost a file.
    let features = fs::read_dir(Path::new(lake).join("features/game_block=0/layer=8")).unwrap();
    fs::remove_file(features.last().unwrap().unwrap().path()).unwrap();
    refused(&export(&[lake, new, "--layout", "saelens"]), 3);
    let left = fs::read_dir(out).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut left: Vec<String> = left.collect();
    left.sort();
    assert_eq!(left, ["empty", "own"]);
    assert_eq!(fs::read_dir(own).unwrap().count(), 1);
}

#[test]
fn an_import_has_the_numbers_of_the_matrices() {
    let folder = tempfile::tempdir().unwrap();
    let (lake, good, back) =
        (folder.path().join("lake"), folder.path().join("good"), folder.path().join("back"));
    script("foreign_npz.py", &[folder.path()]);
    let import = ["lake", "import", text(&lake), "--npz", text(&good)];
    assert!(done(&import).contains("130 games added"));
    assert!(done(&import).contains("0 games added"), "an import is done once");
    done(&["lake", "export", text(&lake), text(&back), "--layout", "npz-coo"]);
    let found = script("imported.py", &[&lake, &good, &back]);
    assert_eq!(found["different"], 0, "{found}");
    assert!(found["games"] == 130 && found["features"].as_u64() > Some(10_000), "{found}");
    done(&["lake", "verify", text(&lake)]);
    done(&["lake", "compact", text(&lake), "--order", "position"]);
    done(&["lake", "verify", text(&lake)]);
    assert_eq!(script("imported.py", &[&lake, &good])["different"], 0);
    let answer = program(&[
        "query",
        "contrast",
        text(&lake),
        "--span",
        "decision",
        "--group",
        "outcome",
        "--format",
        "json",
    ]);
    assert!(answer.status.success() && answer.stdout.len() > 1_000, "{}", said(&answer));
    let line = refused(&program(&["query", "attribution", text(&lake)]), 2);
    assert!(line.contains("decisions alone"), "{line}");
    check_bad(folder.path());
}

/// What is wrong with a file is said in a line that names it, and no lake is made of it.
fn check_bad(folder: &Path) {
    let mut kinds = 0;
    for entry in fs::read_dir(folder.join("bad")).unwrap() {
        let (bad, lake) = (entry.unwrap().path(), folder.join("none"));
        let output = program(&["lake", "import", text(&lake), "--npz", text(&bad)]);
        let line = refused(&output, 2);
        assert!(line.contains(text(&bad)), "{line}");
        assert!(!line.contains("panicked"), "{line}");
        let games = saelake::lake::Lake::open(&lake).map_or(0, |lake| lake.n_games());
        assert_eq!(games, 0, "{line}");
        kinds += 1;
    }
    assert!(kinds > 30, "{kinds}");
}

/// Writes a sound matrix of two games with two decisions each.
pub(crate) fn write_npz(path: &Path) {
    use npyz::WriterBuilder as _;
    fn vector<T: npyz::AutoSerialize>(npz: &mut npyz::npz::NpzWriter<fs::File>, name: &str, values: Vec<T>) {
        let array = npz.array::<T>(name, npyz::zip::write::FileOptions::default()).unwrap();
        let mut array = array.default_dtype().shape(&[values.len() as u64]).begin_nd().unwrap();
        array.extend(values).unwrap();
        array.finish().unwrap();
    }
    let mut npz = npyz::npz::NpzWriter::new(fs::File::create(path).unwrap());
    vector(&mut npz, "row_indices", vec![0_i32, 0, 1, 2, 3]);
    vector(&mut npz, "col_indices", vec![1_i32, 5, 2, 0, 7]);
    vector(&mut npz, "values", vec![0.5_f32, 2.0, 1.0, 3.5, 0.25]);
    vector(&mut npz, "shape", vec![4_i64, 8]);
    vector(&mut npz, "game_ids", vec![1_i64, 1, 2, 2]);
    vector(&mut npz, "round_nums", vec![1_i32, 2, 1, 2]);
    vector(&mut npz, "balances", vec![100.0_f64, 90.0, 100.0, 110.0]);
    vector(&mut npz, "valid_mask", vec![true; 4]);
    npz.zip_writer().finish().unwrap();
}
