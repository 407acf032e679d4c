//! The loss and its gradients, written by hand.

use burn::tensor::{Tensor, activation::relu};

use crate::dictionary::encode::top_k;
use crate::dictionary::select::{is_host, keep_largest};

/// What is learned, or its gradient, or a moment of it.
#[derive(Clone, Debug)]
pub struct Parameters {
    /// `[d_in, features]`.
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
    /// `x̂ − x`: `[n, d_in]`.
    pub error: Tensor<2>,
    /// The gradients of the loss.
    pub gradients: Parameters,
}

/// Reconstructs the scaled rows `x: [n, d_in]` from the `k` largest positive pre-activations of each, and takes
/// the gradients of the loss `mean over rows of ‖x̂ − x‖²`. Which features fire is taken as constant, as it is
/// almost everywhere.
pub fn pass(parameters: &Parameters, x: &Tensor<2>, k: usize) -> Pass {
    let Parameters { w_enc, b_enc, w_dec, b_dec } = parameters;
    let a = x.clone().matmul(w_enc.clone()) + b_enc.clone();
    let f = if is_host(&a.device()) { keep_largest(a, None, k) } else { top_k(relu(a), None, k) };
    let error = f.clone().matmul(w_dec.clone()) + b_dec.clone() - x.clone();

    let d_reconstruction = error.clone() * (2.0 / x.dims()[0] as f64);
    let silent = f.clone().lower_equal_scalar(0.0);
    let d_a = d_reconstruction.clone().matmul(w_dec.clone().transpose()).mask_fill(silent, 0.0);
    let gradients = Parameters {
        w_enc: x.clone().transpose().matmul(d_a.clone()),
        b_enc: d_a.sum_dim(0),
        w_dec: f.clone().transpose().matmul(d_reconstruction.clone()),
        b_dec: d_reconstruction.sum_dim(0),
    };
    Pass { f, error, gradients }
}
