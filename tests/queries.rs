//! The questions on a lake small enough to know every number of it, against numpy and DuckDB.

mod answers;
mod asked;
mod compare;
mod contrast;
mod effects;
mod engines;
mod flow;
mod formats;
mod heatmap;
mod lake;
mod last_token;
mod layers;
mod loops;
mod plain;
mod position;
mod positions;
mod rollup;
mod spark;
mod trace;

use std::{
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::OnceLock,
};

use queries::{
    Asked, Format, QueryError, Scope, Selection, Specials, Tables, Variable,
    attribution::{self, AsPublished},
};
use serde_json::{Value, json};
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

/// What `games_lake.py` made: games with planted truths, and what goes with them.
pub(crate) fn games() -> &'static Path {
    static MADE: OnceLock<TempDir> = OnceLock::new();
    let folder = MADE.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        python("games_lake.py", &[folder.path()], "");
        folder
    });
    folder.path()
}

/// Runs a script of `tests/python` and returns what it printed.
pub(crate) fn python(script: &str, arguments: &[&Path], input: &str) -> String {
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
    assert!(status.success(), "{script} failed, {status}:\n{}", String::from_utf8_lossy(&stderr));
    String::from_utf8(stdout).unwrap()
}

/// A question of attribution about one step.
#[derive(Clone, Debug, Default)]
struct Question {
    game: Option<i64>,
    step: Option<i32>,
    layer: Option<i32>,
    limit: Option<u32>,
    specials: Specials,
    published: AsPublished,
}

impl Question {
    fn asked(&self, tables: &Tables) -> Result<Asked, QueryError> {
        let selection = Selection {
            scope: Scope::Step { game: self.game, step: self.step },
            layer: self.layer,
            limit: self.limit,
            specials: self.specials,
            ..Selection::default()
        };
        attribution::ask(tables, &selection, self.published)
    }
}

/// The rows that answer a question, as JSON objects.
fn ask(tables: &Tables, question: &Question) -> Result<Vec<Value>, QueryError> {
    rows(question.asked(tables)?)
}

/// The rows of an answer, as JSON objects.
fn rows(asked: Asked) -> Result<Vec<Value>, QueryError> {
    let mut frame = queries::run(asked.plan)?;
    let mut json = Vec::new();
    queries::write(&mut frame, Format::Json, &mut json)?;
    Ok(serde_json::from_slice(&json).unwrap())
}

/// What an engine says to the SQL of answers: of each its rows as JSON objects.
fn engine(name: &str, asked: &[&Asked]) -> Vec<Vec<Value>> {
    let folder = tempfile::tempdir().unwrap();
    let mut jobs = Vec::new();
    for (number, asked) in asked.iter().enumerate() {
        let sql = folder.path().join(format!("{number}.sql"));
        std::fs::write(&sql, asked.sql).unwrap();
        jobs.push(json!({"sql": sql, "variables": variables(asked)}));
    }
    let answers = python("engines.py", &[Path::new("--engine"), Path::new(name)], &json!(jobs).to_string());
    let answers = serde_json::from_str::<Vec<Value>>(&answers).unwrap();
    let rows = |(answer, asked): (Value, &&Asked)| match answer {
        Value::Array(rows) => rows,
        error => vec![json!({"error": error["error"], "variables": asked.variables.to_string()})],
    };
    answers.into_iter().zip(asked).map(rows).collect()
}

/// What SQL is told, as a JSON object.
fn variables(asked: &Asked) -> Value {
    let value = |variable: &Variable| match variable {
        Variable::Integer(value) => Value::from(*value),
        Variable::Real(value) => Value::from(*value),
        Variable::Text(value) => Value::from(value.as_str()),
        Variable::Flag(value) => Value::from(*value),
    };
    asked.variables.iter().map(|(name, variable)| (name.to_owned(), value(variable))).collect()
}

/// The answers are in single precision (rounding 6e-8), the references in double.
const TOLERANCE: f64 = 1e-6;

/// What is left where numbers should cancel.
const NOTHING: f64 = 1e-9;

/// Rows agree: floats within the tolerance, everything else exactly, in the same order and columns.
fn check(found: &[Value], expected: &[Value], columns: &[&str], what: &str) {
    if let Some(difference) = difference(found, expected, columns) {
        panic!("{what}: {difference}");
    }
}

/// Where rows do not agree.
fn difference(found: &[Value], expected: &[Value], columns: &[&str]) -> Option<String> {
    let rows = |rows: &[Value]| rows.iter().take(30).map(ToString::to_string).collect::<Vec<_>>().join("\n");
    let both = || format!("{}\n{}", rows(found), rows(expected));
    if found.len() != expected.len() {
        return Some(format!("{} rows, not {}\n{}", found.len(), expected.len(), both()));
    }
    for (number, (found, expected)) in found.iter().zip(expected).enumerate() {
        let names = found.as_object().unwrap().keys().collect::<Vec<_>>();
        if names != columns {
            return Some(format!("the columns are {names:?}, not {columns:?}"));
        }
        for column in columns {
            let (a, b) = (&found[column], &expected[column]);
            if !agree(a, b) {
                return Some(format!("`{column}` of row {number} is {a}, not {b}\n{found}\n{expected}"));
            }
        }
    }
    None
}

fn agree(a: &Value, b: &Value) -> bool {
    match (a.is_f64(), b.is_f64()) {
        (false, false) => a == b,
        _ => match (a.as_f64(), b.as_f64()) {
            (Some(a), Some(b)) => (a - b).abs() <= TOLERANCE * b.abs() + NOTHING,
            _ => false,
        },
    }
}

/// The first game, its second step, the lower layer: no default.
fn elsewhere() -> Question {
    Question { game: Some(GAMES[0]), step: Some(1), layer: Some(3), ..Question::default() }
}

/// A copy of the lake that may be damaged.
fn copy(folder: &TempDir) -> PathBuf {
    copy_of(&made().join("lake"), folder)
}

/// A copy of a lake that may be damaged.
fn copy_of(lake: &Path, folder: &TempDir) -> PathBuf {
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
    copy(lake, &to);
    to
}

/// Opens a lake and asks every question; what each came to.
pub(crate) fn ask_everything(lake: &Path) -> Vec<Result<(), QueryError>> {
    let tables = match Tables::open(lake) {
        Ok(tables) => tables,
        Err(error) => return vec![Err(error)],
    };
    let asked = asked::of_any_lake(&tables);
    asked.into_iter().map(|asked| asked.and_then(|asked| rows(asked).map(drop))).collect()
}
