//! The gradient of one block.

use burn::tensor::{DType, Tensor};

use super::attention::Attended;
use super::freeze::Freeze;
use super::norm::Normalized;
use super::swiglu;
use crate::model::attention::{Heads, mix, pattern};
use crate::model::rope::Turns;
use crate::model::{Llama, ranges};

/// A gradient as it passes a block.
pub struct AtBlock<'a> {
    /// The block.
    pub layer: usize,
    /// At the residual after the block, and so at what the MLP adds: `[tokens, d_model]`.
    pub after: &'a Tensor<2>,
    /// At the residual between attention and MLP, and so at what the attention adds: `[tokens, d_model]`.
    pub middle: &'a Tensor<2>,
    /// At what each head reads, before the output weights: `[tokens, n_heads * head_dim]`.
    pub heads: &'a Tensor<2>,
}

/// A block that ran again, with what its gradient needs.
pub(super) struct Replayed<'a> {
    llama: &'a Llama,
    /// How many tokens each sequence has.
    lengths: &'a [usize],
    heads: Heads,
    /// The turns that undo those of queries and keys.
    back: Turns,
    ln1: Normalized,
    attended: Vec<Attended>,
    ln2: Normalized,
    gate_up: Tensor<2>,
    /// The weights, transposed: `[outputs, inputs]`.
    qkv: Tensor<2>,
    output: Tensor<2>,
    gate_up_weights: Tensor<2>,
    down: Tensor<2>,
    /// Gains of the two norms: `[1, d_model]`, f32.
    gains: [Tensor<2>; 2],
}

impl<'a> Replayed<'a> {
    /// Runs block `layer` from `x: [tokens, d_model]`, the residual before it.
    pub(super) fn of(
        llama: &'a Llama,
        layer: usize,
        lengths: &'a [usize],
        x: Tensor<2>,
        turns: &Turns,
    ) -> Self {
        let (block, kernels, heads) = (&llama.blocks[layer], llama.kernels, llama.heads());
        let dtype = x.dtype();
        let ln1 = Normalized::of(x.clone(), llama.config.rms_eps);
        let qkv = block.qkv.forward(block.ln1.scale(ln1.y.clone().cast(dtype), kernels), kernels);
        let [q, k, v] = llama.split(&kernels.rotate(qkv, llama.turned(), turns));
        let mut attended = Vec::with_capacity(lengths.len());
        let mut mixed = Vec::with_capacity(lengths.len());
        for range in ranges(lengths).filter(|range| !range.is_empty()) {
            let [q, k, v] = [&q, &k, &v].map(|x| x.clone().slice([range.clone()]));
            let pattern = pattern(q.clone(), k.clone(), heads);
            mixed.push(mix(pattern.clone(), v.clone(), heads));
            attended.push(Attended { q, k, v, pattern });
        }
        let middle = x + block.output.forward(Tensor::cat(mixed, 0), kernels);
        let ln2 = Normalized::of(middle, llama.config.rms_eps);
        let gate_up = block.mlp.gate_up.forward(block.ln2.scale(ln2.y.clone().cast(dtype), kernels), kernels);
        Self {
            llama,
            lengths,
            heads,
            back: turns.undone(),
            ln1,
            attended,
            ln2,
            gate_up,
            qkv: block.qkv.transposed(),
            output: block.output.transposed(),
            gate_up_weights: block.mlp.gate_up.transposed(),
            down: block.mlp.down.transposed(),
            gains: [&block.ln1, &block.ln2].map(|norm| norm.gain().clone().cast(DType::F32).unsqueeze()),
        }
    }

    /// From a gradient at the residual after the block to those at the residual before it, at the one in its middle,
    /// and at what the heads read.
    pub(super) fn back(&self, after: Tensor<2>, freeze: Freeze) -> (Tensor<2>, Tensor<2>, Tensor<2>) {
        let [gain1, gain2] = &self.gains;
        let at_gate_up = swiglu::back(&self.gate_up, product(after.clone(), &self.down));
        let at_ln2 = product(at_gate_up, &self.gate_up_weights) * gain2.clone();
        let middle = after + self.ln2.back(at_ln2, freeze.norms());
        let heads = product(middle.clone(), &self.output);
        let at_ln1 = product(self.at_qkv(&heads, freeze), &self.qkv) * gain1.clone();
        let before = middle.clone() + self.ln1.back(at_ln1, freeze.norms());
        (before, middle, heads)
    }

    /// From a gradient at what the heads read to one at queries, keys and values before they are turned.
    fn at_qkv(&self, heads: &Tensor<2>, freeze: Freeze) -> Tensor<2> {
        let ranges = ranges(self.lengths).filter(|range| !range.is_empty());
        let parts = ranges.zip(&self.attended).map(|(range, attended)| {
            attended.back(heads.clone().slice([range]), self.heads, freeze.patterns())
        });
        let turned = Tensor::cat(parts.collect::<Vec<_>>(), 0);
        self.llama.kernels.rotate(turned, self.llama.turned(), &self.back)
    }
}

/// A gradient times transposed weights, in the dtype of the weights.
pub(super) fn product(g: Tensor<2>, transposed: &Tensor<2>) -> Tensor<2> {
    g.cast(transposed.dtype()).matmul(transposed.clone()).cast(DType::F32)
}
