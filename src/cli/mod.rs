//! The command line: what was asked, what is done, what is said about it.
//!
//! Data goes to stdout, everything for people to stderr. The exit code says how a command ended:
//!
//! | code | meaning |
//! |---|---|
//! | 0 | done |
//! | 1 | nothing found |
//! | 2 | wrong usage or input |
//! | 3 | the lake cannot be read or written, or is not sound |
//! | 4 | the device failed |
//! | 5 | something must be downloaded and cannot be |
//! | 6 | done, but some steps could not run: their rows in `steps` say why |
//! | 130 | interrupted; what was committed is kept |

mod ablation;
mod analysis;
mod asked;
mod attribute;
mod attribute_answer;
mod attribute_rows;
mod collect;
mod corpus;
mod demo;
mod device;
mod dictionaries;
mod dictionary;
mod given;
mod lake;
mod lake_compact;
mod lake_drop;
mod lake_export;
mod lake_import;
mod lake_info;
mod lake_upgrade;
mod lake_vacuum;
mod lake_verify;
mod metric;
mod on_gpu;
mod options;
mod outlook;
mod patch;
mod patch_rows;
mod patch_units;
mod plan;
mod query;
mod recorded_step;
mod report;
mod request;
mod run_rows;
mod shard;
mod steer;
mod steer_arms;
mod steer_rows;
mod stop;
mod subject;
mod tables;
mod trace;
mod train;
mod ui;
mod verify;
mod weights;

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};

use crate::error::Error;

/// Run a Llama over games, keep every token's SAE features and attention in a Parquet lake, and ask it
/// questions.
#[derive(Debug, Parser)]
#[command(version, after_help = EXIT_CODES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXIT_CODES: &str = "Exit codes: 0 done, 1 nothing found, 2 wrong usage or input, 3 lake unreadable or \
unwritable, 4 device failed, 5 download impossible, 6 done but some steps could not run, 130 interrupted";

#[derive(Debug, Subcommand)]
enum Command {
    /// Play games or run prompts, and append what the model does inside to a lake
    Collect(Box<options::Options>),
    /// Say what a `collect` with the same options will take: memory, time, disk; refuse what cannot fit
    Plan(Box<plan::Asked>),
    /// Ask a lake a question
    #[command(subcommand)]
    Query(Box<query::Question>),
    /// Put what one prompt has at a place of the model into the run of another, exactly, place by place
    Patch(Box<patch::Options>),
    /// Estimate what every feature would do to a decision, and audit the largest estimates exactly
    Attribute(Box<attribute::Options>),
    /// Trace a decision back to features and tokens by gradients
    Trace(Box<trace::Options>),
    /// Play games with a feature changed, and compare the decisions with those without, and with controls
    Steer(Box<steer::Options>),
    /// Write a report of a lake: one HTML file that opens offline
    Report(report::Options),
    /// Look at a lake, check it, compact it, take games out of it
    #[command(subcommand)]
    Lake(lake::Command),
    /// Check or train dictionaries
    #[command(subcommand)]
    Dictionary(dictionary::Command),
    /// Print completions for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

/// How a command ended when it did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    Done,
    NothingFound,
    StepsFailed,
    Unsound,
    Interrupted,
}

/// Reads the arguments, runs the command, and says how it ended.
pub fn main() -> ExitCode {
    leave_panics_to_errors();
    match run(Cli::parse().command) {
        Ok(Ending::Done) => ExitCode::SUCCESS,
        Ok(Ending::NothingFound) => ExitCode::from(1),
        Ok(Ending::Unsound) => ExitCode::from(3),
        Ok(Ending::StepsFailed) => ExitCode::from(6),
        Ok(Ending::Interrupted) => ExitCode::from(130),
        Err(error) => {
            ui::error(&error);
            ExitCode::from(error.exit_code())
        }
    }
}

/// What these crates panic at comes back as an error, of a question or of a tokenizer, and is said once, there.
const CAUGHT: [&str; 2] = ["polars-", "tokenizers-"];

fn leave_panics_to_errors() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let is_caught = |file: &str| CAUGHT.iter().any(|name| file.contains(name));
        if !panic.location().is_some_and(|place| is_caught(place.file())) {
            usual(panic);
        }
    }));
}

fn run(command: Command) -> Result<Ending, Error> {
    match command {
        Command::Collect(options) => collect::run(*options),
        Command::Plan(asked) => plan::run(*asked),
        Command::Query(options) => query::run(&options),
        Command::Patch(options) => patch::run(&options),
        Command::Attribute(options) => attribute::run(&options),
        Command::Trace(options) => trace::run(&options),
        Command::Steer(options) => steer::run(&options),
        Command::Report(options) => report::run(&options),
        Command::Lake(command) => lake::run(&command),
        Command::Dictionary(command) => dictionary::run(command),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "saelake", &mut script);
            ui::data(&script)?;
            Ok(Ending::Done)
        }
    }
}
