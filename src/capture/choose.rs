//! The model's probabilities of given tokens, computed on the device.

use burn::tensor::{Int, Tensor, TensorData};

use super::CaptureError;
use super::readback::Readback;

/// What the model thinks of two tokens at one position.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pair {
    /// Probability of the first, among all tokens.
    pub first: f32,
    /// Probability of the second.
    pub second: f32,
    /// logit(first) - logit(second).
    pub logit_diff: f32,
}

/// The logarithm of the probability of each row's token: `[rows, vocab]` logits and one id a row.
pub(crate) fn log_probabilities(logits: Tensor<2>, ids: &[u32]) -> Result<Vec<f32>, CaptureError> {
    let chosen = gather(&logits, ids, 1);
    let mut readback = Readback::default();
    readback.floats(chosen - log_sum_exp(logits));
    readback.read()?.floats()
}

/// What the model thinks of a pair of tokens in each row of `[rows, vocab]` logits.
pub(crate) fn pairs(logits: Tensor<2>, ids: &[[u32; 2]]) -> Result<Vec<Pair>, CaptureError> {
    let chosen = gather(&logits, ids.as_flattened(), 2);
    let mut readback = Readback::default();
    readback.floats(chosen.clone());
    readback.floats((chosen - log_sum_exp(logits)).exp());
    let mut received = readback.read()?;
    let logits = received.floats()?;
    let probabilities = received.floats()?;
    let cells = logits.chunks_exact(2).zip(probabilities.chunks_exact(2));
    Ok(cells
        .map(|(logits, probabilities)| Pair {
            first: probabilities[0],
            second: probabilities[1],
            logit_diff: logits[0] - logits[1],
        })
        .collect())
}

/// `[rows, width]` of the logits at `ids`.
fn gather(logits: &Tensor<2>, ids: &[u32], width: usize) -> Tensor<2> {
    let ids: Vec<i64> = ids.iter().map(|id| i64::from(*id)).collect();
    let rows = ids.len() / width;
    let ids = Tensor::<2, Int>::from_data(TensorData::new(ids, [rows, width]), &logits.device());
    logits.clone().gather(1, ids)
}

/// The logarithm of the sum of the exponentials of each row, shifted by its largest: `[rows, 1]`.
fn log_sum_exp(logits: Tensor<2>) -> Tensor<2> {
    let largest = logits.clone().max_dim(1);
    (logits - largest.clone()).exp().sum_dim(1).log() + largest
}
