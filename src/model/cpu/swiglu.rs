//! `silu(gate) * up` in one pass.

use burn::tensor::Tensor;
use rayon::prelude::*;

use super::ROWS;
use super::exp::exp;
use super::memory::{close, numbers, open_contiguous};
use super::simd::vectorized;

/// `silu(gate) * up` of `[tokens, gate | up]`.
pub(in crate::model) fn swiglu(gate_up: Tensor<2>) -> Tensor<2> {
    let [tokens, both] = gate_up.dims();
    let width = both / 2;
    let gate_up = open_contiguous(gate_up);
    let mut gated = vec![0.0; tokens * width];
    let blocks = gated.par_chunks_mut(ROWS * width).zip(numbers(&gate_up).par_chunks(ROWS * both));
    blocks.for_each(|(gated, gate_up)| {
        for (gated, gate_up) in gated.chunks_mut(width).zip(gate_up.chunks(both)) {
            let (gate, up) = gate_up.split_at(width);
            gated_row(gated, gate, up);
        }
    });
    close(gated, [tokens, width])
}

vectorized! {
    /// One row.
    fn gated_row(gated: &mut [f32], gate: &[f32], up: &[f32]) {
        for ((gated, gate), up) in gated.iter_mut().zip(gate).zip(up) {
            *gated = gate / (1.0 + exp::<FUSED>(-gate)) * up;
        }
    }
}
