//! What a training is asked for.

use crate::dictionary::error::DictionaryError;

/// The settings of a training. [`TrainSettings::default`] are those that made the demo dictionaries.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TrainSettings {
    /// Number of features.
    pub features: usize,
    /// How many fire at each position.
    pub k: usize,
    /// How many batches are stepped on.
    pub steps: usize,
    /// Rows of a batch.
    pub batch: usize,
    /// Adam's step size at its height. It rises over the first twentieth of the steps and falls to 0
    /// over the last fifth.
    pub learning_rate: f64,
    /// A feature that has not fired for so many rows is dead, and brought back.
    pub dead_after: usize,
    /// Seeds the first weights and the order of the rows.
    pub seed: u64,
}

/// Share of the steps over which the step size rises.
pub(crate) const WARMUP: f64 = 0.05;
/// Share of the steps over which the step size falls.
pub(crate) const DECAY: f64 = 0.2;

impl Default for TrainSettings {
    fn default() -> Self {
        Self {
            features: 2304,
            k: 48,
            steps: 1000,
            batch: 1024,
            learning_rate: 1e-3,
            dead_after: 50_000,
            seed: 0,
        }
    }
}

impl TrainSettings {
    /// Refuses settings that make no sense.
    pub(crate) fn check(&self) -> Result<(), DictionaryError> {
        let rule = |setting, value: usize, rule| {
            Err(DictionaryError::BadSetting { setting, value: value as f64, rule })
        };
        if self.k == 0 || self.k > self.features {
            return rule("k", self.k, "between 1 and the number of features fire");
        }
        if self.steps == 0 {
            return rule("steps", 0, "at least one step is needed");
        }
        if self.batch == 0 {
            return rule("batch", 0, "a batch has at least one row");
        }
        if !(self.learning_rate.is_finite() && self.learning_rate > 0.0) {
            let (setting, value) = ("learning_rate", self.learning_rate);
            return Err(DictionaryError::BadSetting { setting, value, rule: "it is positive" });
        }
        Ok(())
    }

    /// The step size of `step`, counted from 0.
    pub(crate) fn rate(&self, step: usize) -> f64 {
        let (done, all) = (step as f64 + 1.0, self.steps as f64);
        let rising = done / (all * WARMUP).max(1.0);
        let falling = (all - done + 1.0) / (all * DECAY).max(1.0);
        self.learning_rate * rising.min(falling).min(1.0)
    }
}
