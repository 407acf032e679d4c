//! The versions of the layout that can be read.

use std::path::Path;

use polars::prelude::{LazyFrame, col, lit};
use schemas::Table;

use crate::{QueryError, run, schema_of};

/// The first version. It has no `feature_rollup` and no `prefixes`, and two columns of `runs` less.
pub(crate) const FIRST: i32 = 1;

/// The tables that came with the second version.
const OF_TWO: [&str; 2] = [schemas::feature_rollup::TABLE.name, schemas::prefixes::TABLE.name];

/// The version of a lake: the greatest of its runs; of one without runs, that of its tables.
///
/// # Errors
/// [`QueryError::FormatTooNew`]; [`QueryError::MissingColumn`] if runs say nothing.
pub(crate) fn of_runs(
    root: &Path,
    runs: &LazyFrame,
    there: impl Fn(&Table) -> bool,
) -> Result<i32, QueryError> {
    let (table, column) = (schemas::runs::TABLE.name, "format_version");
    if !schema_of(&mut runs.clone())?.contains(column) {
        return Err(QueryError::MissingColumn { table, column });
    }
    let newest = run(runs.clone().select([col(column).max()]))?;
    // The check of the columns says which type it has.
    let found = newest.column(column)?.i32().ok().and_then(|version| version.get(0));
    let supported = schemas::FORMAT_VERSION;
    match found {
        Some(found) if found > supported => {
            Err(QueryError::FormatTooNew { root: root.to_owned(), found, supported })
        }
        Some(found) => Ok(found.max(FIRST)),
        None if schemas::ALL.iter().all(|table| there(table)) => Ok(supported),
        None => Ok(FIRST),
    }
}

/// Refuses a folder that lacks one of the tables of a version.
///
/// # Errors
/// [`QueryError::NotALake`].
pub(crate) fn missing(root: &Path, version: i32, there: impl Fn(&Table) -> bool) -> Result<(), QueryError> {
    let of_version = |table: &&Table| version > FIRST || !OF_TWO.contains(&table.name);
    match schemas::ALL.into_iter().filter(of_version).find(|table| !there(table)) {
        Some(table) => Err(QueryError::NotALake { root: root.to_owned(), table: table.name }),
        None => Ok(()),
    }
}

/// Runs with the columns that their version lacks.
pub(crate) fn filled(runs: LazyFrame, version: i32) -> LazyFrame {
    if version > FIRST {
        return runs;
    }
    runs.with_columns([lit("all").alias("positions"), lit(23).alias("activation_bits")])
}
