//! The forward pass.

use std::ops::Range;

use burn::tensor::{DType, Device, Int, Tensor, TensorData};

use super::attention::{self, Heads};
use super::cache::{Cache, Memory};
use super::config::Config;
use super::dtype::Dtype;
use super::hook::{Hook, Site};
use super::kernels::Kernels;
use super::linear::Linear;
use super::mlp::Mlp;
use super::norm::RmsNorm;
use super::packed::{Packed, ranges};
use super::rope::Turns;
use super::tap::Tap;

/// A Llama on a device.
#[derive(Clone, Debug)]
pub struct Llama {
    pub(super) config: Config,
    pub(super) device: Device,
    /// `[vocab, d_model]`
    pub(super) embed: Tensor<2>,
    pub(super) blocks: Vec<Block>,
    pub(super) norm: RmsNorm,
    pub(super) unembed: Linear,
    /// What each pair of a head turns by a position.
    pub(super) frequencies: Vec<f32>,
    pub(super) kernels: Kernels,
}

/// One block: attention and MLP, each behind a norm and added to the residual stream.
#[derive(Clone, Debug)]
pub(super) struct Block {
    pub(super) ln1: RmsNorm,
    /// Queries, keys and values side by side: `[d_model, (n_heads + 2 * n_kv_heads) * head_dim]`
    pub(super) qkv: Linear,
    /// `[n_heads * head_dim, d_model]`
    pub(super) output: Linear,
    pub(super) ln2: RmsNorm,
    pub(super) mlp: Mlp,
}

impl Llama {
    /// The shape of the model.
    pub const fn config(&self) -> &Config {
        &self.config
    }

    /// Where the model runs.
    pub const fn device(&self) -> &Device {
        &self.device
    }

    /// The same model in plain tensor operations and in `dtype`, as other devices than the CPU run it. It
    /// judges the CPU's own loops, and has its own copy of the weights.
    #[must_use]
    pub fn plain(&self, dtype: Dtype) -> Self {
        let dtype = dtype.burn();
        let mut model = Self { kernels: Kernels::Plain, ..self.clone() };
        model.embed = model.embed.cast(dtype);
        model.unembed = model.unembed.plain(dtype);
        model.norm = model.norm.cast(dtype);
        for Block { ln1, qkv, output, ln2, mlp: Mlp { gate_up, down } } in &mut model.blocks {
            for norm in [ln1, ln2] {
                *norm = norm.cast(dtype);
            }
            for linear in [qkv, output, gate_up, down] {
                *linear = linear.plain(dtype);
            }
        }
        model
    }

    /// Runs `batch` and returns the residual stream after the last block, before the final norm:
    /// `[tokens, d_model]`.
    ///
    /// # Panics
    /// When the batch holds no token, or an id that is not below the vocabulary's size.
    pub fn forward(&self, batch: &Packed, tap: &mut impl Tap) -> Tensor<2> {
        self.run(batch, &mut [], tap)
    }

    /// Runs `batch` after what `caches` hold, one for each sequence, and adds its tokens to them. Returns
    /// what [`Llama::forward`] returns, for the new tokens alone.
    ///
    /// # Panics
    /// As [`Llama::forward`], and when there are not as many caches as sequences.
    pub fn extend(&self, batch: &Packed, caches: &mut [Cache], tap: &mut impl Tap) -> Tensor<2> {
        assert_eq!(batch.lengths.len(), caches.len(), "a batch needs one cache for each sequence");
        let x = self.run(batch, caches, tap);
        for (cache, length) in caches.iter_mut().zip(&batch.lengths) {
            cache.advance(*length);
        }
        x
    }

    /// The logits of rows of the last residual, in f32: `[rows, d_model]` to `[rows, vocab]`.
    pub fn logits(&self, residual: Tensor<2>) -> Tensor<2> {
        self.unembed.forward(self.final_norm(residual), self.kernels).cast(DType::F32)
    }

    /// The logits of some tokens alone, in f32: rows `[rows, d_model]` of the last residual to `[rows, ids]`.
    ///
    /// # Panics
    /// When an id is not below the vocabulary's size.
    pub fn logits_of(&self, residual: Tensor<2>, ids: &[u32]) -> Tensor<2> {
        let rows = self.final_norm(residual).cast(DType::F32);
        // Row by row, so that a row gives the same number whatever lies beside it.
        let logit = |id: &u32| {
            let column = self.unembed.column(*id as usize).cast(DType::F32);
            (rows.clone() * column.unsqueeze()).sum_dim(1)
        };
        Tensor::cat(ids.iter().map(logit).collect(), 1)
    }

    /// The direction of the last residual that raises the logit of the token `first` against that of `second`:
    /// the final norm's gain times the difference of their two columns of the unembedding, `[d_model]`, f32. A
    /// residual that was divided by its root mean square, times this direction, is the difference of the logits.
    ///
    /// # Panics
    /// When an id is not below the vocabulary's size.
    pub fn logit_direction(&self, first: u32, second: u32) -> Tensor<1> {
        let column = |id: u32| self.unembed.column(id as usize).cast(DType::F32);
        self.norm.gain().clone().cast(DType::F32) * (column(first) - column(second))
    }

