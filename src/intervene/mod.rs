//! Changes inside a forward pass, and what they do to a metric.
//!
//! ```text
//! Edit: hook, positions, heads ─▶ Interventions, a Tap ─▶ forward, generation
//! clean, corrupted ─▶ Base: a run that is kept ─▶ Patch: rows after a block ─▶ resumed from there ─▶ metric
//!                      Base ─▶ attribute: estimates of all patches from a gradient, and their audit; graph
//! ```
//!
//! A patch is exact: the model runs with the change made. What cannot change is not run again: in a causal model that
//! is every block up to the patched one, and every position before the patched one.

pub mod attribute;
mod controls;
mod edit;
mod error;
pub mod graph;
mod grid;
mod interventions;
mod kept;
mod means;
mod metric;
mod on_host;
mod pair;
mod paired;
mod patch;
mod record;
mod stage;
mod steered;

pub use controls::{Profile, turned};
pub use edit::{Change, Edit, FeatureChange, FeatureEdit, Positions};
pub use error::InterveneError;
pub use grid::{Cell, Grid, Source, Split, Unit};
pub use interventions::Interventions;
pub use kept::Base;
pub use means::Means;
pub use metric::Metric;
pub use pair::{Pair, Swap};
pub use paired::{Compared, DRAWS, compare, q_values};
pub use patch::Patch;
pub use steered::{Played, Player};
