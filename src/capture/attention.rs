//! From a pattern to the weights that are kept, on the device.

use burn::tensor::{Int, Tensor};

use super::settings::AttentionKept;

/// Keeps the logarithm finite where a probability is 0; `p ln p` is 0 there all the same.
const SMALLEST_PROBABILITY: f32 = 1e-30;

/// What is kept of the pattern of one sequence in one block.
pub(crate) struct KeptPattern {
    /// The row of the decision position: `[head, key]`.
    pub(crate) decision: Tensor<2>,
    /// The weights of the other rows, strongest first, and their keys: `[head, query, kept]`.
    pub(crate) strongest: Option<(Tensor<3>, Tensor<3, Int>)>,
    /// The whole pattern, where every weight is kept: `[head, query, key]`.
    pub(crate) whole: Option<Tensor<3>>,
    /// The entropy of every row, in nats: `[head, query]`.
    pub(crate) entropy: Tensor<2>,
}

/// Reduces a `[head, query, key]` pattern to what `kept` asks for.
pub(crate) fn keep(pattern: Tensor<3>, decision: usize, kept: AttentionKept) -> KeptPattern {
    let [heads, queries, keys] = pattern.dims();
    let logarithm = pattern.clone().clamp_min(SMALLEST_PROBABILITY).log();
    let entropy = (pattern.clone() * logarithm).sum_dim(2).neg().reshape([heads, queries]);
    let row = pattern.clone().slice([0..heads, decision..decision + 1, 0..keys]);
    let (strongest, whole) = match kept {
        AttentionKept::Decision => (None, None),
        AttentionKept::Top(count) => (Some(pattern.topk_with_indices(count.min(keys), 2)), None),
        AttentionKept::Full => (None, Some(pattern)),
    };
    KeptPattern { decision: row.reshape([heads, keys]), strongest, whole, entropy }
}
