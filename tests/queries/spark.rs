//! Spark gives the rows of polars to the same SQL, in its dialect.

use std::collections::BTreeSet;

use super::{asked::cases, engines::compare};

/// How many ways of asking are tried of each question: Spark takes seconds for each.
const WAYS: usize = 3;

#[test]
fn spark_gives_the_rows_of_polars() {
    let mut cases = cases();
    let mut seen = BTreeSet::new();
    cases.retain(|case| (0..WAYS).any(|way| seen.insert((case.asked.sql, way))));
    compare("spark", cases);
}
