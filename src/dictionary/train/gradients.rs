//! The loss and its gradients, written by hand.

use burn::tensor::{Tensor, activation::relu};

use super::gradients_on_host::pass_on_host;
use crate::dictionary::encode::top_k;
use crate::dictionary::error::DictionaryError;
use crate::dictionary::select::is_host;

/// What is learned, or its gradient, or a moment of it.
#[derive(Clone, Debug)]
pub struct Parameters {
    /// The encoder, a row for each feature: `[features, d_in]`.
    pub w_enc: Tensor<2>,
    /// `[1, features]`.
    pub b_enc: Tensor<2>,
    /// `[features, d_in]`.
    pub w_dec: Tensor<2>,
    /// `[1, d_in]`.
    pub b_dec: Tensor<2>,
}

impl Parameters {
    /// Zeros of the same shapes.
    #[must_use]
    pub fn zeros_like(&self) -> Self {
        Self {
            w_enc: self.w_enc.zeros_like(),
            b_enc: self.b_enc.zeros_like(),
            w_dec: self.w_dec.zeros_like(),
            b_dec: self.b_dec.zeros_like(),
        }
    }
}

/// One pass over a batch.
#[derive(Clone, Debug)]
pub struct Pass {
    /// The activations: `[n, features]`.
    pub f: Tensor<2>,
    /// Which features fired on any row.
    pub fired: Vec<bool>,
    /// `x̂ − x`: `[n, d_in]`.
    pub error: Tensor<2>,
    /// The gradients of the loss.
    pub gradients: Parameters,
}

/// Reconstructs the scaled rows `x: [n, d_in]` from the `k` largest positive pre-activations of each, and takes
/// the gradients of the loss `mean over rows of ‖x̂ − x‖²`. Which features fire is taken as constant, as it is
/// almost everywhere.
///
/// # Errors
/// [`DictionaryError::Device`] if what fired cannot be read back.
pub fn pass(parameters: &Parameters, x: &Tensor<2>, k: usize) -> Result<Pass, DictionaryError> {
    if is_host(&x.device()) { Ok(pass_on_host(parameters, x, k)) } else { pass_plain(parameters, x, k) }
}

/// [`pass`] in plain tensor operations, for any device.
///
/// # Errors
/// [`DictionaryError::Device`] if what fired cannot be read back.
pub fn pass_plain(parameters: &Parameters, x: &Tensor<2>, k: usize) -> Result<Pass, DictionaryError> {
    let Parameters { w_enc, b_enc, w_dec, b_dec } = parameters;
    let a = x.clone().matmul(w_enc.clone().transpose()) + b_enc.clone();
    let f = top_k(relu(a), None, k);
    let error = f.clone().matmul(w_dec.clone()) + b_dec.clone() - x.clone();

    let d_reconstruction = error.clone() * (2.0 / x.dims()[0] as f64);
    let silent = f.clone().lower_equal_scalar(0.0);
    let d_a = d_reconstruction.clone().matmul(w_dec.clone().transpose()).mask_fill(silent, 0.0);
    let gradients = Parameters {
        w_enc: d_a.clone().transpose().matmul(x.clone()),
        b_enc: d_a.sum_dim(0),
        w_dec: f.clone().transpose().matmul(d_reconstruction.clone()),
        b_dec: d_reconstruction.sum_dim(0),
    };
    let largest = f.clone().max_dim(0).try_into_data_as::<f32>()?;
    let fired = largest.iter::<f32>().map(|largest| largest > 0.0).collect();
    Ok(Pass { f, fired, error, gradients })
}
