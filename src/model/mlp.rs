//! The gated MLP: `down(silu(gate(x)) * up(x))`.

use burn::tensor::{Tensor, activation};

use super::kernels::Kernels;
use super::linear::Linear;

/// The MLP of a block.
#[derive(Clone, Debug)]
pub(super) struct Mlp {
    /// Gate and up side by side: `[d_model, 2 * d_mlp]`
    pub(super) gate_up: Linear,
    /// `[d_mlp, d_model]`
    pub(super) down: Linear,
}

impl Mlp {
    /// `[tokens, d_model]` to `[tokens, d_model]`.
    pub(super) fn forward(&self, x: Tensor<2>, kernels: Kernels) -> Tensor<2> {
        let gate_up = self.gate_up.forward(x, kernels);
        self.down.forward(kernels.swiglu(gate_up), kernels)
    }
}

/// `silu(gate) * up` of `[tokens, gate | up]`.
pub(super) fn swiglu(gate_up: Tensor<2>) -> Tensor<2> {
    let [tokens, both] = gate_up.dims();
    let gate = gate_up.clone().slice([0..tokens, 0..both / 2]);
    let up = gate_up.slice([0..tokens, both / 2..both]);
    activation::silu(gate) * up
}