    /// Rows of the last residual after the final norm and its gain, which no dictionary reads:
    /// `[rows, d_model]`.
    pub fn final_norm(&self, residual: Tensor<2>) -> Tensor<2> {
        self.norm.forward(residual, self.kernels)
    }

    /// The forward pass; without caches no sequence has a past.
    fn run(&self, batch: &Packed, caches: &mut [Cache], tap: &mut impl Tap) -> Tensor<2> {
        let x = self.embedded(&batch.ids);
        self.through(0..self.blocks.len(), x, &batch.lengths, Memory::Growing(caches), tap)
    }

    /// The rows of `x: [tokens, d_model]`, sequences of these lengths end to end, after some of the blocks.
    pub(super) fn through(
        &self,
        blocks: Range<usize>,
        mut x: Tensor<2>,
        lengths: &[usize],
        mut memory: Memory<'_>,
        tap: &mut impl Tap,
    ) -> Tensor<2> {
        let kernels = self.kernels;
        let pasts: Vec<usize> = (0..lengths.len()).map(|sequence| memory.tokens(sequence)).collect();
        let turns = Turns::new(&positions(&pasts, lengths), &self.frequencies, &self.device);
        tap.begin(&pasts, lengths);
        for layer in blocks {
            let block = &self.blocks[layer];
            let at = |site| Hook { layer, site };
            let qkv = block.qkv.forward(block.ln1.forward(x.clone(), kernels), kernels);
            let [q, k, v] = self.split(&kernels.rotate(qkv, self.turned(), &turns));
            let v = tap.activation(at(Site::Value), v);
            let z = self.attend(layer, lengths, [q, k, v], &mut memory, tap);
            let z = tap.activation(at(Site::Z), z);
            x = x + tap.activation(at(Site::AttnOut), block.output.forward(z, kernels));
            let normalized = tap.activation(at(Site::Ln2Normalized), block.ln2.normalize(x.clone(), kernels));
            let mlp_out = block.mlp.forward(block.ln2.scale(normalized, kernels), kernels);
            x = x + tap.activation(at(Site::MlpOut), mlp_out);
            x = tap.activation(at(Site::ResidPost), x);
        }
        x
    }

    /// Attention of every sequence over its own rows: `[tokens, n_heads * head_dim]`.
    fn attend(
        &self,
        layer: usize,
        lengths: &[usize],
        [q, k, v]: [Tensor<2>; 3],
        memory: &mut Memory<'_>,
        tap: &mut impl Tap,
    ) -> Tensor<2> {
        let heads = self.heads();
        let rows = |x: &Tensor<2>, range: &Range<usize>| {
            let [_, width] = x.dims();
            x.clone().slice([range.clone(), 0..width])
        };
        let mut mixed = Vec::with_capacity(lengths.len());
        for (sequence, range) in ranges(lengths).enumerate().filter(|(_, range)| !range.is_empty()) {
            let [q, k, v] = [rows(&q, &range), rows(&k, &range), rows(&v, &range)];
            let (k, v) = memory.join(layer, sequence, k, v);
            mixed.push(if tap.wants_pattern(layer) {
                let pattern = attention::pattern(q, k, heads);
                attention::mix(tap.pattern(layer, sequence, pattern), v, heads)
            } else {
                self.kernels.attend(q, k, v, heads)
            });
        }
        Tensor::cat(mixed, 0)
    }

    /// The embeddings of `ids`: `[tokens, d_model]`.
    ///
    /// # Panics
    /// When there is no id, or one that is not below the vocabulary's size.
    pub fn embedded(&self, ids: &[u32]) -> Tensor<2> {
        assert!(!ids.is_empty(), "a batch needs at least one token");
        let vocab = self.config.vocab;
        if let Some(id) = ids.iter().find(|id| **id as usize >= vocab) {
            panic!("token id {id} is not below the vocabulary's size of {vocab}");
        }
        let ids: Vec<i32> = ids.iter().map(|id| id.cast_signed()).collect();
        let count = ids.len();
        let ids = Tensor::<1, Int>::from_data(TensorData::new(ids, [count]), (&self.device, DType::I32));
        self.embed.clone().select(0, ids)
    }

    /// Columns of queries and keys, which are turned.
    pub(super) const fn turned(&self) -> usize {
        (self.config.n_heads + self.config.n_kv_heads) * self.config.head_dim
    }

    /// Splits `[tokens, queries | keys | values]`.
    pub(super) fn split(&self, qkv: &Tensor<2>) -> [Tensor<2>; 3] {
        let [tokens, all] = qkv.dims();
        let (keys, values) = (self.config.n_heads * self.config.head_dim, self.turned());
        [0..keys, keys..values, values..all].map(|columns| qkv.clone().slice([0..tokens, columns]))
    }

    pub(super) const fn heads(&self) -> Heads {
        Heads { queries: self.config.n_heads, keys: self.config.n_kv_heads, width: self.config.head_dim }
    }
}

/// The position of every packed row in its own sequence.
fn positions(pasts: &[usize], lengths: &[usize]) -> Vec<usize> {
    pasts.iter().zip(lengths).flat_map(|(past, length)| *past..past + length).collect()
}
