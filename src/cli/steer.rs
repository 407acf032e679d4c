//! `saelake steer`: games played with a feature changed, against the same games without, and against controls.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Instant;

use burn::tensor::Device;
use queries::{FeatureName, Format};

use super::analysis::{Described, add};
use super::steer_arms::{Arm, Strength, arms};
use super::steer_rows::{print, rows};
use super::stop::stop_when_asked;
use super::verify::reference_steps;
use super::weights::of_layer;
use super::{Ending, collect, dictionaries, ui};
use crate::capture::{AttentionKept, Settings};
use crate::dictionary::{Dictionary, Keep};
use crate::error::{Error, UsageError};
use crate::game::{BetType, Components, Decide, Rules};
use crate::intervene::{Compared, DRAWS, Edit, Played, Player, Positions, compare, q_values};
use crate::lake::{Analysis, Lake};
use crate::model::{self, Dtype, Opened, open};

/// Games of one arm that are played side by side.
const SIDE_BY_SIDE: usize = 10;

/// Play games with a feature changed in every pass, and compare the decisions with those without
///
/// Every arm plays the same games: the same spins and the same draws. Beside each feature, every run has two controls
/// with the same strengths: another feature that is about as active, and the feature's own activation along a random
/// direction of the same length. p is of exchanges of whole games between the arms, q Benjamini and Hochberg's over all
/// features and strengths; the interval is of games drawn with replacement.
#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// The feature, such as L15-59, repeatable
    #[arg(long, required = true, value_name = "LAYER-FEATURE", help_heading = "What")]
    feature: Vec<FeatureName>,
    /// What the activation is multiplied by, separated by commas; `+mean` adds its mean instead, `+2mean` twice that,
    /// whether the feature fires or not
    #[arg(
        long,
        default_value = "0,3",
        value_delimiter = ',',
        allow_hyphen_values = true,
        value_name = "S,…",
        help_heading = "What"
    )]
    strength: Vec<String>,
    /// `every` changes every token, new ones too; `prompt` the prompt alone. Position 0 is never changed
    #[arg(long, default_value = "every", value_name = "every|prompt", help_heading = "What")]
    scope: String,
    /// Games of each arm
    #[arg(long, default_value_t = 20, value_name = "N", help_heading = "Games")]
    games: u64,
    /// Seed of the games, the controls and the tests
    #[arg(long, default_value_t = 0, value_name = "N", help_heading = "Games")]
    seed: u64,
    /// `choice` draws an option from the model's probabilities, `generate` lets the model answer freely
    #[arg(long, default_value = "choice", value_name = "choice|generate", help_heading = "Games")]
    decide: String,
    /// `fixed` bets of $10 or `variable` ones
    #[arg(long, default_value = "fixed", value_name = "fixed|variable", help_heading = "Games")]
    bet_type: String,
    /// Prompt components, any of GMHWP, or `none`
    #[arg(long, default_value = "GMHWP", value_name = "GMHWP", help_heading = "Games")]
    components: String,
    /// Temperature of generated answers
    #[arg(long, default_value_t = 0.7, value_name = "T", help_heading = "Games")]
    temperature: f32,
    /// Tokens of a generated answer at most
    #[arg(long, default_value_t = 100, value_name = "N", help_heading = "Games")]
    max_new_tokens: usize,
    /// The model [default: the default model]
    #[arg(long, value_name = "DIR|HF_ID|FILE.gguf")]
    model: Option<String>,
    /// The dictionaries, repeatable [default: the demo dictionaries of the default model]
    #[arg(long, value_name = "DIR|HF_ID")]
    dictionary: Vec<String>,
    /// Tokens that run through the model at once at most
    #[arg(long, default_value_t = 2048, value_name = "N")]
    batch_tokens: usize,
    /// A lake to add the arms and their effects to
    #[arg(long, value_name = "LAKE")]
    lake: Option<PathBuf>,
    /// table, csv, json or parquet
    #[arg(long, default_value = "table", help_heading = "Answer")]
    format: String,
}

/// What an arm did, compared with the games without a change.
pub(super) struct Outcome {
    pub(super) arm: Arm,
    pub(super) played: Vec<Played>,
    /// Missing of the arm without a change, and where there was no decision.
    pub(super) compared: Option<Compared>,
    /// Missing of controls too.
    pub(super) q_value: Option<f64>,
}

