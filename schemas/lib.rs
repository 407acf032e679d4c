//! The tables of a saelake lake: their names, columns, types, partitions and sort order.
//!
//! Everything that must agree on a column comes from here: the Arrow schema of the writer, the check of
//! the queries, the `*.schema` texts beside this file and the column tables of `data-layout.md`.
//! The crate depends on nothing.

mod causal;
mod table;
mod tables;
mod text;

pub use causal::{CAUSAL, edges, effects, interventions};
pub use table::{Column, Encoding, Partition, Table, Type, Uneven, Values};
pub use tables::{
    ALL, attention, attention_rows, dictionaries, feature_rollup, features, games, positions, prefixes, runs,
    spans, steps, tokens,
};
pub use text::{markdown, message};

/// Every table that a lake may have: those that every lake has, then the causal ones.
pub fn every() -> impl Iterator<Item = &'static Table> {
    ALL.into_iter().chain(CAUSAL)
}

/// The version of the layout. A reader refuses a lake whose runs carry a higher one.
pub const FORMAT_VERSION: i32 = 2;
