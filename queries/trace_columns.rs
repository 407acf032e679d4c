//! What an edge of the trace of a step is told by.

use polars::prelude::{DataType, Expr, NULL, col, lit};

/// The columns of an edge, and whether edges to the output and edges from tokens have them.
pub(crate) const COLUMNS: [(&str, DataType, bool, bool); 13] = [
    ("from_layer", DataType::Int32, true, false),
    ("from_position", DataType::Int32, true, true),
    ("from_token", DataType::String, true, true),
    ("from_feature", DataType::Int32, true, false),
    ("to_layer", DataType::Int32, false, true),
    ("to_position", DataType::Int32, false, true),
    ("to_token", DataType::String, false, true),
    ("to_feature", DataType::Int32, false, true),
    ("attention", DataType::Float32, false, true),
    ("activation", DataType::Float32, true, true),
    ("coupling", DataType::Float32, true, false),
    ("score", DataType::Float32, true, true),
    ("correlation", DataType::Float32, false, false),
];

/// What an edge is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Output,
    Feature,
    Token,
}

impl Kind {
    /// Every column but the texts of tokens, missing where the kind has none; `place` sorts the kinds.
    pub(crate) fn columns(self) -> Vec<Expr> {
        let (place, name) = match self {
            Self::Output => (0, "output"),
            Self::Feature => (1, "feature"),
            Self::Token => (2, "token"),
        };
        let columns = COLUMNS.into_iter().filter(|column| column.1 != DataType::String).map(
            |(column, ty, of_output, of_token)| {
                let has = match self {
                    Self::Output => of_output,
                    Self::Feature => true,
                    Self::Token => of_token,
                };
                if has { col(column).cast(ty) } else { lit(NULL).cast(ty).alias(column) }
            },
        );
        [lit(place).alias("place"), lit(name).alias("kind")].into_iter().chain(columns).collect::<Vec<_>>()
    }
}
