//! A product with a weight matrix.

use burn::tensor::Tensor;

use super::kernels::Kernels;

/// A weight matrix without bias.
#[derive(Clone, Debug)]
pub(crate) struct Linear {
    /// `[inputs, outputs]`; in memory it may lie the other way round.
    weight: Tensor<2>,
}

impl Linear {
    /// Wraps `weight: [inputs, outputs]`.
    pub(crate) const fn new(weight: Tensor<2>) -> Self {
        Self { weight }
    }

    /// `[rows, inputs]` to `[rows, outputs]`.
    pub(crate) fn forward(&self, x: Tensor<2>, kernels: Kernels) -> Tensor<2> {
        kernels.product(x, self.weight.clone())
    }
}
