//! A run that is kept, to go on from with changes.

use burn::tensor::{Int, Tensor, TensorData};

use super::error::InterveneError;
use super::metric::Metric;
use super::record::Record;
use crate::model::{Cache, Hook, Llama, Packed, Past, Site};

/// A run of a prompt, of which everything is kept that later runs share with it.
pub struct Base<'a> {
    /// The model.
    pub llama: &'a Llama,
    /// What the run is judged by.
    pub metric: Metric,
    /// What the metric says of the run as it was.
    pub value: f64,
    /// How many tokens the prompt has.
    pub n_prompt: usize,
    /// How many tokens ran: the prompt, and what the metric puts after it.
    n_tokens: usize,
    embedding: Tensor<2>,
    record: Record,
    cache: Cache,
}

impl<'a> Base<'a> {
    /// Runs a prompt once. Beside the residuals, the activations at `sites` are kept.
    ///
    /// # Errors
    /// If the device fails.
    ///
    /// # Panics
    /// When the prompt holds no token, or an id that is not in the vocabulary.
    pub fn run(
        llama: &'a Llama,
        prompt: &[u32],
        metric: &Metric,
        sites: &[Site],
    ) -> Result<Self, InterveneError> {
        let ids = [prompt, metric.appended()].concat();
        let mut record = Record { sites: sites.to_vec(), ..Record::default() };
        let mut caches = [Cache::new()];
        let last = llama.extend(&Packed::new([ids.as_slice()]), &mut caches, &mut record);
        let rows = ids.len() - metric.rows()..ids.len();
        let values = metric.values(llama, last.slice([rows, 0..llama.config().d_model]))?;
        let [cache] = caches;
        Ok(Self {
            llama,
            metric: metric.clone(),
            value: values[0],
            n_prompt: prompt.len(),
            n_tokens: ids.len(),
            embedding: llama.embedded(&ids),
            record,
            cache,
        })
    }

    /// How many tokens ran.
    pub const fn n_tokens(&self) -> usize {
        self.n_tokens
    }

    /// The residual after block `layer`: `[tokens, d_model]`.
    ///
    /// # Errors
    /// If the model has no such block.
    pub fn residual(&self, layer: usize) -> Result<&Tensor<2>, InterveneError> {
        let layers = self.record.residuals.len();
        let none = InterveneError::NoSuchLayer { hook: Hook::resid_post(layer), layers };
        self.record.residuals.get(layer).ok_or(none)
    }

    /// What block `layer` reads: the residual after the block before it, or the embeddings: `[tokens, d_model]`.
    pub(super) fn entering(&self, layer: usize) -> Result<&Tensor<2>, InterveneError> {
        if layer == 0 { Ok(&self.embedding) } else { self.residual(layer - 1) }
    }

    /// The activation at a hook: `[tokens, width]`.
    ///
    /// # Errors
    /// If it was not kept, or is a pattern.
    pub fn activation(&self, hook: Hook) -> Result<&Tensor<2>, InterveneError> {
        if hook.site == Site::ResidPost {
            return self.residual(hook.layer);
        }
        self.record.activations.get(&hook).ok_or(InterveneError::NotKept { hook })
    }

    /// The pattern of block `layer`: `[head, query, key]`.
    ///
    /// # Errors
    /// If it was not kept.
    pub fn pattern(&self, layer: usize) -> Result<&Tensor<3>, InterveneError> {
        let hook = Hook { layer, site: Site::Pattern };
        self.record.patterns.get(&layer).ok_or(InterveneError::NotKept { hook })
    }

    /// Its first tokens as the past of another run.
    pub(super) const fn past(&self, tokens: usize) -> Past<'_> {
        Past { cache: &self.cache, tokens }
    }

    /// Rows of `x: [tokens, width]` at some positions: `[positions, width]`.
    pub(super) fn rows(x: &Tensor<2>, positions: &[usize]) -> Tensor<2> {
        let index: Vec<i64> = positions.iter().map(|position| *position as i64).collect();
        let index = Tensor::<1, Int>::from_data(TensorData::from(index.as_slice()), &x.device());
        x.clone().select(0, index)
    }

    /// Refuses a position that is not of the prompt.
    pub(super) const fn check_position(&self, position: usize) -> Result<(), InterveneError> {
        if position < self.n_prompt {
            return Ok(());
        }
        Err(InterveneError::NoSuchPosition { position, tokens: self.n_prompt })
    }
}
