//! What a change would do to a metric, estimated for every feature at once, and how far that can be believed.
//!
//! ```text
//! Base ─▶ gradients: one pass back            Values: another run, zero, means
//!             │                                  │
//!             └──▶ Changed: features and rest ◀──┘ ─▶ Effect: estimate ─▶ audit: exact ─▶ Verdict of each score
//! ```
//!
//! The effect of a node is the metric with the node changed less the metric as it is. Attribution patching takes the
//! metric for linear in between: one gradient gives all effects. How wrong that is, the audit says.

mod agreement;
mod audit;
mod change;
mod direct;
mod estimate;
mod gradients;
mod integrated;
mod looked_at;
mod node;
mod parts;

pub use agreement::{Agreement, Claim, RESOLUTION};
pub use audit::{Plan, Score, Verdict, verdicts};
pub use change::{Changed, FeatureChanged, Values};
pub use direct::Writer;
pub use estimate::{Ask, Attributed, Audit, Effect};
pub use gradients::{Gradients, Wanted};
pub use looked_at::LookedAt;
pub use node::{Node, Part};
