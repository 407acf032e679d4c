//! `saelake report`: a lake as one HTML file.

use std::path::PathBuf;

use queries::{Condition, Weights};

use super::weights::Recorded;
use super::{Ending, tables, ui};
use crate::error::Error;
use crate::report::{self, Report, ReportError, Settings};

/// Write a report of a lake: one HTML file that holds its data and pictures and opens offline
#[derive(Debug, clap::Args)]
#[command(
    after_help = "The page shows what the lake holds; of a choice of steps the tokens, features, trace and what the last \
    token does not show; and over all games the spans, the flow between them and the features that differ between bets \
    and stops. What it shows is observational: nothing was intervened on. It says what it leaves out."
)]
pub(super) struct Options {
    /// The lake: a folder, or `s3://BUCKET/PATH`
    lake: PathBuf,
    /// The file to write
    #[arg(short, long, value_name = "FILE.html", default_value = "report.html")]
    output: PathBuf,
    /// Only games that meet the condition, such as outcome=bankruptcy; repeatable, all must be met
    #[arg(long = "where", value_name = "COLUMN=VALUE")]
    conditions: Vec<String>,
    /// Only this block [default: every captured one]
    #[arg(long, value_name = "L")]
    layer: Option<i32>,
    /// Steps that the page holds at most, spread evenly over outcomes and games
    #[arg(long, value_name = "N", default_value_t = report::STEPS)]
    steps: usize,
    /// The dictionaries, for the couplings of traced features, where they are not where the lake says, repeatable
    #[arg(long, value_name = "DIR|HF_ID")]
    dictionary: Vec<String>,
}

/// Writes the page.
pub(super) fn run(options: &Options) -> Result<Ending, Error> {
    let games = Condition::parse(options.conditions.iter().map(String::as_str)).map_err(ReportError::from)?;
    let settings = Settings { games, layer: options.layer, steps: options.steps };
    let tables = tables::open(&options.lake)?;
    let name = options.lake.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    let report = Report::of(&tables, settings)?;
    let weights = options.weights(&report)?;
    let bar = ui::progress(report.n_steps() as u64, "steps");
    let written = report.write(&name, &weights, &options.output, || bar.inc(1));
    bar.finish_and_clear();
    let written = written?;
    ui::note(&format!(
        "{}: {} of {} steps, {:.1} MB",
        options.output.display(),
        written.steps,
        written.of_steps,
        written.bytes as f64 / 1e6
    ));
    Ok(Ending::Done)
}

impl Options {
    /// The couplings of what is traced. A page without them is better than none, unless dictionaries were named.
    fn weights(&self, report: &Report) -> Result<Weights, Error> {
        let coupled = || {
            let recorded = Recorded::read(&self.lake)?;
            recorded.couplings(&self.dictionary, &report.pairs()?)
        };
        match coupled() {
            Ok(couplings) => Ok(Weights { couplings: Some(couplings), ..Weights::default() }),
            Err(error) if self.dictionary.is_empty() => {
                ui::note(&format!("warning: the traces do without couplings: {error}"));
                Ok(Weights::default())
            }
            Err(error) => Err(error),
        }
    }
}
