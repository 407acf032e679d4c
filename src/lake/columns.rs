//! Columns as Arrow arrays and back.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BooleanArray, Float32Array, Int32Array, Int64Array, RecordBatch, StringArray,
};
use arrow::datatypes::{DataType, Field, Schema};
use arrow::error::ArrowError;
use schemas::{Table, Type, Values};

/// The Arrow schema of a table's files.
pub(crate) fn schema(table: &Table) -> Arc<Schema> {
    let field = |column: &schemas::Column| {
        let ty = match column.ty {
            Type::Int32 => DataType::Int32,
            Type::Int64 => DataType::Int64,
            Type::Float32 => DataType::Float32,
            Type::Utf8 => DataType::Utf8,
            Type::Boolean => DataType::Boolean,
        };
        Field::new(column.name, ty, column.nullable)
    };
    Arc::new(Schema::new(table.columns.iter().map(field).collect::<Vec<_>>()))
}

/// The columns of a table as one Arrow batch; numbers are moved, not copied.
pub(crate) fn to_arrow(table: &Table, values: Vec<Values>) -> Result<RecordBatch, ArrowError> {
    let array = |values| -> ArrayRef {
        match values {
            Values::Int32(cells) => Arc::new(Int32Array::from(cells)),
            Values::MaybeInt32(cells) => Arc::new(Int32Array::from(cells)),
            Values::Int64(cells) => Arc::new(Int64Array::from(cells)),
            Values::Float32(cells) => Arc::new(Float32Array::from(cells)),
            Values::MaybeFloat32(cells) => Arc::new(Float32Array::from(cells)),
            Values::Utf8(cells) => Arc::new(StringArray::from(cells)),
            Values::MaybeUtf8(cells) => Arc::new(StringArray::from(cells)),
            Values::MaybeBoolean(cells) => Arc::new(BooleanArray::from(cells)),
            Values::Boolean(cells) => Arc::new(BooleanArray::from(cells)),
        }
    };
    RecordBatch::try_new(schema(table), values.into_iter().map(array).collect())
}

/// The columns of a table from an Arrow batch with the schema of its files.
pub(crate) fn from_arrow(table: &Table, batch: &RecordBatch) -> Option<Vec<Values>> {
    let columns = table.columns.iter().zip(batch.columns());
    columns.map(|(column, array)| values(column, array)).collect()
}

fn values(column: &schemas::Column, array: &ArrayRef) -> Option<Values> {
    let any = array.as_any();
    Some(match (column.ty, column.nullable) {
        (Type::Int32, false) => Values::Int32(any.downcast_ref::<Int32Array>()?.values().to_vec()),
        (Type::Int32, true) => Values::MaybeInt32(any.downcast_ref::<Int32Array>()?.iter().collect()),
        (Type::Int64, false) => Values::Int64(any.downcast_ref::<Int64Array>()?.values().to_vec()),
        // No table has such a column, and `Values` cannot hold one.
        (Type::Int64, true) => return None,
        (Type::Float32, false) => Values::Float32(any.downcast_ref::<Float32Array>()?.values().to_vec()),
        (Type::Float32, true) => Values::MaybeFloat32(any.downcast_ref::<Float32Array>()?.iter().collect()),
        (Type::Utf8, nullable) => {
            let cells = any.downcast_ref::<StringArray>()?.iter().map(|cell| cell.map(str::to_owned));
            if nullable {
                Values::MaybeUtf8(cells.collect())
            } else {
                Values::Utf8(cells.flatten().collect())
            }
        }
        (Type::Boolean, nullable) => {
            let cells = any.downcast_ref::<BooleanArray>()?.iter();
            if nullable {
                Values::MaybeBoolean(cells.collect())
            } else {
                Values::Boolean(cells.flatten().collect())
            }
        }
    })
}
