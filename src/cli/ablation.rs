//! What a patch puts in the place of an activation where there is no corrupted prompt.

use super::recorded_step::recorded_step;
use crate::error::{Error, UsageError};
use crate::game::{Layout, Stream};
use crate::lake::Lake;
use crate::tokens::Tokenizer;

/// Steps of the lake that means are taken over at most.
const STEPS: usize = 16;

/// What is put there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ablation {
    /// Nothing.
    Zero,
    /// The mean over steps of other games.
    Mean,
    /// What a step of another game has there, counted from the end.
    Resample,
}

impl Ablation {
    pub(super) fn read(word: &str) -> Result<Self, UsageError> {
        match word {
            "zero" => Ok(Self::Zero),
            "mean" => Ok(Self::Mean),
            "resample" => Ok(Self::Resample),
            _ => {
                let expected = "`zero`, `mean` or `resample`";
                Err(UsageError::Value { option: "ablate", value: word.to_owned(), expected })
            }
        }
    }

    /// Its name, as the lake has it.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Zero => "zero",
            Self::Mean => "mean",
            Self::Resample => "resample",
        }
    }
}

/// The last step that ran of some games, evenly over the lake, but for one game.
///
/// # Errors
/// If there is no other game with such a step.
pub(super) fn other_steps(lake: &Lake, own: i64, tokenizer: &Tokenizer) -> Result<Vec<Layout>, Error> {
    let games: Vec<i64> = lake.games().filter(|game| *game != own).collect();
    let mut steps = Vec::new();
    for game in games.iter().step_by(games.len().div_ceil(STEPS).max(1)) {
        for step in lake.steps_of(*game)?.into_iter().rev() {
            match recorded_step(lake, (*game, step), tokenizer) {
                Ok(layout) => {
                    steps.push(layout);
                    break;
                }
                Err(Error::Usage(UsageError::StepFailed { .. })) => {}
                Err(error) => return Err(error),
            }
        }
    }
    if steps.is_empty() { Err(UsageError::NoOtherGame { game: own }.into()) } else { Ok(steps) }
}

/// One of some steps, drawn from a seed.
pub(super) fn drawn(mut steps: Vec<Layout>, seed: u64) -> Layout {
    let drawn = (Stream::sampling(seed, -1).uniform() * steps.len() as f64) as usize;
    steps.swap_remove(drawn)
}
