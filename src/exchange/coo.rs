//! A sparse matrix in coordinates, as it grows.

use std::io::Write as _;
use std::path::Path;

use super::ExchangeError;
use super::npz::Archive;
use super::spool::Spool;

/// Rows, columns and values, each in a file of its own.
pub(super) struct Coo {
    rows: Spool,
    columns: Spool,
    values: Spool,
    /// How many values are not zero.
    pub(super) n_values: u64,
}

impl Coo {
    /// One without values, on the disk of `folder`.
    pub(super) fn new(folder: &Path) -> Result<Self, ExchangeError> {
        let spool = || Spool::new(folder);
        Ok(Self { rows: spool()?, columns: spool()?, values: spool()?, n_values: 0 })
    }

    /// Adds the features of a row, ascending.
    pub(super) fn push(&mut self, row: i32, features: &[(i32, f32)]) -> std::io::Result<()> {
        for (feature, activation) in features {
            self.rows.write_all(&row.to_le_bytes())?;
            self.columns.write_all(&feature.to_le_bytes())?;
            self.values.write_all(&activation.to_le_bytes())?;
        }
        self.n_values += features.len() as u64;
        Ok(())
    }

    /// Writes the three vectors under the names that scipy's users give them.
    pub(super) fn write(&mut self, archive: &mut Archive) -> Result<(), ExchangeError> {
        archive.bytes("row_indices", (self.n_values, "<i4"), self.rows.reader())?;
        archive.bytes("col_indices", (self.n_values, "<i4"), self.columns.reader())?;
        archive.bytes("values", (self.n_values, "<f4"), self.values.reader())
    }
}
