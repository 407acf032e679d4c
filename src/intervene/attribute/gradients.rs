//! The gradient of a run's metric, at every place that is asked for, by one pass back.

use std::collections::BTreeMap;

use burn::tensor::Tensor;

use crate::intervene::error::InterveneError;
use crate::intervene::kept::Base;
use crate::intervene::metric::Metric;
use crate::model::{Freeze, Stream};

/// The gradients of a metric. All are f32.
#[derive(Default)]
pub struct Gradients {
    /// At the residual after blocks: `[tokens, d_model]`.
    pub after: BTreeMap<usize, Tensor<2>>,
    /// At what the heads of blocks make of the values, `attn.hook_z`: `[tokens, n_heads * head_dim]`.
    pub heads: BTreeMap<usize, Tensor<2>>,
}

/// What is kept of a pass back, and what it takes as constant.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wanted<'a> {
    /// The blocks after which the gradient is kept.
    pub after: &'a [usize],
    /// The blocks at whose heads it is kept.
    pub heads: &'a [usize],
    /// What is taken as constant.
    pub freeze: Freeze,
}

impl Base<'_> {
    /// The gradient of the metric at the residual after some blocks, and at the heads of others. The blocks below all
    /// of these are not run.
    ///
    /// # Errors
    /// If the model has no such block.
    pub fn gradients(&self, wanted: Wanted<'_>) -> Result<Gradients, InterveneError> {
        let Wanted { after, heads, freeze } = wanted;
        let layers = self.llama.config().n_layers;
        for layer in after.iter().chain(heads) {
            let _ = self.residual(*layer)?;
        }
        let lowest = after.iter().map(|layer| layer + 1).chain(heads.iter().copied()).min().unwrap_or(layers);
        let stream = self.stream(lowest)?;
        let last = self.gradient_at_last(freeze)?;
        let mut found = Gradients::default();
        let mut keep = |layer: usize, gradient: &Tensor<2>| {
            if after.contains(&layer) {
                found.after.insert(layer, gradient.clone());
            }
        };
        keep(layers - 1, &last);
        let mut at_heads = BTreeMap::new();
        let back = self.llama.pull_back(&stream, lowest..layers, vec![last], freeze, &mut |_, at| {
            keep(at.layer, at.after);
            if heads.contains(&at.layer) {
                at_heads.insert(at.layer, at.heads.clone());
            }
        });
        if let (Some(layer), Some(gradient)) = (lowest.checked_sub(1), back.first()) {
            keep(layer, gradient);
        }
        found.heads = at_heads;
        Ok(found)
    }

    /// The residual stream of the run from before block `first` on.
    ///
    /// # Errors
    /// If the model has no such block.
    pub fn stream(&self, first: usize) -> Result<Stream, InterveneError> {
        let residuals = (first..=self.llama.config().n_layers).map(|layer| self.entering(layer).cloned());
        Ok(Stream::new(vec![self.n_tokens()], first, residuals.collect::<Result<Vec<_>, _>>()?))
    }

    /// The gradient of the metric at the last residual: `[tokens, d_model]`, f32; 0 but at the rows that the metric
    /// looks at.
    ///
    /// # Errors
    /// If the last residual was not kept.
    pub fn gradient_at_last(&self, freeze: Freeze) -> Result<Tensor<2>, InterveneError> {
        let last = self.entering(self.llama.config().n_layers)?;
        Ok(self.gradient_of_metric(last, freeze))
    }

    /// The gradient of the metric at another last residual of as many rows.
    pub(super) fn gradient_of_metric(&self, last: &Tensor<2>, freeze: Freeze) -> Tensor<2> {
        let [tokens, width] = last.dims();
        let first = tokens - self.metric.rows();
        let rows = last.clone().slice([first..tokens, 0..width]);
        let gradient = match &self.metric {
            Metric::Difference([one, other]) => self.llama.gradient_of_difference(rows, *one, *other, freeze),
            Metric::LogProbability(ids) => self.llama.gradient_of_log_probability(rows, ids, freeze),
        };
        if first == 0 {
            return gradient;
        }
        let nothing = Tensor::zeros([first, width], (&gradient.device(), gradient.dtype()));
        Tensor::cat(vec![nothing, gradient], 0)
    }
}
