//! Root mean square layer norm.

use burn::tensor::{DType, Tensor};

use super::kernels::Kernels;

/// A norm: what it adds to the mean square, and its gain.
#[derive(Clone, Debug)]
pub(crate) struct RmsNorm {
    /// `[d_model]`
    gain: Tensor<1>,
    eps: f64,
}

impl RmsNorm {
    pub(crate) const fn new(gain: Tensor<1>, eps: f64) -> Self {
        Self { gain, eps }
    }

    /// Normalizes every row of `x: [tokens, d_model]`, before the gain.
    pub(crate) fn normalize(&self, x: Tensor<2>, kernels: Kernels) -> Tensor<2> {
        kernels.normalize(x, self.eps)
    }

    /// Multiplies every row of a normalized `x: [tokens, d_model]` by the gain.
    pub(crate) fn scale(&self, x: Tensor<2>, kernels: Kernels) -> Tensor<2> {
        kernels.scale(x, self.gain.clone())
    }

    /// The gain: `[d_model]`.
    pub(crate) const fn gain(&self) -> &Tensor<1> {
        &self.gain
    }

    /// The same norm with its gain in `dtype`.
    pub(crate) fn cast(&self, dtype: DType) -> Self {
        Self { gain: self.gain.clone().cast(dtype), eps: self.eps }
    }

    /// The whole norm.
    pub(crate) fn forward(&self, x: Tensor<2>, kernels: Kernels) -> Tensor<2> {
        self.scale(self.normalize(x, kernels), kernels)
    }
}

/// Divides every row by its root mean square.
///
/// Computed in f32 and then rounded to the dtype of `x`, as the reference does: rounding the root mean
/// square instead gives other numbers in bf16.
pub(super) fn normalize(x: Tensor<2>, eps: f64) -> Tensor<2> {
    let dtype = x.dtype();
    let x = x.cast(DType::F32);
    let mean_square = (x.clone() * x.clone()).mean_dim(1);
    (x / (mean_square + eps).sqrt()).cast(dtype)
}

/// Multiplies every row by `gain`.
pub(super) fn scale(x: Tensor<2>, gain: Tensor<1>) -> Tensor<2> {
    x * gain.unsqueeze()
}
