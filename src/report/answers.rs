//! Answers as rows of JSON, or a sentence that says why there are none.

use queries::{Asked, Format, LazyFrame, QueryError};
use serde_json::{Map, Value, json};

use super::ReportError;
use super::pack::pack;

/// Columns by name.
pub(super) type Row = Map<String, Value>;

/// What the page shows in a place: rows, or why there are none.
pub(super) enum Answer {
    /// At least none.
    Rows(Vec<Row>),
    /// The lake does not have what the question needs.
    Missing(String),
}

/// The rows of a plan.
pub(super) fn rows(plan: LazyFrame) -> Result<Vec<Row>, ReportError> {
    let mut frame = queries::run(plan)?;
    let mut bytes = Vec::new();
    queries::write(&mut frame, Format::Json, &mut bytes)?;
    Ok(serde_json::from_slice(&bytes)?)
}

/// The answer to a question. That there is nothing to answer is an answer; a lake that cannot be read is not.
pub(super) fn answer(asked: Result<Asked, QueryError>) -> Result<Answer, ReportError> {
    planned(asked.map(|asked| asked.plan))
}

/// The same of a plan.
pub(super) fn planned(plan: Result<LazyFrame, QueryError>) -> Result<Answer, ReportError> {
    match plan.map_err(ReportError::from).and_then(rows) {
        Ok(rows) => Ok(Answer::Rows(rows)),
        Err(ReportError::Query(error)) if error.exit_code() != 3 => Ok(Answer::Missing(sentence(&error))),
        Err(error) => Err(error),
    }
}

fn sentence(error: &QueryError) -> String {
    let text = error.to_string();
    let mut letters = text.chars();
    let first = letters.next().map(|letter| letter.to_uppercase().to_string()).unwrap_or_default();
    format!("{first}{}.", letters.as_str())
}

impl Answer {
    /// Its rows; none if it is missing.
    pub(super) fn rows(&self) -> &[Row] {
        match self {
            Self::Rows(rows) => rows,
            Self::Missing(_) => &[],
        }
    }

    /// The same with only some of its rows.
    pub(super) fn keep(self, keep: impl FnMut(&Row) -> bool) -> Self {
        match self {
            Self::Rows(mut rows) => {
                rows.retain(keep);
                Self::Rows(rows)
            }
            missing @ Self::Missing(_) => missing,
        }
    }

    /// As the page reads it, without the columns that it knows from elsewhere.
    pub(super) fn packed(&self, without: &[&str]) -> Value {
        match self {
            Self::Rows(rows) => pack(rows, without),
            Self::Missing(why) => json!({ "missing": why }),
        }
    }
}

/// A whole number of a row.
pub(super) fn integer(row: &Row, column: &str) -> Option<i64> {
    row.get(column).and_then(Value::as_i64)
}

/// A text of a row.
pub(super) fn text<'a>(row: &'a Row, column: &str) -> Option<&'a str> {
    row.get(column).and_then(Value::as_str)
}
