//! The parts of a block that are done in one of two ways: plainly, in tensor operations of any device, or by
//! loops of our own over the CPU's memory. The plain way judges the other.

use burn::tensor::{DType, Device, Tensor};

use super::attention::{self, Heads};
use super::rope::Turns;
use super::{cpu, mlp, norm};

/// How the parts of a block are computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kernels {
    /// In tensor operations, on any device.
    Plain,
    /// By loops of our own. Only on the CPU and in f32.
    Cpu,
}

impl Kernels {
    /// The fastest way on `device`.
    pub(crate) fn for_device(device: &Device, dtype: DType) -> Self {
        if cpu::is_cpu(device) && dtype == DType::F32 { Self::Cpu } else { Self::Plain }
    }

    /// Root mean square norm of every row, before the gain: `[tokens, d_model]`.
    pub(crate) fn normalize(self, x: Tensor<2>, eps: f64) -> Tensor<2> {
        match self {
            Self::Plain => norm::normalize(x, eps),
            Self::Cpu => cpu::norm::normalize(x, eps),
        }
    }

    /// Every row of `x: [tokens, d_model]` times `gain: [d_model]`.
    pub(crate) fn scale(self, x: Tensor<2>, gain: Tensor<1>) -> Tensor<2> {
        match self {
            Self::Plain => norm::scale(x, gain),
            Self::Cpu => cpu::norm::scale(x, gain),
        }
    }

    /// Turns the heads of queries and keys, the first `turned` columns of `qkv: [tokens, columns]`.
    pub(crate) fn rotate(self, qkv: Tensor<2>, turned: usize, turns: &Turns) -> Tensor<2> {
        match self {
            Self::Plain => turns.apply(qkv, turned),
            Self::Cpu => cpu::rope::rotate(qkv, turned, turns),
        }
    }

    /// Attention of the last queries of one sequence over all of it; the shapes are those of
    /// [`attention::pattern`] and [`attention::mix`].
    pub(crate) fn attend(self, q: Tensor<2>, k: Tensor<2>, v: Tensor<2>, heads: Heads) -> Tensor<2> {
        match self {
            Self::Plain => attention::mix(attention::pattern(q, k, heads), v, heads),
            Self::Cpu => cpu::attention::attend(q, k, v, heads),
        }
    }

    /// `silu(gate) * up` of `[tokens, gate | up]`.
    pub(crate) fn swiglu(self, gate_up: Tensor<2>) -> Tensor<2> {
        match self {
            Self::Plain => mlp::swiglu(gate_up),
            Self::Cpu => cpu::swiglu::swiglu(gate_up),
        }
    }
}
