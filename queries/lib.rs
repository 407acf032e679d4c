//! The questions a lake answers, as polars lazy plans.
//!
//! A plan is a value: a question takes the lazy tables of a lake ([`Tables`]) and returns a plan, which
//! can be printed ([`explain`]) or run ([`run`], the one place where anything is collected).
//!
//! A question is two files, `name.rs` with the plan and `name.sql` with the same question for DuckDB, and
//! a line in [`ALL`]. A test compares the rows of the two.

pub mod attribution;
mod error;
mod files;
mod format;
mod lake;
mod place;

pub use error::QueryError;
pub use format::{Format, write};
pub use lake::Tables;
pub use place::Place;
/// Rows in memory, and a plan that would make them.
pub use polars::prelude::{DataFrame, LazyFrame};

/// A question of the menu.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Query {
    /// What it is asked by.
    pub name: &'static str,
    /// What it answers, in one line.
    pub about: &'static str,
    /// The same question for DuckDB: needs `SET VARIABLE lake = '…'` first, and returns the same rows.
    pub sql: &'static str,
}

/// Every question, in the order of the menu.
pub const ALL: &[Query] = &[attribution::QUERY];

/// Runs a plan: the only place that collects.
///
/// # Errors
/// [`QueryError::Engine`] if a file of the lake cannot be read.
pub fn run(plan: LazyFrame) -> Result<DataFrame, QueryError> {
    Ok(plan.collect()?)
}

/// The plan as it will run, after optimization.
///
/// # Errors
/// [`QueryError::Engine`] if the plan does not fit the tables.
pub fn explain(plan: &LazyFrame) -> Result<String, QueryError> {
    Ok(plan.explain(true)?)
}
