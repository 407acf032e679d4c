//! What can go wrong with a question.

use std::{fmt::Display, io, path::PathBuf};

use polars::prelude::PolarsError;
use schemas::Type;

/// What can go wrong with a question.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// The folder lacks one of the folders that every lake has.
    #[error("{} is not a lake: it has no folder `{table}`", root.display())]
    NotALake {
        /// The folder that was opened.
        root: PathBuf,
        /// The first table that it lacks.
        table: &'static str,
    },
    /// The way to the lake holds a folder that would be read as a partition of its tables.
    #[error("{} lies in the folder `{folder}`, which reads like a partition", root.display())]
    PartitionAbove {
        /// The folder that was opened.
        root: PathBuf,
        /// The folder on the way to it.
        folder: String,
    },
    /// The lake was written by a later program.
    #[error("{} has format version {found}, and this program reads up to {supported}", root.display())]
    FormatTooNew {
        /// The folder that was opened.
        root: PathBuf,
        /// The highest version of its runs.
        found: i32,
        /// The highest version that can be read.
        supported: i32,
    },
    /// A table lacks a column.
    #[error("table `{table}` has no column `{column}`")]
    MissingColumn {
        /// The table.
        table: &'static str,
        /// The column.
        column: &'static str,
    },
    /// A column has another type than it should.
    #[error("column `{column}` of table `{table}` holds {found}, not {expected:?}")]
    WrongType {
        /// The table.
        table: &'static str,
        /// The column.
        column: &'static str,
        /// The type it should have.
        expected: Type,
        /// The type it has, in the words of polars.
        found: String,
    },
    /// A folder of the lake cannot be listed.
    #[error("{} cannot be listed: {source}", path.display())]
    List {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The lake holds no game.
    #[error("the lake holds no game yet")]
    NoGames,
    /// There is no such game.
    #[error("the lake holds no game {game}; it holds {}", listed(games))]
    UnknownGame {
        /// The key that was asked for.
        game: i64,
        /// The keys that there are, ascending.
        games: Vec<i64>,
    },
    /// The game has no such step.
    #[error("game {game} has no step {step}; it has {}", listed(steps))]
    UnknownStep {
        /// Key of the game.
        game: i64,
        /// The step that was asked for.
        step: i32,
        /// The steps that there are, ascending.
        steps: Vec<i32>,
    },
    /// The game has no step at all.
    #[error("game {game} has no step")]
    NoSteps {
        /// Key of the game.
        game: i64,
    },
    /// No features were taken at this layer of the step.
    #[error("step {step} of game {game} has no features at layer {layer}; it has them at {}", listed(layers))]
    UnknownLayer {
        /// Key of the game.
        game: i64,
        /// The step.
        step: i32,
        /// The layer that was asked for.
        layer: i32,
        /// The layers that there are, ascending.
        layers: Vec<i32>,
    },
    /// No features were taken at any layer of the step.
    #[error("step {step} of game {game} has no features at any layer")]
    NoFeatures {
        /// Key of the game.
        game: i64,
        /// The step.
        step: i32,
    },
    /// The run that a game names is not there.
    #[error("game {game} was added by run {run}, which is not in table `runs`")]
    UnknownRun {
        /// Key of the game.
        game: i64,
        /// The run it names.
        run: String,
    },
    /// The attention of the decision is not there for every head.
    #[error("layer {layer} of step {step} of game {game} has attention of {found} heads, not of {expected}")]
    MissingHeads {
        /// Key of the game.
        game: i64,
        /// The step.
        step: i32,
        /// The layer.
        layer: i32,
        /// Heads of the model.
        expected: i32,
        /// Heads in `attention_rows`.
        found: usize,
    },
    /// There is no such output format.
    #[error("there is no format `{name}`")]
    UnknownFormat {
        /// The name that was asked for.
        name: String,
    },
    /// A file of the lake could not be read.
    #[error("the lake could not be read: {0}")]
    Engine(#[from] PolarsError),
    /// The answer could not be written.
    #[error("the answer could not be written: {0}")]
    Output(#[from] io::Error),
}

impl QueryError {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::NotALake { .. } => "give the folder that `saelake collect --lake` wrote",
            Self::PartitionAbove { .. } => "give a path to the lake without `=` in it, a link for example",
            Self::FormatTooNew { .. } => "use the version of saelake that wrote it, or a later one",
            Self::MissingColumn { .. } | Self::WrongType { .. } => {
                "the columns of every table are in data-layout.md; collect the lake again"
            }
            Self::NoGames => "add games by `saelake collect`",
            Self::NoFeatures { .. } => {
                "the step failed, or the games were collected with `--dictionary none`"
            }
            Self::UnknownFormat { .. } => "the formats are table, csv, json and parquet",
            Self::List { .. }
            | Self::UnknownGame { .. }
            | Self::UnknownStep { .. }
            | Self::NoSteps { .. }
            | Self::UnknownLayer { .. }
            | Self::UnknownRun { .. }
            | Self::MissingHeads { .. }
            | Self::Engine(_)
            | Self::Output(_) => return None,
        };
        Some(hint.to_owned())
    }

    /// The exit code that says so: 1 if there is no such thing in the lake, 2 for wrong usage, 3 if the
    /// lake cannot be read or the answer not be written.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::NoGames
            | Self::UnknownGame { .. }
            | Self::UnknownStep { .. }
            | Self::NoSteps { .. }
            | Self::UnknownLayer { .. }
            | Self::NoFeatures { .. } => 1,
            Self::UnknownFormat { .. } => 2,
            Self::NotALake { .. }
            | Self::PartitionAbove { .. }
            | Self::FormatTooNew { .. }
            | Self::MissingColumn { .. }
            | Self::WrongType { .. }
            | Self::List { .. }
            | Self::UnknownRun { .. }
            | Self::MissingHeads { .. }
            | Self::Engine(_)
            | Self::Output(_) => 3,
        }
    }
}

/// The first ten of `values`, and how many more there are.
fn listed(values: &[impl Display]) -> String {
    const SHOWN: usize = 10;
    if values.is_empty() {
        return "none".to_owned();
    }
    let text = values.iter().take(SHOWN).map(ToString::to_string).collect::<Vec<_>>().join(", ");
    match values.len().saturating_sub(SHOWN) {
        0 => text,
        more => format!("{text} and {more} more"),
    }
}
