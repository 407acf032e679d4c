//! The gradient of the MLP's gate.

use burn::tensor::{DType, Tensor, activation::sigmoid};

/// From a gradient at `silu(gate) * up` to one at `[gate | up]`.
///
/// With `s = sigmoid(gate)`: `g · up · s (1 + gate (1 − s))` and `g · gate · s`.
///
/// # Shapes
/// - `gate_up`: `[tokens, 2 * d_mlp]`
/// - `g`: `[tokens, d_mlp]`, f32
pub(super) fn back(gate_up: &Tensor<2>, g: Tensor<2>) -> Tensor<2> {
    let [tokens, both] = gate_up.dims();
    let half = |columns| gate_up.clone().slice([0..tokens, columns]).cast(DType::F32);
    let (gate, up) = (half(0..both / 2), half(both / 2..both));
    let s = sigmoid(gate.clone());
    let silu = gate.clone() * s.clone();
    // s (1 + gate (1 − s)) = s + silu (1 − s)
    let slope = s.clone() + silu.clone() * (s.neg() + 1.0);
    Tensor::cat(vec![g.clone() * up * slope, g * silu], 1)
}

#[cfg(test)]
mod tests {
    use super::super::differences::{Case, check};
    use super::*;

    #[test]
    fn agrees_with_differences() {
        let case = Case::new([3, 10], [3, 5]);
        let reference = |x: &[f64]| {
            let rows =
                x.chunks(10).flat_map(|row| (0..5).map(|i| row[i] / (1.0 + (-row[i]).exp()) * row[5 + i]));
            rows.collect::<Vec<_>>()
        };
        check(&case, reference, back(&case.input(), case.gradient()));
    }
}
