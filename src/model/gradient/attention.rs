//! The gradient of attention over one sequence.

use burn::tensor::{DType, Tensor};

use crate::model::attention::{Heads, by_head, grouped, side_by_side, ungrouped};

/// Queries, keys and values of one sequence, and the pattern that they made.
pub(super) struct Attended {
    /// `[tokens, heads.queries * heads.width]`
    pub(super) q: Tensor<2>,
    /// `[tokens, heads.keys * heads.width]`
    pub(super) k: Tensor<2>,
    /// `[tokens, heads.keys * heads.width]`
    pub(super) v: Tensor<2>,
    /// `[head, query, key]`, f32
    pub(super) pattern: Tensor<3>,
}

impl Attended {
    /// From a gradient at what the heads read, `[tokens, heads.queries * heads.width]`, to one at
    /// `[queries | keys | values]`, both f32. Query heads that share a key head add up in it.
    ///
    /// With `P` the pattern, `D = g vᵀ` and `E = P (D − Σ_key P D)`:
    ///
    /// ```text
    /// q   E k / sqrt(width)        k   Eᵀ q / sqrt(width)        v   Pᵀ g
    /// ```
    ///
    /// Where patterns are frozen, queries and keys get none.
    pub(super) fn back(&self, g: Tensor<2>, heads: Heads, frozen: bool) -> Tensor<2> {
        let [_, new, all] = self.pattern.dims();
        let g = grouped(g, heads);
        let pattern = self.pattern.clone().reshape([heads.keys, heads.group() * new, all]);
        let at_v = side_by_side(pattern.clone().transpose().matmul(g.clone()), heads);
        if frozen {
            let none = |x: &Tensor<2>| x.clone().cast(DType::F32).zeros_like();
            return Tensor::cat(vec![none(&self.q), none(&self.k), at_v], 1);
        }
        let float = |x: &Tensor<2>| x.clone().cast(DType::F32);
        let at_pattern = g.matmul(by_head(float(&self.v), heads).transpose());
        let mean = (at_pattern.clone() * pattern.clone()).sum_dim(2);
        let at_scores = pattern * (at_pattern - mean) * heads.scale();
        let at_q = at_scores.clone().matmul(by_head(float(&self.k), heads));
        let at_k = at_scores.transpose().matmul(grouped(float(&self.q), heads));
        Tensor::cat(vec![ungrouped(at_q, heads), side_by_side(at_k, heads), at_v], 1)
    }
}

#[cfg(test)]
mod tests {
    use super::super::differences::{Case, check};
    use super::*;
    use crate::model::attention::pattern;

    /// Two query heads on each of two key heads.
    const HEADS: Heads = Heads { queries: 4, keys: 2, width: 3 };
    const TOKENS: usize = 5;
    const COLUMNS: usize = 24;

    /// The weights of query `query` of `head`, from rows of `[queries | keys | values]`.
    fn weights(x: &[f64], head: usize, query: usize) -> Vec<f64> {
        let scores = (0..=query).map(|key| {
            let (q, k) = (query * COLUMNS + head * 3, key * COLUMNS + 12 + head / 2 * 3);
            (0..3).map(|i| x[q + i] * x[k + i]).sum::<f64>() / 3.0_f64.sqrt()
        });
        let exps = scores.map(f64::exp).collect::<Vec<_>>();
        let sum: f64 = exps.iter().sum();
        exps.into_iter().map(|exp| exp / sum).collect::<Vec<_>>()
    }

    /// What the heads read, by the patterns that `of` makes.
    fn attend(x: &[f64], of: &[f64]) -> Vec<f64> {
        let mut out = Vec::new();
        for query in 0..TOKENS {
            for head in 0..4 {
                let weights = weights(of, head, query);
                let value = |key: usize, i: usize| x[key * COLUMNS + 18 + head / 2 * 3 + i];
                out.extend(
                    (0..3).map(|i| weights.iter().enumerate().map(|(key, w)| w * value(key, i)).sum::<f64>()),
                );
            }
        }
        out
    }

    fn attended(x: &Tensor<2>) -> Attended {
        let part = |columns| x.clone().slice([0..TOKENS, columns]);
        let (q, k, v) = (part(0..12), part(12..18), part(18..24));
        Attended { pattern: pattern(q.clone(), k.clone(), HEADS), q, k, v }
    }

    #[test]
    fn agrees_with_differences() {
        let case = Case::new([TOKENS, COLUMNS], [TOKENS, 12]);
        let found = attended(&case.input()).back(case.gradient(), HEADS, false);
        check(&case, |x| attend(x, x), found);
    }

    #[test]
    fn a_frozen_pattern_passes_values_alone() {
        let case = Case::new([TOKENS, COLUMNS], [TOKENS, 12]);
        let found = attended(&case.input()).back(case.gradient(), HEADS, true);
        let start = case.numbers();
        check(&case, |x| attend(x, &start), found);
    }
}
