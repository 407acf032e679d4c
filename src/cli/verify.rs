//! Whether dictionaries belong to the model, before anything is recorded with them.

use super::corpus::game_prompts;
use crate::capture::{Engine, Prepared};
use crate::dictionary::{Dictionary, DictionaryError, Measured};
use crate::error::Error;
use crate::model::{Model, Opened};

/// Games whose last prompts a dictionary is held to its own record on.
const REFERENCE_GAMES: usize = 8;

/// The seed of these games, which is no seed of a training.
const REFERENCE_SEED: u64 = 1_000_003;

/// What a dictionary does to a run's first prompts, and whether it belongs to the model.
pub(super) struct Verdict {
    /// Measured on the first prompts.
    pub(super) measured: Measured,
    /// Why it does not, if it does not.
    pub(super) plausible: Result<(), DictionaryError>,
}

/// Judges every dictionary. One that records what it does to game prompts is held to that on game prompts,
/// since other text makes other features fire; any other one is judged on the run's own first prompts.
pub(super) fn judge<M: Model>(
    opened: &Opened<M>,
    engine: &dyn Engine,
    dictionaries: &[Dictionary],
    first: &[Prepared],
) -> Result<Vec<Verdict>, Error> {
    let recorded = |dictionary: &Dictionary| dictionary.provenance.expected.explained_variance.is_some();
    let measured = engine.measure(first)?;
    let reference = if dictionaries.iter().any(recorded) {
        engine.measure(&reference_steps(opened)?)?
    } else {
        measured.clone()
    };
    let verdicts = dictionaries.iter().zip(measured.into_iter().zip(reference));
    Ok(verdicts
        .map(|(dictionary, (measured, reference))| {
            let judged = if recorded(dictionary) { &reference } else { &measured };
            Verdict { plausible: dictionary.check(judged), measured }
        })
        .collect())
}

/// The last prompts of some games played at random.
pub(super) fn reference_steps<M: Model>(opened: &Opened<M>) -> Result<Vec<Prepared>, Error> {
    let mut games = game_prompts(opened, REFERENCE_SEED);
    let mut steps = Vec::new();
    for _ in 0..REFERENCE_GAMES {
        steps.extend(games.next_game()?.pop());
    }
    Ok(steps)
}
