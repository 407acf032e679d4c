//! `saelake dictionary`: check dictionaries against a model, or train them.

use clap::{Args, Subcommand};

use super::verify::reference_steps;
use super::{Ending, device, train, ui};
use crate::capture::verify;
use crate::error::Error;
use crate::model::{self, Dtype};

/// Checks or trains dictionaries.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Read dictionaries, run the model over game prompts, and say how well they explain it
    Check(Check),
    /// Train top-k dictionaries on the model's own residuals over game prompts and text
    Train(train::Options),
}

/// What to check.
#[derive(Debug, Args)]
pub(super) struct Check {
    /// The folder or Hugging Face id of one dictionary or of many [default: the demo dictionaries]
    dictionary: Option<String>,
    /// The model [default: SmolLM2-135M-Instruct]
    #[arg(long)]
    model: Option<String>,
    /// Blocks to check, separated by commas [default: all that there are]
    #[arg(long, value_delimiter = ',')]
    layers: Vec<usize>,
    /// auto, cpu or cuda:N
    #[arg(long, default_value = "auto")]
    device: String,
}

/// Does what is asked.
pub(super) fn run(command: Command) -> Result<Ending, Error> {
    match command {
        Command::Check(check) => check.run(),
        Command::Train(options) => train::run(&options),
    }
}

impl Check {
    /// Prints a line a dictionary; refuses the first implausible one after all are printed.
    fn run(&self) -> Result<Ending, Error> {
        let device = device::device(&self.device)?;
        let source = self.model.clone().unwrap_or_else(|| model::default_model().display().to_string());
        let opened = model::open(&source, &device, Dtype::F32)?;
        let asked = self.dictionary.iter().cloned().collect::<Vec<_>>();
        let dictionaries = super::dictionaries::open(&opened, &asked, &self.layers, &device)?;
        let steps = reference_steps(&opened)?;
        let mut verdicts = Vec::new();
        for (dictionary, measured) in dictionaries.iter().zip(verify(&opened.llama, &dictionaries, &steps)?) {
            let verdict = dictionary.check(&measured);
            let word = if verdict.is_ok() { "plausible" } else { "implausible" };
            let line = format!(
                "{}: {} features, L0 {:.1}, explained variance {:.4} on {} rows: {word}\n",
                dictionary.hook, dictionary.d_sae, measured.l0, measured.explained_variance, measured.rows
            );
            ui::data(line.as_bytes())?;
            verdicts.push(verdict);
        }
        verdicts.into_iter().collect::<Result<Vec<()>, _>>()?;
        Ok(Ending::Done)
    }
}
