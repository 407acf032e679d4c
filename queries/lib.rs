//! The questions a lake answers, as polars lazy plans.
//!
//! A plan is a value: a question takes the lazy tables of a lake ([`Tables`]) and returns a plan, which
//! can be printed ([`explain`]) or run ([`run`], the one place where anything is collected).
//!
//! A question is `name.rs` with its plans, `name.sql` with the same question for DuckDB about one step,
//! `name-all.sql` about all games, and a line in [`ALL`]. Tests compare the rows of polars, DuckDB and Spark.

use std::panic::{AssertUnwindSafe, catch_unwind};

use polars::prelude::{PolarsError, PolarsResult, SchemaRef};

mod add_up;
pub mod attribution;
mod attribution_spans;
mod causal;
pub mod causal_trace;
pub mod compare;
mod compare_layers;
mod condition;
pub mod contrast;
mod contrast_design;
mod contrast_sums;
mod correlation;
pub mod effects;
mod error;
pub mod feature;
pub mod features;
mod features_spans;
mod files;
pub mod flow;
mod flow_all;
mod format;
mod formats;
mod frame;
pub mod games;
pub mod heatmap;
mod heatmap_all;
mod highest;
mod lake;
pub mod last_token;
mod last_token_games;
mod layers;
mod looks;
mod means;
mod members;
mod nearest;
pub mod overview;
mod place;
pub mod position;
mod position_all;
mod position_values;
mod prompts;
mod ranking;
mod selection;
mod shared;
mod statistics;
pub mod surroundings;
mod tally;
pub mod trace;
mod trace_columns;
mod trace_edges;
mod trace_games;
mod trace_step;
mod trace_sums;
mod variables;
mod walk;
mod weights;

pub use condition::Condition;
pub use error::QueryError;
pub use format::{Format, write};
pub use frame::frame;
pub use lake::{Listed, Tables};
pub use means::means;
pub use members::DECISION;
pub use place::{Layers, Place};
/// Rows in memory, and a plan that would make them.
pub use polars::prelude::{DataFrame, LazyFrame};
pub use selection::{FeatureName, Scope, Selection, Specials};
pub use variables::{Variable, Variables};
pub use weights::{Coupling, Given, Weights};

/// A question of the menu.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Query {
    /// What it is asked by.
    pub name: &'static str,
    /// What it answers, in one line.
    pub about: &'static str,
    /// The same question for DuckDB, about one step. It needs `SET VARIABLE lake = '…'` first, and returns
    /// the same rows.
    pub step_sql: Option<&'static str>,
    /// The same about all games.
    pub all_sql: Option<&'static str>,
    /// Other ways to ask: the end of the file's name, and the SQL.
    pub more_sql: &'static [(&'static str, &'static str)],
}

/// Every question, in the order of the menu.
pub const ALL: &[Query] = &[
    attribution::QUERY,
    features::QUERY,
    feature::QUERY,
    flow::QUERY,
    heatmap::QUERY,
    position::QUERY,
    contrast::QUERY,
    trace::QUERY,
    effects::QUERY,
    causal_trace::QUERY,
    last_token::QUERY,
    compare::QUERY,
    games::QUERY,
    overview::QUERY,
];

/// A question that can be answered: its plan, and how SQL asks the same.
pub struct Asked {
    /// The plan.
    pub plan: LazyFrame,
    /// The SQL that returns the same rows.
    pub sql: &'static str,
    /// The variables that the SQL needs.
    pub variables: Variables,
}

/// Runs a plan: the only place that collects.
///
/// # Errors
/// [`QueryError::Engine`] if a file of the lake cannot be read.
pub fn run(plan: LazyFrame) -> Result<DataFrame, QueryError> {
    Ok(run_part(plan)?)
}

/// Runs a plan inside another one.
pub(crate) fn run_part(plan: LazyFrame) -> PolarsResult<DataFrame> {
    without_panic(|| plan.collect())
}

/// The columns that a plan gives.
pub(crate) fn schema_of(plan: &mut LazyFrame) -> PolarsResult<SchemaRef> {
    without_panic(|| plan.collect_schema())
}

/// polars asserts what it expects of a file's inside, so that a damaged file may bring it down: that is an error here.
fn without_panic<T>(work: impl FnOnce() -> PolarsResult<T>) -> PolarsResult<T> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let said = panic.downcast_ref::<String>().map(String::as_str);
        let said = said.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no reason given");
        let text = format!("a file of the lake may be damaged: {}", said.replace('\n', ", "));
        Err(PolarsError::ComputeError(text.into()))
    })
}

/// The plan as it will run, after optimization.
///
/// # Errors
/// [`QueryError::Engine`] if the plan does not fit the tables.
pub fn explain(plan: &LazyFrame) -> Result<String, QueryError> {
    Ok(plan.explain(true)?)
}
