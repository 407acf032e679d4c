//! A product with a weight matrix.

use burn::tensor::{DType, Tensor};

use super::cpu::panels::Panels;
use super::cpu::product::product;
use super::kernels::Kernels;

/// A weight matrix without bias.
#[derive(Clone, Debug)]
pub(super) enum Linear {
    /// `[inputs, outputs]`; in memory it may lie the other way round.
    Plain(Box<Tensor<2>>),
    /// Packed for the CPU.
    Packed(Panels),
}

impl Linear {
    /// `[rows, inputs]` to `[rows, outputs]`.
    pub(super) fn forward(&self, x: Tensor<2>, kernels: Kernels) -> Tensor<2> {
        match (self, kernels) {
            (Self::Packed(panels), _) => panels.product(x),
            (Self::Plain(weight), Kernels::Cpu) => product(x, *weight.clone()),
            (Self::Plain(weight), Kernels::Plain) => x.matmul(*weight.clone()),
        }
    }

    /// The weights of one output: `[inputs]`.
    pub(super) fn column(&self, output: usize) -> Tensor<1> {
        match self {
            Self::Packed(panels) => panels.column(output),
            Self::Plain(weight) => {
                let inputs = weight.dims()[0];
                weight.clone().slice([0..inputs, output..output + 1]).reshape([inputs])
            }
        }
    }

    /// The weights the other way round, for gradients: `[outputs, inputs]`. Packed ones are copied.
    pub(super) fn transposed(&self) -> Tensor<2> {
        match self {
            Self::Packed(panels) => panels.unpack().transpose(),
            Self::Plain(weight) => weight.clone().transpose(),
        }
    }

    /// The same weights as a plain matrix of `dtype`.
    pub(super) fn plain(&self, dtype: DType) -> Self {
        let weight = match self {
            Self::Packed(panels) => panels.unpack(),
            Self::Plain(weight) => *weight.clone(),
        };
        Self::Plain(Box::new(weight.cast(dtype)))
    }
}
