//! A pass through some of the blocks, from rows of the residual stream that are there already.

use std::ops::Range;

use burn::tensor::Tensor;

use super::cache::{Memory, Past};
use super::llama::Llama;
use super::tap::Tap;

/// Rows of the residual stream that go on through some of the blocks.
///
/// In a causal model a change after block `L` at position `p` touches nothing but the blocks after `L` at the
/// positions from `p` on. So a run that is kept once, its residuals and its keys and values, can be gone on from
/// anywhere: a change there costs `(T - p) * (n_layers - 1 - L)` rows of a block, of the `T * n_layers` of a whole pass.
pub struct Stretch<'a> {
    /// The blocks that they go through.
    pub blocks: Range<usize>,
    /// The rows that enter the first of these blocks, the sequences end to end: `[tokens, d_model]`.
    pub residual: Tensor<2>,
    /// How many rows each sequence has.
    pub lengths: &'a [usize],
    /// What each sequence has behind it.
    pub pasts: &'a [Past<'a>],
}

impl Llama {
    /// Runs rows through some of the blocks. Returns the residual stream after the last of them: `[tokens, d_model]`.
    ///
    /// # Panics
    /// When there are not as many rows as the lengths say, or not as many pasts as sequences; when a block does not
    /// exist, or a cache lacks it.
    pub fn resume(&self, stretch: Stretch<'_>, tap: &mut impl Tap) -> Tensor<2> {
        let Stretch { blocks, residual, lengths, pasts } = stretch;
        assert_eq!(residual.dims()[0], lengths.iter().sum::<usize>(), "a row for each token");
        assert_eq!(lengths.len(), pasts.len(), "a past for each sequence");
        self.through(blocks, residual, lengths, Memory::Fixed(pasts), tap)
    }
}
