//! What runs the model for a capture: tensor operations on any device ([`Reader`]), or the fused kernels of a GPU
//! ([`Fused`](super::Fused)). The first judges the second.

use super::CaptureError;
use super::choose::{Pair, pairs};
use super::generate::{Answer, Drawing, generate};
use super::past::{Past, Remembered};
use super::prepare::Prepared;
use super::reader::Reader;
use super::settings::Settings;
use super::token_budget::groups;
use super::verify::verify;
use crate::dictionary::Measured;
use crate::lake::Captured;
use crate::model::Config;

/// What runs the model.
pub trait Engine {
    /// The shape of the model.
    fn config(&self) -> &Config;

    /// What is captured and how decisions are made.
    fn settings(&self) -> &Settings;

    /// Begins to run `steps` in one packed pass, and to keep what the settings ask for, with what the model thinks of a
    /// pair of tokens at each step's decision position. A pass that is to `remember` is cheap to go on from.
    ///
    /// # Errors
    /// If the device fails.
    fn start(
        &self,
        steps: &[&Prepared],
        tokens: &[[u32; 2]],
        remember: bool,
    ) -> Result<Pass<'_>, CaptureError>;

    /// Answers `prompts`, as many at once as the engine finds best; see [`generate`].
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
pub type Pass<'a> = Box<dyn FnOnce() -> Result<Observed<'a>, CaptureError> + 'a>;

/// What a pass over several steps saw.
pub struct Observed<'a> {
    /// The rows of each step.
    pub captured: Vec<Captured>,
    /// What the model thinks of the tokens that were asked for.
    pub pairs: Vec<Pair>,
    /// What the steps can go on from.
    pub past: Box<dyn Past + 'a>,
}

impl Engine for Reader<'_> {
    fn config(&self) -> &Config {
        self.llama.config()
    }

    fn settings(&self) -> &Settings {
        self.settings
    }

    fn start(&self, steps: &[&Prepared], tokens: &[[u32; 2]], _: bool) -> Result<Pass<'_>, CaptureError> {
        let reading = self.read(steps)?;
        let pairs = pairs(self.llama.logits(reading.decisions), tokens)?;
        let past = Box::new(Remembered { llama: self.llama, caches: reading.caches });
        let seen = Observed { captured: reading.captured, pairs, past };
        Ok(Box::new(move || Ok(seen)))
    }

    /// As many at once as the token budget holds.
    fn generate(
        &self,
        prompts: &[Vec<u32>],
        drawing: &Drawing,
        draw: &mut dyn FnMut(usize) -> f32,
    ) -> Result<Vec<Answer>, CaptureError> {
        let mut answers = Vec::with_capacity(prompts.len());
        for group in groups(prompts, Vec::len, self.settings.batch_tokens) {
            let first = answers.len();
            answers.extend(generate(self.llama, group, drawing, |prompt| draw(first + prompt))?);
        }
        Ok(answers)
    }

    fn measure(&self, steps: &[Prepared]) -> Result<Vec<Measured>, CaptureError> {
        Ok(verify(self.llama, self.dictionaries, steps)?)
    }
}
