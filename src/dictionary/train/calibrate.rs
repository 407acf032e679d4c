//! Choosing the one threshold of a JumpReLU dictionary.

use burn::tensor::Tensor;

use crate::dictionary::canonical::Dictionary;
use crate::dictionary::error::DictionaryError;
use crate::dictionary::select::{largest, numbers, positives};

/// Rows that are encoded at once.
const CHUNK: usize = 1024;

/// The threshold, in the model's units, above which `k` features fire on average: of all contributions
/// `activation × decoder_norm × output_scale` on the `n` rows of `x`, the one that `n × k` exceed, as Llama Scope
/// takes it. `dictionary` must have no threshold yet.
pub(crate) fn threshold(dictionary: &Dictionary, x: &Tensor<2>, k: usize) -> Result<f32, DictionaryError> {
    let n = x.dims()[0];
    if n == 0 {
        return Err(DictionaryError::TooFewRows { rows: 0, needed: 1, purpose: "calibrate the threshold" });
    }
    let lengths: Vec<f32> =
        dictionary.decoder_norms.iter().map(|norm| norm * dictionary.output_scale).collect();
    let mut contributions = Vec::new();
    for start in (0..n).step_by(CHUNK) {
        let f = numbers(dictionary.encode(x.clone().slice_dim(0, start..n.min(start + CHUNK))));
        for row in f.chunks_exact(dictionary.d_sae) {
            contributions.append(&mut positives(row, Some(&lengths)));
        }
        // What is not among the n × k + 1 largest so far will never be.
        if contributions.len() > 2 * (n * k + 1) {
            largest(&mut contributions, n * k + 1);
        }
    }
    largest(&mut contributions, n * k + 1);
    if contributions.len() <= n * k {
        return Ok(0.0);
    }
    Ok(contributions.iter().map(|(contribution, _)| *contribution).fold(f32::INFINITY, f32::min))
}
