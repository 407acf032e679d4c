//! What can go wrong with a question.

use std::{fmt::Display, io, path::PathBuf};

use polars::prelude::PolarsError;
use schemas::Type;

use crate::FeatureName;

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
    /// A question about positions that a lake has no rows of.
    #[error(
        "`{question}` looks at all positions, and a run of this lake stored those of decisions alone (--positions last)"
    )]
    OnlyDecisions {
        /// The question.
        question: &'static str,
    },
    /// A lake without an analysis of this kind.
    #[error("the lake has no {table} yet")]
    NoCausal {
        /// The table that is missing.
        table: &'static str,
    },
    /// A folder of the lake cannot be listed.
    #[error("{} cannot be listed: {source}", path.display())]
    List {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// No game meets a condition.
    #[error("no game meets `{condition}`")]
    NoSuchGames {
        /// The condition, in SQL.
        condition: String,
    },
    /// A condition cannot be read.
    #[error("`{text}` is no condition: {reason}")]
    NotACondition {
        /// What was given.
        text: String,
        /// What is wrong with it.
        reason: String,
    },
    /// `games` has no such column.
    #[error("games have no column `{name}`; the nearest are {}", nearest.join(", "))]
    UnknownColumn {
        /// What was asked for.
        name: String,
        /// Columns with a name like it.
        nearest: Vec<String>,
    },
    /// The name of a feature cannot be read.
    #[error("`{name}` is no feature")]
    NotAFeature {
        /// What was given.
        name: String,
    },
    /// A feature of one layer was asked for at another.
    #[error("{name} is no feature of layer {layer}")]
    TwoLayers {
        /// The layer that was asked for.
        layer: i32,
        /// The feature that was asked for.
        name: FeatureName,
    },
    /// No step has such a span.
    #[error("there is no span `{name}`; the nearest are {}", nearest.join(", "))]
    UnknownSpan {
        /// What was asked for.
        name: String,
        /// Spans with a name like it.
        nearest: Vec<String>,
    },
    /// A feature fires nowhere in what was asked about.
    #[error("{name} fires nowhere here; the nearest that do are {}", listed(nearest))]
    UnknownFeature {
        /// What was asked for.
        name: FeatureName,
        /// Features of the layer with a number close to it.
        nearest: Vec<FeatureName>,
    },
    /// The step has no such position.
    #[error("step {step} of game {game} has no position {position}; it has 0 to {last}")]
    UnknownPosition {
        /// Key of the game.
        game: i64,
        /// The step.
        step: i32,
        /// The position that was asked for.
        position: i32,
        /// The last that there is.
        last: i32,
    },
    /// No step has features or attention at the layer.
    #[error("no game has anything at layer {layer}; there are the layers {}", listed(layers))]
    NoSuchLayer {
        /// The layer that was asked for.
        layer: i32,
        /// The layers that there are, ascending.
        layers: Vec<i32>,
    },
    /// A question was told something that it does not look at.
    #[error("`{question}` about {about} has no use for --{option}")]
    NoUse {
        /// The question.
        question: &'static str,
        /// Whether it is about a step or about all games.
        about: &'static str,
        /// What it was told.
        option: &'static str,
    },
    /// A question needs something that was not given.
    #[error("`{question}` needs {needed}")]
    Needs {
        /// The question.
        question: &'static str,
        /// What it needs.
        needed: &'static str,
    },
    /// A group of a contrast has no step.
    #[error("no step has the {group} `{value}`; there are {}", listed(values))]
    EmptyGroup {
        /// What steps are told apart by.
        group: String,
        /// The value that no step has.
        value: String,
        /// The values that there are.
        values: Vec<String>,
    },
    /// A table of numbers beside the lake cannot be used.
    #[error("{}: {reason}", path.as_deref().map_or("the weights".into(), |path| path.to_string_lossy()))]
    Weights {
        /// The file, if it was read from one.
        path: Option<PathBuf>,
        /// What is wrong with it.
        reason: String,
    },
    /// No activation is above what counts as strong and also below what counts as silent.
    #[error("nothing is strong above {threshold} and silent below {silent}")]
    Thresholds {
        /// Above it a feature is strong.
        threshold: f64,
        /// Below it a feature is silent.
        silent: f64,
    },
    /// The lake holds no game.
    #[error("the lake holds no game yet")]
    NoGames,
    /// There is no such game.
    #[error("the lake holds no game {game}; the nearest are {}", listed(games))]
    UnknownGame {
        /// The key that was asked for.
        game: i64,
        /// The keys closest to it, ascending.
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
    /// No features were taken in any game.
    #[error("the lake has no features at any layer")]
    NoDictionaries,
    /// The run that a game names is not there.
    #[error("game {game} was added by run {run}, which is not in table `runs`")]
    UnknownRun {
        /// Key of the game.
        game: i64,
        /// The run it names.
        run: String,
    },
    /// A step decides where it has no token.
    #[error("step {step} of game {game} decides at position {decision}, and `tokens` has {found} of it")]
    DecisionOutside {
        /// Key of the game.
        game: i64,
        /// The step.
        step: i32,
        /// Where it decides.
        decision: i32,
        /// Its rows of `tokens`.
        found: usize,
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
            Self::NoCausal { table: "edges" } => "add a graph by `saelake trace --causal`",
            Self::NoCausal { .. } => "add some by `saelake patch` or `saelake attribute`",
            Self::OnlyDecisions { .. } => "ask `overview` or `contrast --span decision`",
            Self::NoDictionaries => "its games were collected with `--dictionary none`",
            Self::NoFeatures { .. } => {
                "the step failed, or the games were collected with `--dictionary none`"
            }
            Self::UnknownFormat { .. } => "the formats are table, csv, json and parquet",
            Self::NotACondition { .. } => {
                "a condition is COLUMN=VALUE, with =, !=, <, <=, >, >= or ~ for \"contains\""
            }
            Self::NotAFeature { .. } => "a feature is written L8-59: layer 8, number 59",
            Self::NoSuchGames { .. } => "`saelake query games LAKE` lists the games",
            Self::Weights { .. } => {
                "importances have the columns layer, feature, importance; couplings from_layer, \
                 from_feature, to_layer, to_feature, coupling"
            }
            Self::Thresholds { .. } => {
                "the first must be 0 or more, the second above 0 and not above the first"
            }
            Self::List { .. }
            | Self::EmptyGroup { .. }
            | Self::UnknownGame { .. }
            | Self::UnknownStep { .. }
            | Self::NoSteps { .. }
            | Self::UnknownLayer { .. }
            | Self::UnknownColumn { .. }
            | Self::TwoLayers { .. }
            | Self::UnknownSpan { .. }
            | Self::UnknownFeature { .. }
            | Self::UnknownPosition { .. }
            | Self::NoSuchLayer { .. }
            | Self::NoUse { .. }
            | Self::Needs { .. }
            | Self::UnknownRun { .. }
            | Self::DecisionOutside { .. }
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
            | Self::NoCausal { .. }
            | Self::EmptyGroup { .. }
            | Self::UnknownGame { .. }
            | Self::UnknownStep { .. }
            | Self::NoSteps { .. }
            | Self::UnknownLayer { .. }
            | Self::NoSuchGames { .. }
            | Self::UnknownSpan { .. }
            | Self::UnknownFeature { .. }
            | Self::UnknownPosition { .. }
            | Self::NoSuchLayer { .. }
            | Self::NoDictionaries
            | Self::NoFeatures { .. } => 1,
            Self::UnknownFormat { .. }
            | Self::NotACondition { .. }
            | Self::UnknownColumn { .. }
            | Self::NotAFeature { .. }
            | Self::TwoLayers { .. }
            | Self::Weights { .. }
            | Self::Thresholds { .. }
            | Self::NoUse { .. }
            | Self::OnlyDecisions { .. }
            | Self::Needs { .. } => 2,
            Self::NotALake { .. }
            | Self::PartitionAbove { .. }
            | Self::FormatTooNew { .. }
            | Self::MissingColumn { .. }
            | Self::WrongType { .. }
            | Self::List { .. }
            | Self::UnknownRun { .. }
            | Self::DecisionOutside { .. }
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
