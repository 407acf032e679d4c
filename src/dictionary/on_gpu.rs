//! A dictionary as the fused kernels of a GPU take it.
//!
//! What is done to a row before the encoder is put into the encoder: a factor multiplies its weights, and a bias that is
//! subtracted from the row becomes one of the features. Weights are rounded to the type of the model.

use burn::tensor::Tensor;
use gpu::{Buffer, Device, Kind};
use half::{bf16, f16};
use rayon::prelude::*;

use super::canonical::{Activation, Dictionary, Input};
use super::error::DictionaryError;

/// Features whose encoder rows are gathered at the same time.
const BLOCK: usize = 64;

impl Dictionary {
    /// Puts it on a GPU.
    ///
    /// # Errors
    /// [`DictionaryError::NotFused`] if the kernels do not know its nonlinearity, its norm or its hook; if there is not
    /// enough memory.
    pub fn on_gpu(&self, device: &Device) -> Result<gpu::Dictionary, DictionaryError> {
        let refuse = |what| DictionaryError::NotFused { origin: self.provenance.source.clone(), what };
        if self.hook != crate::model::Hook::resid_post(self.hook.layer) {
            return Err(refuse("another place than the residual after a block"));
        }
        let scale = match self.input {
            Input::None => 1.0,
            Input::Scale(scale) => scale,
            Input::ConstantNorm | Input::LayerNorm => return Err(refuse("a norm of each row")),
        };
        let (threshold, top) = match &self.activation {
            Activation::Relu => (None, 0),
            Activation::JumpRelu { threshold } => (Some(floats(threshold)?), 0),
            Activation::TopK { k, rank_by: None } => (None, *k),
            Activation::TopK { .. } | Activation::GroupMax { .. } | Activation::Gated { .. } => {
                return Err(refuse("its nonlinearity"));
            }
        };
        let encoder = self.transposed_encoder()?;
        let (mut b_enc, b_dec) = (floats(&self.b_enc)?, floats(&self.b_dec)?);
        if self.subtracts_decoder_bias {
            b_enc.par_iter_mut().zip(encoder.par_chunks(self.d_in)).for_each(|(b, row)| {
                let taken = row.iter().zip(&b_dec).map(|(w, b)| f64::from(*w) * f64::from(*b)).sum::<f64>();
                *b = (f64::from(*b) - taken) as f32;
            });
        }
        let encoder = encoder.into_par_iter().map(|w| w * scale).collect::<Vec<_>>();
        Ok(gpu::Dictionary {
            d_in: self.d_in,
            d_sae: self.d_sae,
            encoder: halves(device, &encoder)?,
            b_enc: Buffer::of(device, &b_enc)?,
            decoder: halves(device, &floats(&self.w_dec)?)?,
            b_dec: Buffer::of(device, &b_dec)?,
            threshold: threshold.map(|threshold| Buffer::of(device, &threshold)).transpose()?,
            top,
            output_scale: self.output_scale,
        })
    }

    /// The encoder as `[d_sae, d_in]`.
    fn transposed_encoder(&self) -> Result<Vec<f32>, DictionaryError> {
        let (d_in, d_sae) = (self.d_in, self.d_sae);
        let w = floats(&self.w_enc)?;
        let mut turned = vec![0.0; w.len()];
        turned.par_chunks_mut(BLOCK * d_in).enumerate().for_each(|(block, rows)| {
            for input in 0..d_in {
                for (row, to) in rows.chunks_mut(d_in).enumerate() {
                    to[input] = w[input * d_sae + block * BLOCK + row];
                }
            }
        });
        Ok(turned)
    }
}

fn floats<const D: usize>(tensor: &Tensor<D>) -> Result<Vec<f32>, DictionaryError> {
    let data = tensor.clone().try_into_data_as::<f32>()?;
    // One copy of gigabytes, where they are f32 already.
    Ok(data.try_to_vec::<f32>().unwrap_or_else(|_| data.iter::<f32>().collect()))
}

/// Numbers in the 16 bits of the device's type.
fn halves(device: &Device, numbers: &[f32]) -> Result<Buffer, DictionaryError> {
    Ok(match device.kind {
        Kind::Bf16 => {
            Buffer::of(device, &numbers.par_iter().map(|x| bf16::from_f32(*x)).collect::<Vec<_>>())?
        }
        Kind::F16 => Buffer::of(device, &numbers.par_iter().map(|x| f16::from_f32(*x)).collect::<Vec<_>>())?,
    })
}
