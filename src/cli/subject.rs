//! The step of a lake that an attribution is about: its model, its dictionaries, its prompt, its metric.

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::metric;
use super::recorded_step::recorded_step;
use super::weights::Recorded;
use crate::dictionary::Dictionary;
use crate::error::{Error, UsageError};
use crate::game::Layout;
use crate::intervene::Metric;
use crate::lake::Lake;
use crate::model::{self, Opened};

/// Which step, and what is measured of it.
#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// The lake that the step is from, and that what is found is added to
    pub(super) lake: PathBuf,
    /// Key of the game [default: the smallest]
    #[arg(long, allow_negative_numbers = true, value_name = "KEY", help_heading = "Step")]
    game: Option<i64>,
    /// Step of the game
    #[arg(long, default_value_t = 0, value_name = "N", help_heading = "Step")]
    step: i32,
    /// Captured blocks, separated by commas [default: all that have a dictionary in the lake]
    #[arg(long, value_delimiter = ',', value_name = "L,L,…", help_heading = "Step")]
    layers: Vec<i32>,
    #[command(flatten)]
    metric: metric::Asked,
    /// The model [default: the default model]
    #[arg(long, value_name = "DIR|HF_ID|FILE.gguf")]
    model: Option<String>,
    /// The dictionaries, where they are not where the lake says, repeatable
    #[arg(long, value_name = "DIR|HF_ID")]
    dictionary: Vec<String>,
    /// Where the model runs; a GPU needs a build with plain tensor operations there
    #[arg(long, default_value = "cpu", value_name = "auto|cpu|cuda:N")]
    device: String,
    /// Print what is found and add nothing to the lake
    #[arg(long)]
    pub(super) print_only: bool,
    /// Rows at most, the largest first [default: 20 in a table, all in other formats]
    #[arg(long, value_name = "N", help_heading = "Answer")]
    pub(super) limit: Option<usize>,
    /// table, csv, json or parquet
    #[arg(long, default_value = "table", help_heading = "Answer")]
    pub(super) format: String,
}

/// A step, opened.
pub(super) struct Subject {
    pub(super) lake: Lake,
    pub(super) opened: Opened,
    pub(super) dictionaries: Vec<Dictionary>,
    pub(super) game: i64,
    pub(super) step: i32,
    pub(super) prompt: Layout,
    pub(super) metric: Metric,
    /// What the lake calls the metric.
    pub(super) metric_name: String,
}

impl Options {
    /// Opens everything. What is not there is said before the model is read.
    ///
    /// # Errors
    /// If the lake lacks the step or a layer's dictionary, the model or a dictionary is not the lake's, or the metric
    /// makes no sense.
    pub(super) fn open(&self) -> Result<Subject, Error> {
        let lake = Lake::open(&self.lake)?;
        let recorded = Recorded::read(&self.lake)?.on(&self.device)?;
        let game = self.game.or_else(|| lake.games().next()).ok_or(queries::QueryError::NoGames)?;
        let steps = lake.steps_of(game)?;
        if !steps.contains(&self.step) {
            return Err(UsageError::NoSuchStep { game, step: self.step, steps }.into());
        }
        let layers = self.layers(&recorded.layers())?;
        let source =
            self.model.clone().unwrap_or_else(|| model::default_model().to_string_lossy().into_owned());
        let opened = recorded.model(&source)?;
        let dictionaries = recorded.open(&self.dictionary, &layers)?;
        let (metric, metric_name) = self.metric.read(&opened.tokenizer, None, recorded.decides())?;
        let prompt = recorded_step(&lake, (game, self.step), &opened.tokenizer)?;
        let step = self.step;
        Ok(Subject { lake, opened, dictionaries, game, step, prompt, metric, metric_name })
    }

    fn layers(&self, recorded: &BTreeSet<i32>) -> Result<BTreeSet<i32>, UsageError> {
        let have = || {
            let have = recorded.iter().map(i32::to_string).collect::<Vec<_>>().join(", ");
            if have.is_empty() { "no layer".to_owned() } else { have }
        };
        let unknown = self.layers.iter().find(|layer| !recorded.contains(layer));
        if let Some(layer) = unknown {
            return Err(UsageError::LayerWithoutDictionary {
                layer: layer.cast_unsigned() as usize,
                have: have(),
            });
        }
        match (recorded.is_empty(), self.layers.is_empty()) {
            (true, _) => Err(UsageError::NoDictionaries),
            (false, true) => Ok(recorded.clone()),
            (false, false) => Ok(self.layers.iter().copied().collect::<BTreeSet<_>>()),
        }
    }
}

impl Subject {
    /// The ids of the prompt's tokens.
    pub(super) fn ids(layout: &Layout) -> Vec<u32> {
        layout.tokens.iter().map(|token| token.id).collect::<Vec<_>>()
    }

    /// The text of the token at a position.
    pub(super) fn token(&self, position: usize) -> String {
        self.prompt.tokens.get(position).map(|token| token.text.clone()).unwrap_or_default()
    }
}
