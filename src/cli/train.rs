//! `saelake dictionary train`: read residuals, train on them, say how well it went.

use std::path::{Path, PathBuf};

use burn::tensor::Device;
use clap::Args;

use super::corpus::{game_prompts, own_text, text_windows};
use super::{Ending, device, ui};
use crate::capture::{Harvest, Prepared, Seen, harvest};
use crate::dictionary::{TrainSettings, Written, train_on};
use crate::error::{Error, UsageError};
use crate::model::{self, Dtype, Hook, Opened};

/// What to train on, and how.
#[derive(Debug, Args)]
pub(super) struct Options {
    /// The model [default: SmolLM2-135M-Instruct]
    #[arg(long)]
    model: Option<String>,
    /// Blocks to train a dictionary for each, separated by commas
    #[arg(long, value_delimiter = ',', required = true)]
    layers: Vec<usize>,
    /// Folder to write the dictionaries into
    #[arg(long)]
    out: PathBuf,
    /// Features of a dictionary
    #[arg(long, default_value_t = TrainSettings::default().features)]
    features: usize,
    /// Features that fire at a position
    #[arg(long, default_value_t = TrainSettings::default().k)]
    k: usize,
    /// Batches to step on
    #[arg(long, default_value_t = TrainSettings::default().steps)]
    steps: usize,
    /// Rows of a batch
    #[arg(long, default_value_t = TrainSettings::default().batch)]
    batch: usize,
    /// Step size of Adam
    #[arg(long, default_value_t = TrainSettings::default().learning_rate)]
    learning_rate: f64,
    /// Rows of game prompts to train on; prompts come from games played at random
    #[arg(long, default_value_t = 60_000)]
    game_rows: usize,
    /// Tokens that the model writes itself to be trained on, at temperature 1
    #[arg(long, default_value_t = 0)]
    own_text: usize,
    /// Text files to train on too, whole
    #[arg(long)]
    text: Vec<PathBuf>,
    /// Rows of game prompts to hold out; no token of theirs shares its whole prefix with one trained on
    #[arg(long, default_value_t = 8_000)]
    held_out: usize,
    /// Seed of the games, of the first weights and of the order of the rows
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// auto, cpu or cuda:N
    #[arg(long, default_value = "auto")]
    device: String,
}

/// Tokens that run through the model at once.
const BATCH_TOKENS: usize = 2048;

/// Trains a dictionary for each layer and reports what each does on held-out game prompts.
pub(super) fn run(options: &Options) -> Result<Ending, Error> {
    let device = device::device(&options.device)?;
    let source = options.model.clone().unwrap_or_else(|| model::default_model().display().to_string());
    let opened = model::open(&source, &device, Dtype::F32)?;
    let config = opened.llama.config();
    if let Some(layer) = options.layers.iter().find(|layer| **layer >= config.n_layers) {
        return Err(UsageError::Layer { layer: *layer, layers: config.n_layers }.into());
    }
    let mut rows = Rows::read(options, &opened)?;
    let name =
        Path::new(&source).file_stem().map_or(source.clone(), |name| name.to_string_lossy().into_owned());
    for layer in &options.layers {
        let written = train(options, &mut rows, *layer, &name, config.d_model, &device)?;
        let report = written.report;
        ui::data(
            format!(
                "{}: L0 {:.1}, explained variance {:.4}, dead share {:.4} on {} held-out rows\n",
                written.folder.display(),
                report.l0,
                report.explained_variance,
                report.dead_share,
                report.rows
            )
            .as_bytes(),
        )?;
    }
    Ok(Ending::Done)
}

fn train(
    options: &Options,
    rows: &mut Rows,
    layer: usize,
    model: &str,
    d_in: usize,
    device: &Device,
) -> Result<Written, Error> {
    let settings = TrainSettings {
        features: options.features,
        k: options.k,
        steps: options.steps,
        batch: options.batch,
        learning_rate: options.learning_rate,
        seed: options.seed,
        ..TrainSettings::default()
    };
    let training = rows.training.take(layer);
    let held_out = rows.held_out.take(layer);
    let bar = ui::progress(settings.steps as u64, "steps");
    let trained = train_on(&training, d_in, settings, device, |step, unexplained| {
        bar.set_position(step as u64);
        bar.set_message(format!("layer {layer}, unexplained {unexplained:.3}"));
    })?;
    bar.finish_and_clear();
    Ok(trained.write(&options.out, Hook::resid_post(layer), model, &options.command(), &held_out, device)?)
}

/// The residuals to train on and those held out.
struct Rows {
    training: Harvest,
    held_out: Harvest,
}

impl Rows {
    fn read(options: &Options, opened: &Opened) -> Result<Self, Error> {
        let mut seen = Seen::default();
        let mut games = game_prompts(opened, options.seed);
        let mut training = Harvest::default();
        let bar = ui::progress((options.game_rows + options.own_text + options.held_out) as u64, "rows");
        let mut read = |into: &mut Harvest, steps: &[Prepared]| {
            let before = into.n_rows;
            let result = harvest(&opened.llama, &options.layers, steps, BATCH_TOKENS, &mut seen, into);
            bar.inc((into.n_rows - before) as u64);
            result.map_err(Error::from)
        };
        while training.n_rows < options.game_rows {
            read(&mut training, &games.next_game()?)?;
        }
        for path in &options.text {
            read(&mut training, &text_windows(opened, path)?)?;
        }
        read(&mut training, &own_text(opened, options.own_text, options.seed)?)?;
        let mut held_out = Harvest::default();
        while held_out.n_rows < options.held_out {
            read(&mut held_out, &games.next_game()?)?;
        }
        bar.finish_and_clear();
        ui::note(&format!("read {} rows to train on and {} to hold out", training.n_rows, held_out.n_rows));
        Ok(Self { training, held_out })
    }
}

impl Options {
    /// The command that does the same again.
    fn command(&self) -> String {
        let layers = self.layers.iter().map(usize::to_string).collect::<Vec<_>>().join(",");
        let texts =
            self.text.iter().fold(String::new(), |texts, path| format!("{texts} --text {}", path.display()));
        format!(
            "saelake dictionary train --layers {layers} --features {} --k {} --steps {} --batch {} \
             --learning-rate {} --game-rows {} --own-text {}{texts} --held-out {} --seed {}",
            self.features,
            self.k,
            self.steps,
            self.batch,
            self.learning_rate,
            self.game_rows,
            self.own_text,
            self.held_out,
            self.seed
        )
    }
}
