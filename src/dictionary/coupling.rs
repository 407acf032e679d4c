//! What features write into the residual stream, and what others read of it, from the weights alone.
//!
//! A feature that fires with activation `f` adds `f · d · output_scale` to the residual stream, `d` being its row of
//! the decoder, and the stream carries it on. A feature above reads `input_scale · e · x` of the stream `x`, `e` being
//! its column of the encoder. So the first adds `f` times their coupling to the second before its nonlinearity:
//!
//! ```text
//! coupling(source, target) = (d_source · output_scale) · (e_target · input_scale)
//! ```
//!
//! That is the direct path only; what the blocks between read of the source and write again is not in it. Nor is a
//! factor that each row has for itself, where a dictionary or the hook that it reads normalizes rows one by one: it is
//! the same for all sources of a position.

use burn::tensor::{Int, Tensor, TensorData};
use rayon::prelude::*;

use super::canonical::{Activation, Dictionary, Input};
use super::error::DictionaryError;
use crate::model::Site;

/// Rows of the decoder that are in memory at a time.
const CHUNK: usize = 4096;

impl Dictionary {
    /// The coupling of features of this dictionary with features of `target`, one for each of `pairs`, in their order:
    /// how much a unit of activation of the first of a pair adds to the second before its nonlinearity.
    ///
    /// # Errors
    /// If this dictionary does not write to the residual stream or `target` does not read it, a feature does not
    /// exist, the widths differ, or the device fails.
    pub fn couplings(&self, target: &Self, pairs: &[(u32, u32)]) -> Result<Vec<f32>, DictionaryError> {
        if self.d_in != target.d_in {
            return Err(target.width_error(self.d_in));
        }
        let (sources, targets) =
            (distinct(pairs.iter().map(|pair| pair.0)), distinct(pairs.iter().map(|pair| pair.1)));
        let reads = target.reads(&targets)?;
        let width = self.d_in;
        let mut couplings = vec![0.0; pairs.len()];
        for chunk in sources.chunks(CHUNK) {
            let writes = self.writes(chunk)?;
            let row = |pair: &(u32, u32)| {
                chunk.binary_search(&pair.0).ok().zip(targets.binary_search(&pair.1).ok())
            };
            couplings.par_iter_mut().zip(pairs).for_each(|(coupling, pair)| {
                if let Some((source, target)) = row(pair) {
                    *coupling = dot(&writes[source * width..][..width], &reads[target * width..][..width]);
                }
            });
        }
        Ok(couplings)
    }

    /// How far a unit of activation of each of `features` moves the residual stream along `direction`, one number of
    /// it a dimension of the model. Along [`logit_direction`](crate::model::Llama::logit_direction) that is its
    /// direct effect on a difference of two logits, but for the root mean square that the final norm divides by,
    /// which all features of a position share.
    ///
    /// # Errors
    /// If this dictionary does not write to the residual stream, a feature does not exist, `direction` is of
    /// another width, or the device fails.
    pub fn along(&self, direction: &[f32], features: &[u32]) -> Result<Vec<f32>, DictionaryError> {
        if direction.len() != self.d_in {
            return Err(self.width_error(direction.len()));
        }
        let mut effects = Vec::with_capacity(features.len());
        for chunk in features.chunks(CHUNK) {
            effects.extend(self.writes(chunk)?.chunks(self.d_in).map(|row| dot(row, direction)));
        }
        Ok(effects)
    }

    /// What a unit of activation of each feature adds to the residual stream: `[features, d_in]`, row-major.
    fn writes(&self, features: &[u32]) -> Result<Vec<f32>, DictionaryError> {
        match self.hook.site {
            Site::ResidPost | Site::AttnOut | Site::MlpOut => {}
            Site::Value | Site::Pattern | Site::Z | Site::Ln2Normalized => {
                return Err(DictionaryError::OutsideStream { hook: self.hook, does: "write to" });
            }
        }
        let rows = self.w_dec.clone().select(0, self.index(features)?) * self.output_scale;
        numbers(rows)
    }

    /// What each feature reads of the residual stream: `[features, d_in]`, row-major.
    fn reads(&self, features: &[u32]) -> Result<Vec<f32>, DictionaryError> {
        match self.hook.site {
            Site::ResidPost | Site::Ln2Normalized => {}
            Site::Value | Site::Pattern | Site::Z | Site::AttnOut | Site::MlpOut => {
                return Err(DictionaryError::OutsideStream { hook: self.hook, does: "read" });
            }
        }
        let index = self.index(features)?;
        let columns = self.w_enc.clone().select(1, index.clone()).transpose() * self.input_scale();
        let columns = match self.input {
            // A row is centered before the encoder: what is the same in all dimensions is not read.
            Input::LayerNorm => columns.clone() - columns.mean_dim(1),
            Input::None | Input::Scale(_) | Input::ConstantNorm => columns,
        };
        numbers(match &self.activation {
            Activation::Gated { scale, .. } => columns * scale.clone().select(0, index).unsqueeze_dim(1),
            _ => columns,
        })
    }

    /// The features as a tensor of indices, if all of them exist.
    pub(super) fn index(&self, features: &[u32]) -> Result<Tensor<1, Int>, DictionaryError> {
        if let Some(feature) = features.iter().find(|feature| **feature as usize >= self.d_sae) {
            let (hook, d_sae) = (self.hook, self.d_sae);
            return Err(DictionaryError::NoSuchFeature { hook, feature: *feature, d_sae });
        }
        let index = features.iter().map(|feature| i64::from(*feature)).collect::<Vec<_>>();
        Ok(Tensor::from_data(TensorData::from(index.as_slice()), &self.device()))
    }

    fn width_error(&self, d_model: usize) -> DictionaryError {
        let origin = self.provenance.source.clone();
        DictionaryError::WrongWidth { origin, hook: self.hook, d_in: self.d_in, d_model }
    }
}

/// Sums in double precision: thousands of products cancel.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>() as f32
}

/// The numbers, each once, ascending.
fn distinct(features: impl Iterator<Item = u32>) -> Vec<u32> {
    let mut features = features.collect::<Vec<_>>();
    features.sort_unstable();
    features.dedup();
    features
}

/// The numbers of a tensor in the host's memory, row-major.
fn numbers(tensor: Tensor<2>) -> Result<Vec<f32>, DictionaryError> {
    Ok(tensor.try_into_data_as::<f32>()?.iter::<f32>().collect())
}
