//! What the decisions of all games attend to, beside the rows of another table of the same steps.

use std::{collections::BTreeMap, ops::Range, sync::Arc};

use polars::prelude::{
    DataFrame, DataType, Expr, LazyFrame, PolarsResult, SchemaRef, UnionArgs, col, concat, lit,
};
use schemas::Table;

use crate::{
    QueryError, Tables,
    place::filtered,
    prompts::{Prompt, Prompts, floats, ints},
    tally::{self, Chosen, Step, Token},
    walk::{Part, Rows, n_layers, walk_parts},
};

/// What stands for the query in a row of the other table.
const NO_QUERY: i32 = -1;

/// What stands for the feature in a row that is about none.
const NO_FEATURE: i32 = -1;

/// A table with a number for every position, or for every feature of a position.
pub(crate) struct Numbers<'a> {
    /// The table.
    pub(crate) table: &'a Table,
    /// Its column with the feature, if it has one.
    pub(crate) feature: Option<&'a str>,
    /// Its column with the number.
    pub(crate) value: &'a str,
}

/// The columns of the rows of a part, of both tables.
pub(crate) struct Columns<'a> {
    queries: &'a [i32],
    positions: &'a [i32],
    features: &'a [i32],
    values: &'a [f32],
}

/// What `fold` makes of the decision's attention and of `numbers`, part by part, at one layer or all.
///
/// # Errors
/// If the plan cannot be made.
pub(crate) fn walk<F>(
    tables: &Tables,
    numbers: &Numbers<'_>,
    layer: Option<i32>,
    prompts: &Arc<Prompts>,
    made: (SchemaRef, F),
) -> Result<LazyFrame, QueryError>
where
    F: Fn(&Prompts, &Rows<'_>) -> PolarsResult<DataFrame> + Clone + Send + Sync + 'static,
{
    let both = both(tables, numbers)?;
    walk_parts((prompts, n_layers(tables, layer)?), made, |part| both(part, layer))
}

/// The rows of a part, of the decision's attention and of `numbers`, at one layer or all.
///
/// # Errors
/// If the plan cannot be made.
pub(crate) fn both<'a>(
    tables: &Tables,
    numbers: &'a Numbers<'_>,
) -> Result<impl Fn(&Part, Option<i32>) -> Result<LazyFrame, QueryError> + 'a, QueryError> {
    let columns = |query: Expr, position: &str, feature: Expr, value: &str| {
        [
            col("game"),
            col("step"),
            col("layer"),
            query.cast(DataType::Int32).alias("query"),
            col(position).alias("position"),
            feature.cast(DataType::Int32).alias("feature"),
            col(value).alias("value"),
        ]
    };
    let [attention, numbered] =
        [tables.unjoined(&schemas::attention::TABLE)?, tables.unjoined(numbers.table)?];
    Ok(move |part: &Part, layer| {
        let of_part = |table: &LazyFrame| filtered(table.clone().filter(part.filter()), "layer", layer);
        let feature = numbers.feature.map_or_else(|| lit(NO_FEATURE), col);
        let weights = of_part(&attention).filter(part.near_decisions("query")).select(columns(
            col("query"),
            "key",
            lit(NO_FEATURE),
            "weight",
        ));
        let others = of_part(&numbered).select(columns(lit(NO_QUERY), "position", feature, numbers.value));
        Ok(concat([weights, others], UnionArgs::default())?)
    })
}

impl<'a> Columns<'a> {
    /// The columns of the rows.
    pub(crate) fn of(rows: &'a Rows<'_>) -> PolarsResult<Self> {
        Ok(Self {
            queries: ints(rows.frame, "query")?,
            positions: ints(rows.frame, "position")?,
            features: ints(rows.frame, "feature")?,
            values: floats(rows.frame, "value")?,
        })
    }

    /// The attention that the decision of a step pays to each position up to it, averaged over all heads.
    pub(crate) fn attention(&self, prompt: &Prompt, ranges: &[Range<usize>]) -> Vec<f64> {
        let mut attention = vec![0.0; usize::try_from(prompt.decision_position).map_or(0, |last| last + 1)];
        for row in ranges.iter().cloned().flatten() {
            if self.queries[row] == prompt.decision_position
                && let Some(sum) = attention.get_mut(self.positions[row] as usize)
            {
                *sum += f64::from(self.values[row]);
            }
        }
        for sum in &mut attention {
            *sum /= f64::from(prompt.n_heads);
        }
        attention
    }

    /// The rows of the other table at a layer of a step, token by token: position and number.
    pub(crate) fn tokens(&self, ranges: &[Range<usize>]) -> Vec<(i32, f64)> {
        let rows = ranges.iter().cloned().flatten().filter(|row| self.is_number(*row));
        rows.map(|row| (self.positions[row], f64::from(self.values[row]))).collect::<Vec<_>>()
    }

    /// The tokens of every span that have rows in the other table.
    pub(crate) fn by_span(&self, steps: &[Step<'_>], chosen: Chosen) -> BTreeMap<u32, Vec<Token>> {
        tally::by_span(steps, self.positions, chosen, |row| self.is_number(row))
    }

    /// The features and numbers of rows of the other table.
    pub(crate) fn numbers(&self, rows: Range<usize>) -> impl Iterator<Item = (i32, f64)> {
        let numbers = self.values[rows.clone()].iter().map(|number| f64::from(*number));
        self.features[rows].iter().copied().zip(numbers)
    }

    /// Whether a row is of the other table.
    fn is_number(&self, row: usize) -> bool {
        self.queries[row] == NO_QUERY
    }
}
