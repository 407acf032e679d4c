//! Direct logit attribution: what each part of the model writes into the difference of two logits by itself.

use burn::tensor::{DType, Tensor};

use crate::intervene::error::InterveneError;
use crate::intervene::kept::Base;
use crate::intervene::metric::Metric;
use crate::intervene::on_host::{numbers, products};
use crate::intervene::record::Record;
use crate::model::{Hook, Site, Stretch};

/// A part of the model that writes into the last residual.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writer {
    /// The embedding of the token.
    Embedding,
    /// A head of a block.
    Head {
        /// The block.
        layer: usize,
        /// The head.
        head: usize,
    },
    /// The MLP of a block.
    Mlp {
        /// The block.
        layer: usize,
    },
}

impl Base<'_> {
    /// What each part writes into the metric, a difference of two logits, at the position that it is read from: its
    /// output there, over the root mean square that the final norm divides by in this run, times
    /// [`logit_direction`](crate::model::Llama::logit_direction). They add up to the metric, as the outputs add up to
    /// the last residual. What a part does to the parts after it is not in it.
    ///
    /// One row runs through the model.
    ///
    /// # Errors
    /// If the metric is not a difference of logits, or the device fails.
    pub fn direct(&self) -> Result<Vec<(Writer, f64)>, InterveneError> {
        let Metric::Difference([first, second]) = self.metric else {
            return Err(InterveneError::NotADifference);
        };
        let (config, position) = (self.llama.config(), self.n_tokens() - 1);
        let sites = vec![Site::Z, Site::MlpOut];
        let mut record = Record { sites, ..Record::default() };
        let embedding = Self::rows(self.entering(0)?, &[position]);
        let (residual, lengths) = (embedding.clone(), [1]);
        let pasts = [self.past(position)];
        let stretch = Stretch { blocks: 0..config.n_layers, residual, lengths: &lengths, pasts: &pasts };
        let last = self.llama.resume(stretch, &mut record).cast(DType::F32);
        let rms = (last.square().mean_dim(1) + config.rms_eps).sqrt();
        let direction = self.llama.logit_direction(first, second).unsqueeze::<2>() / rms;
        let along = |x: Tensor<2>| Ok::<f64, InterveneError>(products(&x, &direction)?.iter().sum());

        let mut written = vec![(Writer::Embedding, along(embedding)?)];
        for layer in 0..config.n_layers {
            let z = record.activations.get(&Hook { layer, site: Site::Z });
            let read = numbers(self.llama.at_heads(layer, direction.clone()))?;
            let z = z.map_or(Ok(Vec::new()), |z| numbers(z.clone().cast(DType::F32)))?;
            let heads = z.chunks(config.head_dim).zip(read.chunks(config.head_dim)).enumerate();
            written.extend(heads.map(|(head, (z, read))| {
                let products = z.iter().zip(read).map(|(z, read)| f64::from(*z) * f64::from(*read));
                (Writer::Head { layer, head }, products.sum())
            }));
            if let Some(mlp) = record.activations.get(&Hook { layer, site: Site::MlpOut }) {
                written.push((Writer::Mlp { layer }, along(mlp.clone())?));
            }
        }
        Ok(written)
    }
}
