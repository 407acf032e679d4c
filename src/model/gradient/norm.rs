//! The gradient of the root mean square norm.

use burn::tensor::{DType, Tensor};

/// A norm as it ran, with what its gradient needs. In f32.
///
/// With `r = sqrt(mean(x²) + ε)` and `y = x / r`, a gradient `g` at `y` is at `x`
///
/// ```text
/// (g − y · mean(g · y)) / r        g / r, where r is frozen
/// ```
pub(super) struct Normalized {
    /// The normalized rows, before the gain: `[tokens, d_model]`.
    pub(super) y: Tensor<2>,
    /// `1 / r` of every row: `[tokens, 1]`.
    inverse: Tensor<2>,
}

impl Normalized {
    /// Normalizes every row of `x: [tokens, d_model]`.
    pub(super) fn of(x: Tensor<2>, eps: f64) -> Self {
        let x = x.cast(DType::F32);
        let inverse = (x.clone().square().mean_dim(1) + eps).sqrt().recip();
        Self { y: x * inverse.clone(), inverse }
    }

    /// From a gradient at `y` to one at `x`: `[tokens, d_model]`.
    pub(super) fn back(&self, g: Tensor<2>, frozen: bool) -> Tensor<2> {
        let g = if frozen { g } else { g.clone() - self.y.clone() * (g * self.y.clone()).mean_dim(1) };
        g * self.inverse.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::super::differences::{Case, check};
    use super::*;

    const EPS: f64 = 1e-5;

    fn reference(x: &[f64]) -> Vec<f64> {
        let rows = x.chunks(6).flat_map(|row| {
            let r = (row.iter().map(|x| x * x).sum::<f64>() / 6.0 + EPS).sqrt();
            row.iter().map(move |x| x / r)
        });
        rows.collect::<Vec<_>>()
    }

    #[test]
    fn agrees_with_differences() {
        let case = Case::new([4, 6], [4, 6]);
        let found = Normalized::of(case.input(), EPS).back(case.gradient(), false);
        check(&case, reference, found);
    }

    #[test]
    fn a_frozen_norm_only_divides() {
        let case = Case::new([4, 6], [4, 6]);
        let found = Normalized::of(case.input(), EPS).back(case.gradient(), true);
        let start = case.numbers();
        let frozen = |x: &[f64]| {
            let rows = x.chunks(6).zip(start.chunks(6)).flat_map(|(row, start)| {
                let r = (start.iter().map(|x| x * x).sum::<f64>() / 6.0 + EPS).sqrt();
                row.iter().map(move |x| x / r)
            });
            rows.collect::<Vec<_>>()
        };
        check(&case, frozen, found);
    }
}
