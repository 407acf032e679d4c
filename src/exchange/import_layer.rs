//! The matrix of one layer, row by row.

use std::io::Read;
use std::path::{Path, PathBuf};

use super::ExchangeError;
use super::import_arrays::Arrays;
use super::import_rows::MatrixRows;
use super::spool::Spool;

/// Rows, columns and values of a matrix on the disk.
pub(super) struct Layer {
    /// The block that the features are of.
    pub(super) number: i32,
    path: PathBuf,
    rows: Spool,
    columns: Spool,
    values: Spool,
    pub(super) n_values: u64,
    /// Its columns.
    pub(super) width: i32,
}

impl Layer {
    /// Unpacks the matrix of `arrays` to the disk of `scratch`.
    pub(super) fn unpack(
        (layer, path): (i32, &Path),
        arrays: &mut Arrays,
        width: i32,
        scratch: &Path,
    ) -> Result<Self, ExchangeError> {
        let (mut rows, mut columns, mut values) =
            (Spool::new(scratch)?, Spool::new(scratch)?, Spool::new(scratch)?);
        let counts = [
            ("row_indices", arrays.spool_integers("row_indices", &mut rows)?),
            ("col_indices", arrays.spool_integers("col_indices", &mut columns)?),
        ];
        let n_values = arrays.spool_floats("values", &mut values)?;
        for (name, count) in counts {
            if count != n_values {
                return Err(
                    arrays.wrong(name, format!("has {count} entries, and there are {n_values} values"))
                );
            }
        }
        Ok(Self { number: layer, path: path.to_owned(), rows, columns, values, n_values, width })
    }

    /// Refuses a matrix that has values where it cannot have them, or such as no feature has.
    pub(super) fn check(&mut self, rows: &MatrixRows) -> Result<(), ExchangeError> {
        let mut values = self.values()?;
        for row in 0..rows.games.len() {
            let found = values.row(row as i32)?;
            if !found.is_empty() && !rows.is_valid(row) {
                return Err(values.wrong(format!("row {row} has values, and its valid_mask is false")));
            }
        }
        values.end()
    }

    /// Its values from the first on.
    pub(super) fn values(&mut self) -> Result<Values<'_>, ExchangeError> {
        let path = &self.path;
        let failed = |error| ExchangeError::unreadable(path, error);
        let rows = Box::new(self.rows.reader().map_err(failed)?);
        let columns = Box::new(self.columns.reader().map_err(failed)?);
        let cells = Box::new(self.values.reader().map_err(failed)?);
        let (layer, width, left) = (self.number, self.width, self.n_values);
        let mut values = Values { layer, path, width, rows, columns, cells, left, next: None, last: -1 };
        values.advance()?;
        Ok(values)
    }
}

/// The values of a matrix as they follow each other.
pub(super) struct Values<'a> {
    pub(super) layer: i32,
    path: &'a Path,
    width: i32,
    rows: Box<dyn Read + 'a>,
    columns: Box<dyn Read + 'a>,
    cells: Box<dyn Read + 'a>,
    /// Values whose row was not read yet.
    left: u64,
    /// The row of the next value; none after the last.
    next: Option<i32>,
    /// The row before it.
    last: i32,
}

impl Values<'_> {
    /// The features of a row by their index. Rows are asked for one after the other.
    pub(super) fn row(&mut self, row: i32) -> Result<Vec<(i32, f32)>, ExchangeError> {
        let mut features: Vec<(i32, f32)> = Vec::new();
        while self.next == Some(row) {
            let column = i32::from_le_bytes(number(&mut self.columns, self.path)?);
            let value = f32::from_le_bytes(number(&mut self.cells, self.path)?);
            if !(0..self.width).contains(&column) {
                return Err(self.wrong(format!(
                    "row {row} has column {column}, and the matrix has {} columns",
                    self.width
                )));
            }
            // Features are stored where they fire; NaN is not above 0 either.
            if !(value > 0.0 && value.is_finite()) {
                return Err(self.wrong(format!(
                    "row {row}, column {column} is {value}: activations are above 0 and finite"
                )));
            }
            features.push((column, value));
            self.advance()?;
        }
        features.sort_unstable_by_key(|(column, _)| *column);
        match features.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            Some(twice) => Err(self.wrong(format!("row {row} has column {} twice", twice[0].0))),
            None => Ok(features),
        }
    }

    /// Refuses values of rows that the matrix does not have.
    fn end(&self) -> Result<(), ExchangeError> {
        self.next.map_or(Ok(()), |row| {
            Err(self.wrong(format!("there is a value of row {row}, which is not there")))
        })
    }

    /// Reads the row of the next value.
    fn advance(&mut self) -> Result<(), ExchangeError> {
        self.last = self.next.unwrap_or(self.last);
        self.next = None;
        if self.left > 0 {
            self.left -= 1;
            let next = i32::from_le_bytes(number(&mut self.rows, self.path)?);
            if next < self.last.max(0) {
                let what = format!(
                    "row {next} after row {}: `row_indices` must ascend, as numpy.nonzero gives them",
                    self.last
                );
                return Err(self.wrong(what));
            }
            self.next = Some(next);
        }
        Ok(())
    }

    fn wrong(&self, what: String) -> ExchangeError {
        ExchangeError::foreign(self.path, what)
    }
}

/// The bytes of the next number.
fn number(reader: &mut impl Read, path: &Path) -> Result<[u8; 4], ExchangeError> {
    let mut bytes = [0; 4];
    let read = reader.read_exact(&mut bytes);
    read.map(|()| bytes).map_err(|error| ExchangeError::unreadable(path, error))
}
