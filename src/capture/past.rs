//! What a pass remembers, and the answers that go on from it.

use burn::tensor::Tensor;

use super::CaptureError;
use super::choose::log_probabilities;
use crate::model::{Cache, Config, Llama, Packed};

/// A step of a pass, and answers that it may go on with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The number of the step in the pass.
    pub step: usize,
    /// The ids of each answer; none is empty.
    pub answers: Vec<Vec<u32>>,
}

/// What the attention of a pass's steps remembers.
pub trait Past {
    /// The probability that each answer goes on and ends as it does after its first token, which is given, after the
    /// prompt of its step.
    ///
    /// # Errors
    /// If the device fails.
    fn continuations(&self, asked: &[Asked]) -> Result<Vec<Vec<f32>>, CaptureError>;
}

/// Caches of tensor operations.
pub(super) struct Remembered<'a> {
    pub(super) llama: &'a Llama,
    /// That of each step.
    pub(super) caches: Vec<Cache>,
}

impl Past for Remembered<'_> {
    fn continuations(&self, asked: &[Asked]) -> Result<Vec<Vec<f32>>, CaptureError> {
        go_on(self.llama, (&self.caches, asked), |packed, caches| {
            Ok(self.llama.extend(packed, caches, &mut ()))
        })
    }
}

/// One packed pass over all answers, each with a fork of its prompt's cache. `extend` makes the pass.
pub(crate) fn go_on(
    llama: &Llama,
    (caches, asked): (&[Cache], &[Asked]),
    extend: impl FnOnce(&Packed, &mut [Cache]) -> Result<Tensor<2>, CaptureError>,
) -> Result<Vec<Vec<f32>>, CaptureError> {
    let answers = asked.iter().flat_map(|asked| asked.answers.clone()).collect::<Vec<_>>();
    if answers.is_empty() {
        return Ok(vec![Vec::new(); asked.len()]);
    }
    let forks = |asked: &Asked| vec![caches[asked.step].clone(); asked.answers.len()];
    let mut forks = asked.iter().flat_map(forks).collect::<Vec<_>>();
    let packed = Packed::new(answers.iter().map(Vec::as_slice));
    let residual = extend(&packed, &mut forks)?;
    let next = Next::of(&answers, llama.config());
    let logs = log_probabilities(llama.logits(residual), &next.tokens)?;
    Ok(by_step(asked, next.probabilities(&logs, &answers)))
}

/// What was found of all answers, step by step.
pub(super) fn by_step(asked: &[Asked], found: Vec<f32>) -> Vec<Vec<f32>> {
    let mut found = found.into_iter();
    asked.iter().map(|asked| found.by_ref().take(asked.answers.len()).collect()).collect()
}

/// The token that follows each token of some answers.
pub(super) struct Next {
    pub(super) tokens: Vec<u32>,
    /// Whether the last token of an answer is followed by the end.
    ends: bool,
}

impl Next {
    /// Row i of an answer predicts token i + 1, and the last row the end of the answer.
    pub(super) fn of(answers: &[Vec<u32>], config: &Config) -> Self {
        let end = config.eos.first().copied();
        let next = |ids: &Vec<u32>| {
            let rest = ids.iter().skip(1).copied().collect::<Vec<_>>();
            rest.into_iter().chain([end.unwrap_or(ids[0])])
        };
        Self { tokens: answers.iter().flat_map(next).collect(), ends: end.is_some() }
    }

    /// The probability of each answer from the logarithms of those of its tokens.
    pub(super) fn probabilities(&self, logs: &[f32], answers: &[Vec<u32>]) -> Vec<f32> {
        let packed = Packed::new(answers.iter().map(Vec::as_slice));
        let uncounted = usize::from(!self.ends);
        let ranges = packed.ranges();
        ranges.map(|range| logs[range.start..range.end - uncounted].iter().sum::<f32>().exp()).collect()
    }
}
