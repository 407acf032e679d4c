//! The first rows of every group.

use std::cmp::Ordering;

use polars::prelude::{Expr, LazyFrame, SortMultipleOptions, by_name, col, lit};

use crate::QueryError;

/// A key that rows are sorted by.
pub(crate) enum By {
    /// From low to high.
    Rising(Expr),
    /// From high to low.
    Falling(Expr),
}

/// The rows sorted by `keys`; missing values come last.
pub(crate) fn sorted<const N: usize>(rows: LazyFrame, keys: [By; N]) -> LazyFrame {
    let (mut expressions, mut descending) = (Vec::with_capacity(N), Vec::with_capacity(N));
    for key in keys {
        let (expression, falling) = match key {
            By::Rising(expression) => (expression, false),
            By::Falling(expression) => (expression, true),
        };
        expressions.push(expression);
        descending.push(falling);
    }
    let options =
        SortMultipleOptions::default().with_order_descending_multi(descending).with_nulls_last(true);
    rows.sort_by_exprs(expressions, options)
}

/// The first `limit` rows of every group in the order of `keys`, by columns of which the first is never
/// missing. The rows are sorted by the keys alone.
///
/// # Errors
/// If the plan cannot be made.
pub(crate) fn first_of_each<const N: usize>(
    rows: LazyFrame,
    group: &[&str],
    keys: [By; N],
    limit: u32,
) -> Result<LazyFrame, QueryError> {
    const PLACE: &str = "place in its group";
    let by = group.iter().map(|column| col(*column)).collect::<Vec<_>>();
    let place = by[0].clone().cum_count(false).over(&by)?;
    Ok(sorted(rows, keys).with_column(place.alias(PLACE)).filter(col(PLACE).lt_eq(lit(limit))).drop(by_name(
        [PLACE],
        true,
        false,
    )))
}

/// Leaves the first `limit` of `items` in the order of `compare`, in no order.
pub(crate) fn keep_first<T>(items: &mut Vec<T>, limit: u32, compare: impl FnMut(&T, &T) -> Ordering) {
    let limit = limit as usize;
    if limit > 0 && limit < items.len() {
        items.select_nth_unstable_by(limit - 1, compare);
    }
    items.truncate(limit);
}
