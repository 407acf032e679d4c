//! The layouts that a lake may be in: which can be read, and which can be added to.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int32Array, StringArray};
use schemas::{Column, Table, feature_rollup, prefixes, runs};

use super::at_once::at_once;
use super::log::Log;
use super::store::Store;
use super::{ACTIVATION_BITS, Lake, LakeError, file, statistics};

/// A version of the layout. Every one can be read, and the last can be added to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Format {
    /// Features of a position by their number, no `feature_rollup`, no `prefixes`, every position with all its rows.
    One,
    /// What `schemas` describes.
    Two,
}

impl Format {
    /// The one that is written.
    pub const LAST: Self = Self::Two;

    /// Its number, as `format_version` has it.
    pub const fn number(self) -> i32 {
        match self {
            Self::One => 1,
            Self::Two => 2,
        }
    }

    /// Whether a lake of this format has the table.
    pub fn has(self, table: &Table) -> bool {
        self > Self::One || ![feature_rollup::TABLE.name, prefixes::TABLE.name].contains(&table.name)
    }

    /// The columns that files of the table have in this format.
    pub(crate) fn columns(self, table: &Table) -> impl Iterator<Item = &Column> {
        let is_run = table.name == runs::TABLE.name;
        table.columns.iter().filter(move |column| self > Self::One || !is_run || !is_of_two(column))
    }

    /// The format of a lake by the log of its `runs`: a later one than the last is refused by what its files say, before
    /// anything else of it is looked at, and which of the others it is the columns say.
    ///
    /// # Errors
    /// [`LakeError::FormatTooNew`]; if a file of the table cannot be read.
    pub(crate) fn of(runs: &Log) -> Result<Self, LakeError> {
        at_once(runs.files(), |file| refuse_later(&runs.store, &runs.path(&file.path)))?;
        Self::of_columns(runs)
    }

    /// The format of a lake by the columns of its `runs`, whose files are not opened.
    ///
    /// # Errors
    /// If the log cannot be read.
    pub(crate) fn of_columns(runs: &Log) -> Result<Self, LakeError> {
        let has_column = |name: &str| runs.has_column(name);
        Ok(if has_column("positions")? && has_column("activation_bits")? { Self::Two } else { Self::One })
    }
}

impl Lake {
    /// The layout that the lake is in.
    pub const fn format(&self) -> Format {
        self.format
    }

    /// Refuses to add games to a lake of an earlier format, whose tables would be of two kinds then.
    ///
    /// # Errors
    /// [`LakeError::FormatTooOld`].
    pub fn check_format(&self) -> Result<(), LakeError> {
        let (found, needed) = (self.format.number(), Format::LAST.number());
        if found < needed { Err(LakeError::FormatTooOld { found, needed }) } else { Ok(()) }
    }
}

/// What a file of an earlier format would have in a column that it lacks.
pub(crate) fn filled(table: &Table, column: &str, rows: usize) -> Option<ArrayRef> {
    match column {
        "positions" if table.name == runs::TABLE.name => Some(Arc::new(StringArray::from(vec!["all"; rows]))),
        "activation_bits" if table.name == runs::TABLE.name => {
            Some(Arc::new(Int32Array::from(vec![ACTIVATION_BITS; rows])))
        }
        _ => None,
    }
}

/// Whether a column of `runs` came with the second format.
fn is_of_two(column: &Column) -> bool {
    ["positions", "activation_bits"].contains(&column.name)
}

/// Refuses a file of `runs` that is of a later layout than the last that is known.
///
/// # Errors
/// [`LakeError::FormatTooNew`]; if its footer cannot be read.
pub(super) fn refuse_later(store: &Store, path: &str) -> Result<(), LakeError> {
    let found = statistics::greatest(&file::footer(store, path)?, "format_version").unwrap_or(0);
    let supported = Format::LAST.number();
    if found > supported { Err(LakeError::FormatTooNew { found, supported }) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::Format;

    #[test]
    fn the_last_format_is_that_of_the_tables() {
        assert_eq!(Format::LAST.number(), schemas::FORMAT_VERSION);
        assert!(schemas::every().all(|table| Format::LAST.has(table)));
        assert_eq!(schemas::ALL.iter().filter(|table| Format::One.has(table)).count(), 10);
        let columns = |format: Format| format.columns(&schemas::runs::TABLE).count();
        assert_eq!(columns(Format::Two) - columns(Format::One), 2);
    }
}
