//! Columns that come from elsewhere than a lake, as a frame that is written as answers are.

use polars::prelude::{Column, DataFrame};
use schemas::Values;

use crate::QueryError;

/// A frame of columns by their names.
///
/// # Errors
/// [`QueryError::Engine`] if the columns differ in length or two have one name.
pub fn frame(columns: Vec<(&str, Values)>) -> Result<DataFrame, QueryError> {
    let height = columns.first().map_or(0, |(_, values)| values.len());
    let columns = columns.into_iter().map(|(name, values)| {
        let name = name.into();
        match values {
            Values::Int32(cells) => Column::new(name, cells),
            Values::MaybeInt32(cells) => Column::new(name, cells),
            Values::Int64(cells) => Column::new(name, cells),
            Values::Float32(cells) => Column::new(name, cells),
            Values::MaybeFloat32(cells) => Column::new(name, cells),
            Values::Utf8(cells) => Column::new(name, cells),
            Values::MaybeUtf8(cells) => Column::new(name, cells),
            Values::MaybeBoolean(cells) => Column::new(name, cells),
            Values::Boolean(cells) => Column::new(name, cells),
        }
    });
    Ok(DataFrame::new(height, columns.collect::<Vec<_>>())?)
}