/// Plays, compares, prints, and adds what was found to the lake.
pub(super) fn run(options: &Options) -> Result<Ending, Error> {
    let started = Instant::now();
    let format: Format = options.format.parse()?;
    let strengths =
        options.strength.iter().map(|word| Strength::read(word)).collect::<Result<Vec<_>, _>>()?;
    let positions = match options.scope.as_str() {
        "every" => Positions::Every,
        "prompt" => Positions::Prompt,
        word => {
            let (value, expected) = (word.to_owned(), "`every` or `prompt`");
            return Err(UsageError::Value { option: "scope", value, expected }.into());
        }
    };
    let rules = options.rules()?;
    let settings = options.settings()?;
    // A lake that is not there is said before an hour of games.
    let lake = options.lake.as_ref().map(Lake::open).transpose()?;
    let source =
        options.model.clone().unwrap_or_else(|| model::default_model().to_string_lossy().into_owned());
    let opened = open(&source, &Device::flex(), Dtype::F32)?;
    let dictionaries = options.open_dictionaries(&opened)?;
    let arms =
        arms(&opened, &dictionaries, &options.feature, &strengths, options.seed, &reference_steps(&opened)?)?;
    let (llama, tokenizer) = (&opened.llama, &opened.tokenizer);
    let player = Player { llama, tokenizer, rules, seed: options.seed, settings: &settings };
    let Some(played) = play(&player, &arms, &positions, options.games)? else {
        return Ok(Ending::Interrupted);
    };
    let outcomes = outcomes(arms, played, options.seed);
    ui::note(&format!(
        "{} arms of {} games in {:.1} s; intervals and p of {DRAWS} draws",
        outcomes.len(),
        options.games,
        started.elapsed().as_secs_f64()
    ));
    if let Some(mut lake) = lake {
        let described = Described::new("steer", &opened.identity, options.seed, &options.recorded());
        let (interventions, effects) = rows(&described, &outcomes, &options.scope);
        add(&mut lake, &described, Analysis { interventions, effects, ..Analysis::default() })?;
    }
    ui::data(&print(&outcomes, format)?)?;
    Ok(Ending::Done)
}

/// Plays every arm. `None` if it was interrupted.
fn play(
    player: &Player<'_>,
    arms: &[Arm],
    positions: &Positions,
    games: u64,
) -> Result<Option<Vec<Vec<Played>>>, Error> {
    let stop = stop_when_asked();
    let stopped = || stop.load(std::sync::atomic::Ordering::Relaxed);
    let indices: Vec<u64> = (0..games).collect();
    let bar = ui::progress(arms.len() as u64 * games, "games");
    let mut all = Vec::new();
    for arm in arms {
        bar.set_message(arm.name.clone());
        let edits: Vec<Edit<'_>> = arm.edit(positions).into_iter().collect();
        let mut of_arm = Vec::new();
        for group in indices.chunks(SIDE_BY_SIDE) {
            let Some(played) = player.play(&edits, group, &stopped)? else { return Ok(None) };
            of_arm.extend(played);
            bar.inc(group.len() as u64);
        }
        all.push(of_arm);
    }
    bar.finish_and_clear();
    Ok(Some(all))
}

/// Compares every arm with the first one, which changes nothing.
fn outcomes(arms: Vec<Arm>, played: Vec<Vec<Played>>, seed: u64) -> Vec<Outcome> {
    let base = played.first().cloned().unwrap_or_default();
    let mut outcomes: Vec<Outcome> = arms
        .into_iter()
        .zip(played)
        .map(|(arm, played)| {
            let compared = arm.changes().then(|| compare(&base, &played, seed)).flatten();
            Outcome { arm, played, compared, q_value: None }
        })
        .collect();
    let tested: Vec<usize> = (0..outcomes.len())
        .filter(|index| outcomes[*index].arm.is_tested() && outcomes[*index].compared.is_some())
        .collect();
    let p_values: Vec<f64> = tested
        .iter()
        .filter_map(|index| outcomes[*index].compared.map(|compared| compared.p_value))
        .collect();
    for (index, q_value) in tested.into_iter().zip(q_values(&p_values)) {
        outcomes[index].q_value = Some(q_value);
    }
    outcomes
}

impl Options {
    fn rules(&self) -> Result<Rules, UsageError> {
        let bet_type: BetType = collect::parse("bet-type", &self.bet_type, "`fixed` or `variable`")?;
        let components: Components =
            collect::parse("components", &self.components, "a subset of GMHWP, or `none`")?;
        Ok(Rules { bet_type, components })
    }

    fn settings(&self) -> Result<Settings, UsageError> {
        let decide: Decide = collect::parse("decide", &self.decide, "`choice` or `generate`")?;
        Ok(Settings {
            layers: Vec::new(),
            keep: Keep::Top(1),
            attention: AttentionKept::Decision,
            decide,
            temperature: self.temperature,
            max_new_tokens: self.max_new_tokens,
            batch_tokens: self.batch_tokens,
        })
    }

    fn open_dictionaries(&self, opened: &Opened) -> Result<Vec<Dictionary>, Error> {
        let layers: BTreeSet<usize> = self.feature.iter().map(|name| name.layer as usize).collect();
        let layers: Vec<usize> = layers.into_iter().collect();
        let found = dictionaries::open(opened, &self.dictionary, &layers, &Device::flex())?;
        for name in &self.feature {
            of_layer(&found, name.layer)?;
        }
        Ok(found)
    }

    fn recorded(&self) -> serde_json::Value {
        let features: Vec<String> = self.feature.iter().map(FeatureName::to_string).collect();
        serde_json::json!({
            "feature": features, "strength": self.strength, "scope": self.scope, "games": self.games,
            "seed": self.seed, "decide": self.decide, "bet_type": self.bet_type, "components": self.components,
            "temperature": self.temperature, "max_new_tokens": self.max_new_tokens,
        })
    }
}
