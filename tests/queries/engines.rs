//! Polars and DuckDB give the same rows in the same order, whatever is asked.

use serde_json::Value;

use super::{
    asked::{Case, cases},
    difference, engine, rows,
};

/// The columns of the first row, in their order.
pub(super) fn columns(rows: &[Value]) -> Vec<&str> {
    let first = rows.first().and_then(Value::as_object);
    first.map(|row| row.keys().map(String::as_str).collect()).unwrap_or_default()
}

/// An engine gives the rows of polars in every case. All differences are told at once.
pub(super) fn compare(name: &str, cases: Vec<Case>) {
    let answers = engine(name, &cases.iter().map(|case| &case.asked).collect::<Vec<_>>());
    let mut differences = Vec::new();
    for (case, theirs) in cases.into_iter().zip(&answers) {
        let ours = rows(case.asked).unwrap();
        let empty = ours.is_empty().then(|| "no rows".to_owned());
        if let Some(difference) = empty.or_else(|| difference(&ours, theirs, &columns(theirs))) {
            differences.push(format!("{}: {difference}", case.what));
        }
    }
    assert!(differences.is_empty(), "{name} differs\n{}", differences.join("\n\n"));
}

#[test]
fn duckdb_gives_the_rows_of_polars() {
    compare("duckdb", cases());
}
