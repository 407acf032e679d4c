//! A lake of every earlier format, checked in: it opens, answers as it did when it was made, and takes no more games.

use std::path::PathBuf;
use std::process::{Command, Output};

use saelake::lake::{Analysis, Format, Lake, LakeError};
use schemas::{feature_rollup, features, interventions, prefixes};
use serde_json::Value;

use super::synthetic::{SMALL, batch, first_batch};
use super::{copy, data_files, folder};
use crate::support::{python, repository};

/// The lake of the first format, and what was known of it when it was made.
fn first(name: &str) -> PathBuf {
    repository("tests/fixtures/lake/format-1").join(name)
}

fn told(name: &str) -> Value {
    serde_json::from_slice(&std::fs::read(first(name)).unwrap()).unwrap()
}

#[test]
fn a_lake_of_the_first_format_opens_with_what_it_lacks_filled_in() {
    let lake = Lake::open(first("lake")).unwrap();
    assert_eq!((lake.format(), lake.info().unwrap().format_version), (Format::One, 1));
    assert_eq!(lake.games().collect::<Vec<_>>(), [7_000_000, 7_000_001]);
    let run = &lake.runs()[0];
    assert_eq!((run.format_version, run.positions.as_str(), run.activation_bits), (1, "all", 23));
    assert_eq!(lake.info().unwrap().tables.len(), 10);
    for table in schemas::ALL {
        let rows: u64 = lake.files(table).unwrap().iter().map(|file| file.rows).sum();
        let expected = told("tables.json")[table.name]["rows"].as_u64().unwrap_or_default();
        assert_eq!(rows, expected, "{}", table.name);
    }
    for table in [&feature_rollup::TABLE, &prefixes::TABLE] {
        assert_eq!(lake.files(table).unwrap(), [], "{}", table.name);
    }
    let file = &lake.files(&features::TABLE).unwrap()[0];
    let rows = features::Rows::from_values(lake.read(&features::TABLE, file).unwrap()).unwrap();
    let sum = rows.activation.iter().copied().map(f64::from).sum::<f64>();
    assert!((sum - told("tables.json")["features"]["sum"].as_f64().unwrap()).abs() < 1e-6);
    assert_eq!(lake.step(7_000_000, 6).unwrap().unwrap().row.decision.as_deref(), Some("stop"));
}

#[test]
fn games_are_not_added_to_an_earlier_format_and_an_analysis_is() {
    let folder = folder();
    copy(&first("lake"), folder.path());
    let files = data_files(folder.path());
    for mut lake in [Lake::open(folder.path()).unwrap(), Lake::create_or_open(folder.path()).unwrap()] {
        for batch in [first_batch(&[1], SMALL), batch(&[1], SMALL)] {
            let error = lake.append(batch).unwrap_err();
            assert!(matches!(error, LakeError::FormatTooOld { found: 1, needed: 2 }), "{error}");
            assert_eq!(
                error.to_string(),
                "the lake is in format version 1, and games are added to version 2"
            );
            assert!(error.hint().unwrap().contains("saelake lake upgrade"));
            assert_eq!(error.exit_code(), 2);
        }
        let row = lake.runs()[0].clone();
        assert!(matches!(lake.check_compatible(&row, &[]), Err(LakeError::FormatTooOld { .. })));
    }
    assert_eq!(data_files(folder.path()), files, "a refused batch leaves nothing");
    let mut lake = Lake::open(folder.path()).unwrap();
    let arm = interventions::Row {
        analysis: "a".to_owned(),
        arm: 0,
        name: "none".to_owned(),
        command: "patch".to_owned(),
        started_at: "2026-11-26T11:00:00Z".to_owned(),
        saelake_version: "0.1.0".to_owned(),
        model: "m".to_owned(),
        model_hash: "h".to_owned(),
        edit: "replace".to_owned(),
        hook: None,
        layer: None,
        head: None,
        feature: None,
        span: None,
        strength: None,
        scope: "prompt".to_owned(),
        seed: 0,
        settings: "{}".to_owned(),
    };
    let analysis = Analysis { interventions: std::iter::once(arm).collect(), ..Analysis::default() };
    assert_eq!(lake.add_analysis(analysis).unwrap().rows, 1);
    assert_eq!(Lake::open(folder.path()).unwrap().info().unwrap().tables.len(), 13);
}

/// `collect` says so before it runs the model.
#[test]
fn collect_refuses_an_earlier_format_and_says_what_to_do() {
    let folder = folder();
    copy(&first("lake"), folder.path());
    let output = program(&["collect", "--lake", folder.path().to_str().unwrap(), "--games", "1"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("format version 1") && said.contains("saelake lake upgrade"), "{said}");
}

#[test]
fn questions_are_answered_as_the_first_program_did() {
    let lake = first("lake");
    let answers = told("answers.json");
    assert_eq!(answers.as_array().unwrap().len(), 11);
    for answer in answers.as_array().unwrap() {
        let question = answer["question"].as_str().unwrap();
        let mut arguments = vec!["query", question, lake.to_str().unwrap(), "--format", "json"];
        arguments.extend(answer["arguments"].as_array().unwrap().iter().filter_map(Value::as_str));
        let output = program(&arguments);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let found: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert!(agree(&found, &answer["rows"]), "{arguments:?}\n{found}\n{}", answer["rows"]);
    }
}

/// Numbers within the last bits of single precision, everything else as it is.
fn agree(found: &Value, expected: &Value) -> bool {
    match (found, expected) {
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| agree(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|((k, a), (l, b))| k == l && agree(a, b))
        }
        (Value::Number(a), Value::Number(b)) => {
            let (a, b) = (a.as_f64().unwrap(), b.as_f64().unwrap());
            (a - b).abs() <= 1e-6 * b.abs() + 1e-9
        }
        _ => found == expected,
    }
}

#[test]
fn other_readers_find_the_rows_of_the_first_format() {
    let script = repository("tests/python/earlier_lake.py");
    let read =
        Command::new(python()).arg(script).arg(first("lake")).arg(first("tables.json")).output().unwrap();
    let said = String::from_utf8_lossy(&read.stderr);
    assert_eq!((read.status.code(), String::from_utf8_lossy(&read.stdout).trim()), (Some(0), "10"), "{said}");
}

/// A lake of the last format that has lost a table is no lake of the first.
#[test]
fn a_lost_table_is_no_earlier_format() {
    let folder = folder();
    let mut lake = Lake::create_or_open(folder.path()).unwrap();
    lake.append(first_batch(&[1], SMALL)).unwrap();
    assert_eq!(lake.format(), Format::LAST);
    std::fs::remove_dir_all(folder.path().join("feature_rollup")).unwrap();
    let error = Lake::open(folder.path()).err().unwrap();
    assert!(matches!(error, LakeError::MissingTable { table: "feature_rollup", .. }), "{error}");
    let error = queries::Tables::open(folder.path()).err().unwrap();
    assert!(matches!(error, queries::QueryError::NotALake { table: "feature_rollup", .. }), "{error}");
}

fn program(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_saelake")).args(arguments).output().unwrap()
}
