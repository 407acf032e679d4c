//! Answers by plain loops over all rows of a lake, which judge those of the plans.

use std::path::Path;

use queries::Asked;
use serde_json::{Value, json};

use super::{python, rows};

/// The answers are in single precision (rounding 6e-8), the loops in double; a correlation is the small
/// difference of large sums.
const TOLERANCE: f64 = 2e-6;

/// Each question has the rows that `loops.py` finds with the settings beside it: the same columns and rows in the same
/// order, floats within the tolerance. Returns how many rows each has.
pub(super) fn check(lake: &Path, cases: Vec<(Asked, Value)>) -> Vec<usize> {
    let settings = cases.iter().map(|case| &case.1).collect::<Vec<_>>();
    let answers = python("loops.py", &[lake], &json!(settings).to_string());
    let answers = serde_json::from_str::<Vec<Vec<Value>>>(&answers).unwrap();
    assert_eq!(answers.len(), cases.len());
    let check = |((asked, settings), expected): ((Asked, Value), Vec<Value>)| {
        let found = rows(asked).unwrap();
        assert_eq!(found.len(), expected.len(), "rows of {settings}\n{found:#?}\n{expected:#?}");
        for (found, expected) in found.iter().zip(&expected) {
            let (a, b) = (found.as_object().unwrap(), expected.as_object().unwrap());
            assert_eq!(a.keys().collect::<Vec<_>>(), b.keys().collect::<Vec<_>>(), "columns of {settings}");
            for (column, value) in a {
                assert!(agree(value, &b[column]), "{settings}: `{column}` of {found} and {expected}");
            }
        }
        found.len()
    };
    cases.into_iter().zip(answers).map(check).collect()
}

/// Loops write whole numbers where an answer has a float.
fn agree(a: &Value, b: &Value) -> bool {
    match (a.is_f64() || b.is_f64(), a.as_f64(), b.as_f64()) {
        (true, Some(a), Some(b)) => (a - b).abs() <= TOLERANCE * b.abs(),
        _ => a == b,
    }
}
