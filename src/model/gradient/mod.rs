//! Gradients with frozen weights: from a metric back to the residual stream, block by block.
//!
//! The gradient of every part of a block is written by hand, each with a test against differences of plain loops in
//! f64. burn could take gradients itself, but its graph would hold every block's activations at once, or, taken block
//! by block, be built and thrown away for each, and it cannot take a pattern as constant and still show it. A block
//! here is run again from the residual that it began with, so that no more than one block's activations are in memory,
//! whatever the depth; several gradients go through one such run; and nothing is done below the lowest block that is
//! asked for. All of it is tensor operations, on any device, in f32 but for products with weights, which are in the
//! dtype of the weights.
//!
//! ```text
//! forward ─▶ Stream: the residual before and after each block
//! metric  ─▶ readout: its gradient at the last residual
//!         ─▶ pull_back: through the blocks, the last one first ─▶ AtBlock: after the block, in its middle, at its heads
//! ```

mod attention;
mod block;
#[cfg(test)]
mod differences;
mod freeze;
mod norm;
mod readout;
mod stream;
mod swiglu;

pub use block::AtBlock;
pub use freeze::{Freeze, UnknownFreeze};
pub use stream::Stream;
