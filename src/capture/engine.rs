//! What runs the model for a capture: tensor operations on any device ([`Reader`]), or the fused kernels of a GPU
//! ([`Fused`](super::Fused)). The first judges the second.

use super::CaptureError;
use super::choose::{Pair, log_probabilities, pairs};
use super::generate::{Answer, Drawing, generate};
use super::prepare::Prepared;
use super::reader::Reader;
use super::settings::Settings;
use super::verify::verify;
use crate::dictionary::Measured;
use crate::lake::Captured;
use crate::model::{Cache, Config, Packed};

/// What runs the model.
pub trait Engine {
    /// The shape of the model.
    fn config(&self) -> &Config;

    /// What is captured and how decisions are made.
    fn settings(&self) -> &Settings;

    /// Begins to run `steps` in one packed pass, and to keep what the settings ask for, with what the model thinks of a
    /// pair of tokens at each step's decision position.
    ///
    /// # Errors
    /// If the device fails.
    fn start(&self, steps: &[&Prepared], tokens: &[[u32; 2]]) -> Result<Pass<'_>, CaptureError>;

    /// The probability that each of `answers` goes on and ends as it does after its first token, which is given, after a
    /// prompt of which `cache` is what a pass left.
    ///
    /// # Errors
    /// If the device fails.
    fn continuations(
        &self,
        prompt: &Prepared,
        cache: &Cache,
        answers: &[Vec<u32>],
    ) -> Result<Vec<f32>, CaptureError>;

    /// Answers `prompts`, all at once; see [`generate`].
    ///
    /// # Errors
    /// If the device fails.
    fn generate(
        &self,
        prompts: &[Vec<u32>],
        drawing: &Drawing,
        draw: &mut dyn FnMut(usize) -> f32,
    ) -> Result<Vec<Answer>, CaptureError>;

    /// What each dictionary makes of some steps; position 0 and special tokens are left out, because dictionaries are
    /// trained without them.
    ///
    /// # Errors
    /// If the device fails.
    fn measure(&self, steps: &[Prepared]) -> Result<Vec<Measured>, CaptureError>;
}

/// A pass under way: what it saw, once it is waited for.
pub type Pass<'a> = Box<dyn FnOnce() -> Result<Observed, CaptureError> + 'a>;

/// What a pass over several steps saw.
pub struct Observed {
    /// The rows of each step.
    pub captured: Vec<Captured>,
    /// What the model thinks of the tokens that were asked for.
    pub pairs: Vec<Pair>,
    /// What each step's attention remembers, to go on from; empty where that is not kept.
    pub caches: Vec<Cache>,
}

impl Engine for Reader<'_> {
    fn config(&self) -> &Config {
        self.llama.config()
    }

    fn settings(&self) -> &Settings {
        self.settings
    }

    fn start(&self, steps: &[&Prepared], tokens: &[[u32; 2]]) -> Result<Pass<'_>, CaptureError> {
        let reading = self.read(steps)?;
        let pairs = pairs(self.llama.logits(reading.decisions), tokens)?;
        let seen = Observed { captured: reading.captured, pairs, caches: reading.caches };
        Ok(Box::new(move || Ok(seen)))
    }

    /// One packed pass over all answers, each with a fork of the prompt's cache.
    fn continuations(
        &self,
        _: &Prepared,
        cache: &Cache,
        answers: &[Vec<u32>],
    ) -> Result<Vec<f32>, CaptureError> {
        let packed = Packed::new(answers.iter().map(Vec::as_slice));
        let mut caches = vec![cache.clone(); answers.len()];
        let residual = self.llama.extend(&packed, &mut caches, &mut ());
        let next = Next::of(answers, self.config());
        let logs = log_probabilities(self.llama.logits(residual), &next.tokens)?;
        Ok(next.probabilities(&logs, answers))
    }

    fn generate(
        &self,
        prompts: &[Vec<u32>],
        drawing: &Drawing,
        draw: &mut dyn FnMut(usize) -> f32,
    ) -> Result<Vec<Answer>, CaptureError> {
        generate(self.llama, prompts, drawing, draw)
    }

    fn measure(&self, steps: &[Prepared]) -> Result<Vec<Measured>, CaptureError> {
        Ok(verify(self.llama, self.dictionaries, steps)?)
    }
}

/// The token that follows each token of some answers.
pub(crate) struct Next {
    pub(crate) tokens: Vec<u32>,
    /// Whether the last token of an answer is followed by the end.
    ends: bool,
}

impl Next {
    /// Row i of an answer predicts token i + 1, and the last row the end of the answer.
    pub(crate) fn of(answers: &[Vec<u32>], config: &Config) -> Self {
        let end = config.eos.first().copied();
        let next = |ids: &Vec<u32>| {
            let rest = ids.iter().skip(1).copied().collect::<Vec<_>>();
            rest.into_iter().chain([end.unwrap_or(ids[0])])
        };
        Self { tokens: answers.iter().flat_map(next).collect(), ends: end.is_some() }
    }

    /// The probability of each answer from the logarithms of those of its tokens.
    pub(crate) fn probabilities(&self, logs: &[f32], answers: &[Vec<u32>]) -> Vec<f32> {
        let packed = Packed::new(answers.iter().map(Vec::as_slice));
        let uncounted = usize::from(!self.ends);
        let ranges = packed.ranges();
        ranges.map(|range| logs[range.start..range.end - uncounted].iter().sum::<f32>().exp()).collect()
    }
}
