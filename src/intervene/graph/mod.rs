//! The graph of what adds to a metric: output ← features ← features ← tokens.
//!
//! The residual after a captured block is all that the blocks above it know of those below it. So a feature of one
//! captured block reaches the next captured block, or the metric, through the blocks between alone, and an edge goes
//! from each captured block to the next one:
//!
//! ```text
//! metric ◀─ features, rest, bias after block 29 ◀─ the same after block 15 ◀─ … ◀─ tokens
//! weight = f_s · d_s · (gradient of the target at the source's place)
//! ```
//!
//! A target's gradient is that of the metric, or of the feature before its nonlinearity, pulled back through the
//! blocks between with everything moving or with patterns and norms frozen. `f_s · d_s` is all that the source writes.
//! The weights of a target's sources add up to the gradient times the whole residual there; the rest of the target is
//! what the blocks between add that does not grow in proportion with the residual.
//!
//! Influence is spread from the metric down: each target hands its own on to its sources by the size of the weights.
//! Of each captured block the features that hold most of it are followed further. What the rest, the biases and the
//! tokens hold stays there, and so does what is pruned, so that the shares add up to 1.

mod edges;
mod level;
mod prune;
mod trace;

pub use edges::{Edge, Feature, Source, Target};
pub use trace::{Graph, Limits, Share};
