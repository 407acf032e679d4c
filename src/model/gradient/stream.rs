//! The residual stream of a pass, kept to go back through it.

use std::ops::Range;

use burn::tensor::Tensor;

use super::block::{AtBlock, Replayed};
use super::freeze::Freeze;
use crate::model::{Cache, Hook, Llama, Packed, Past, Site, Stretch, Tap, rope::Turns};

/// The residual stream before each block of a pass from some block on, and after the last one. No sequence has
/// anything behind it.
#[derive(Clone, Debug)]
pub struct Stream {
    /// How many tokens each sequence has.
    lengths: Vec<usize>,
    /// The first block whose residual is kept.
    first: usize,
    /// Before block `first`, before the next, …, after the last: `[tokens, d_model]` each.
    residuals: Vec<Tensor<2>>,
}

impl Stream {
    /// The stream of a pass that ran already: the residuals before block `first`, before the next, …, and after the
    /// last one, `[tokens, d_model]` each; the sequences lie end to end.
    pub const fn new(lengths: Vec<usize>, first: usize, residuals: Vec<Tensor<2>>) -> Self {
        Self { lengths, first, residuals }
    }

    /// How many tokens each sequence has.
    pub fn lengths(&self) -> &[usize] {
        &self.lengths
    }

    /// The residual before block `layer`: `[tokens, d_model]`. That of the block after the last one is the last
    /// residual.
    ///
    /// # Panics
    /// Where it was not kept.
    pub fn before(&self, layer: usize) -> Tensor<2> {
        self.residuals[layer - self.first].clone()
    }

    /// The residual after the last block: `[tokens, d_model]`.
    pub fn last(&self) -> Tensor<2> {
        self.before(self.first + self.residuals.len() - 1)
    }
}

/// Keeps residuals after blocks.
struct Keeper {
    /// The first block after which it is kept.
    first: usize,
    residuals: Vec<Tensor<2>>,
}

impl Tap for Keeper {
    fn activation(&mut self, hook: Hook, x: Tensor<2>) -> Tensor<2> {
        if hook.site == Site::ResidPost && hook.layer >= self.first {
            self.residuals.push(x.clone());
        }
        x
    }
}

impl Llama {
    /// Runs `batch` and keeps the residual stream from before block `first` on.
    ///
    /// # Panics
    /// As [`Llama::forward`].
    pub fn stream(&self, batch: &Packed, first: usize) -> Stream {
        let residuals = if first == 0 { vec![self.embedded(&batch.ids)] } else { Vec::new() };
        let mut keeper = Keeper { first: first.saturating_sub(1), residuals };
        let _ = self.forward(batch, &mut keeper);
        Stream::new(batch.lengths.clone(), first, keeper.residuals)
    }

    /// Runs the blocks from `first` on over `residual: [tokens, d_model]`, sequences of these lengths end to end, and
    /// keeps the stream.
    ///
    /// # Panics
    /// When there are not as many rows as the lengths say.
    pub fn stream_from(&self, first: usize, residual: Tensor<2>, lengths: &[usize]) -> Stream {
        let mut keeper = Keeper { first, residuals: vec![residual.clone()] };
        let nothing = Cache::new();
        let pasts = vec![Past { cache: &nothing, tokens: 0 }; lengths.len()];
        let blocks = first..self.config.n_layers;
        let _ = self.resume(Stretch { blocks, residual, lengths, pasts: &pasts }, &mut keeper);
        Stream::new(lengths.to_vec(), first, keeper.residuals)
    }

    /// Pulls gradients at the residual after the last of `blocks` back to the residual before the first of them, the
    /// last block first. Each is `[tokens, d_model]`, f32, and they go through one run of each block together.
    ///
    /// `watch` sees each of them, by its place, at each block. Sequences do not see each other, so a gradient that is
    /// the sum of those of several sequences' metrics stays that.
    ///
    /// With T tokens and K gradients a block costs one run of it and K times about twice that; in memory are the
    /// activations of one block, T × (the widths of its parts) and `n_heads · T²` of the pattern, whatever the depth.
    ///
    /// # Panics
    /// When the stream does not reach as far down as `blocks`.
    pub fn pull_back(
        &self,
        stream: &Stream,
        blocks: Range<usize>,
        gradients: Vec<Tensor<2>>,
        freeze: Freeze,
        watch: &mut dyn FnMut(usize, &AtBlock<'_>),
    ) -> Vec<Tensor<2>> {
        let positions = stream.lengths.iter().flat_map(|length| 0..*length);
        let turns = Turns::new(&positions.collect::<Vec<_>>(), &self.frequencies, &self.device);
        let mut gradients = gradients;
        for layer in blocks.rev() {
            let replayed = Replayed::of(self, layer, &stream.lengths, stream.before(layer), &turns);
            for (which, gradient) in gradients.iter_mut().enumerate() {
                gradient.inplace(|after| {
                    let (before, middle, heads) = replayed.back(after.clone(), freeze);
                    watch(which, &AtBlock { layer, after: &after, middle: &middle, heads: &heads });
                    before
                });
            }
        }
        gradients
    }
}
