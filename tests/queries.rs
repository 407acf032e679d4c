//! The questions on a lake small enough to know every number of it, against numpy and DuckDB.

mod answers;
mod formats;
mod lake;

use std::{
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::OnceLock,
};

use queries::{
    Format, QueryError, Tables,
    attribution::{self, Question},
};
use serde_json::Value;
use tempfile::TempDir;

use crate::support;

/// The two games of the lake, and one that an interrupted run left in its tables.
const GAMES: [i64; 2] = [7_000_000_000_011, 7_000_000_000_022];
const ORPHAN: i64 = 7_000_000_000_033;

/// What `tiny_lake.py` made: the lake, damaged ones, and what numpy says of it.
fn made() -> &'static Path {
    static MADE: OnceLock<TempDir> = OnceLock::new();
    let folder = MADE.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        python("tiny_lake.py", &[folder.path()], "");
        folder
    });
    folder.path()
}

fn tables() -> Tables {
    Tables::open(&made().join("lake")).unwrap()
}

/// Runs a script of `tests/python` and returns what it printed.
fn python(script: &str, arguments: &[&Path], input: &str) -> String {
    let mut child = Command::new(support::python())
        .arg(support::repository("tests/python").join(script))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
    assert!(status.success(), "{script} failed:\n{}", String::from_utf8_lossy(&stderr));
    String::from_utf8(stdout).unwrap()
}

/// The rows that answer a question, as JSON objects.
fn ask(tables: &Tables, question: &Question) -> Result<Vec<Value>, QueryError> {
    let mut frame = queries::run(attribution::ask(tables, question)?)?;
    let mut json = Vec::new();
    queries::write(&mut frame, Format::Json, &mut json)?;
    Ok(serde_json::from_slice(&json).unwrap())
}

/// The first game, its second step, the lower layer: no default.
fn elsewhere() -> Question {
    Question { game: Some(GAMES[0]), step: Some(1), layer: Some(3), ..Question::default() }
}

/// A copy of the lake that may be damaged.
fn copy(folder: &TempDir) -> PathBuf {
    fn copy(from: &Path, to: &Path) {
        std::fs::create_dir_all(to).unwrap();
        for entry in std::fs::read_dir(from).unwrap() {
            let (from, to) = (entry.as_ref().unwrap().path(), to.join(entry.unwrap().file_name()));
            if from.is_dir() {
                copy(&from, &to);
            } else {
                std::fs::copy(&from, &to).unwrap();
            }
        }
    }
    let to = folder.path().join("lake [copy]");
    copy(&made().join("lake"), &to);
    to
}
