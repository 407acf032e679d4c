//! The orders that rows of a file may have, and keys by which rows are compared.

use arrow::array::{RecordBatch, UInt64Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::Schema;
use arrow::error::ArrowError;
use arrow::row::{RowConverter, Rows, SortField};
use parquet::file::metadata::ParquetMetaData;
use schemas::Table;

/// What the rows of the large tables are sorted by first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// Their game, as they are appended.
    #[default]
    Game,
    /// Their position, or the attending one, in the tables that have one.
    Position,
}

impl Order {
    /// The columns that rows of the table are sorted by.
    pub(super) fn columns(self, table: &Table) -> Vec<&'static str> {
        let mut columns = table.sort.to_vec();
        let is_large = !table.partition.is_empty();
        let place = columns.iter().position(|column| ["position", "query"].contains(column));
        if let Some(place) = place.filter(|_| is_large && self == Self::Position) {
            columns[..=place].rotate_right(1);
        }
        columns
    }
}

/// The columns that a file says its rows are sorted by; none if it has no rows.
pub(super) fn said(footer: &ParquetMetaData) -> Option<Vec<String>> {
    let schema = footer.file_metadata().schema_descr();
    let sorting = footer.row_groups().first()?.sorting_columns();
    let name = |index: i32| schema.columns().get(usize::try_from(index).ok()?);
    let names = sorting.into_iter().flatten().filter_map(|by| Some(name(by.column_idx)?.name().to_owned()));
    Some(names.collect())
}

/// Makes rows comparable.
pub(super) struct Keys {
    converter: RowConverter,
    columns: Vec<usize>,
}

impl Keys {
    /// Keys of these columns, which the schema must have.
    pub(super) fn of(schema: &Schema, sort: &[&str]) -> Result<Self, ArrowError> {
        let columns = sort.iter().map(|name| schema.index_of(name)).collect::<Result<Vec<_>, _>>()?;
        let field = |column: &usize| SortField::new(schema.field(*column).data_type().clone());
        Ok(Self { converter: RowConverter::new(columns.iter().map(field).collect())?, columns })
    }

    /// The keys of all rows.
    pub(super) fn rows(&self, batch: &RecordBatch) -> Result<Rows, ArrowError> {
        let columns: Vec<_> = self.columns.iter().map(|column| batch.column(*column).clone()).collect();
        self.converter.convert_columns(&columns)
    }

    /// The rows by their keys.
    pub(super) fn sorted(&self, batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
        let rows = self.rows(batch)?;
        let mut order: Vec<u64> = (0..batch.num_rows() as u64).collect();
        order.sort_unstable_by(|one, other| rows.row(*one as usize).cmp(&rows.row(*other as usize)));
        take_record_batch(batch, &UInt64Array::from(order))
    }
}

#[cfg(test)]
mod tests {
    use schemas::{attention, feature_rollup, features, tokens};

    use super::Order;

    #[test]
    fn the_position_comes_first_in_the_large_tables() {
        assert_eq!(Order::Position.columns(&features::TABLE), ["position", "game", "step", "rank"]);
        assert_eq!(Order::Position.columns(&attention::TABLE), ["query", "game", "step", "head", "key"]);
        for table in [&tokens::TABLE, &feature_rollup::TABLE] {
            assert_eq!(Order::Position.columns(table), table.sort);
        }
        assert_eq!(Order::Game.columns(&features::TABLE), features::TABLE.sort);
    }
}
