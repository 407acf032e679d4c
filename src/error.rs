//! The one error of the program: what went wrong, which exit code says so, and what to do about it.

use std::path::PathBuf;

use crate::capture::CaptureError;
use crate::dictionary::DictionaryError;
use crate::exchange::ExchangeError;
use crate::game::GameError;
use crate::intervene::InterveneError;
use crate::lake::LakeError;
use crate::model::ModelError;
use crate::report::ReportError;

/// What the program's functions return.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Anything that ends a command.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The command was asked for something that makes no sense.
    #[error(transparent)]
    Usage(#[from] UsageError),
    /// The model could not be found, read or run.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// A dictionary could not be read, or does not belong to the model.
    #[error(transparent)]
    Dictionary(#[from] DictionaryError),
    /// A game or a prompt could not be read or built.
    #[error(transparent)]
    Game(#[from] GameError),
    /// The model's inside could not be read.
    #[error(transparent)]
    Capture(#[from] CaptureError),
    /// Nothing could be changed inside the model, or no effect measured.
    #[error(transparent)]
    Intervene(#[from] InterveneError),
    /// The lake could not be read or written.
    #[error(transparent)]
    Lake(#[from] LakeError),
    /// A lake could not be written in another tool's layout, or its files not become one.
    #[error(transparent)]
    Exchange(#[from] ExchangeError),
    /// A question could not be asked of the lake.
    #[error(transparent)]
    Query(#[from] queries::QueryError),
    /// A report or a picture could not be made.
    #[error(transparent)]
    Report(#[from] ReportError),
    /// Data could not be written to stdout.
    #[error("cannot write to stdout: {0}")]
    Stdout(std::io::Error),
}

impl Error {
    /// The exit code of a command that this error ends.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) => 2,
            Self::Model(error) => error.exit_code(),
            Self::Dictionary(error) => error.exit_code(),
            Self::Game(error) => error.exit_code(),
            Self::Capture(error) => error.exit_code(),
            Self::Intervene(error) => error.exit_code(),
            Self::Lake(error) => error.exit_code(),
            Self::Exchange(error) => error.exit_code(),
            Self::Query(error) => error.exit_code(),
            Self::Report(error) => error.exit_code(),
            Self::Stdout(_) => 3,
        }
    }

    /// What to do about it, where that is known.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Usage(error) => error.hint(),
            Self::Model(error) => error.hint(),
            Self::Dictionary(error) => error.hint(),
            Self::Game(error) => error.hint(),
            Self::Intervene(error) => error.hint(),
            Self::Lake(error) => error.hint(),
            Self::Exchange(error) => error.hint(),
            Self::Query(error) => error.hint(),
            Self::Report(error) => error.hint(),
            Self::Capture(error) => error.hint(),
            Self::Stdout(_) => None,
        }
    }
}

/// A request that makes no sense.
#[derive(Debug, thiserror::Error)]
pub enum UsageError {
    /// An option that has no default is missing.
    #[error("--{0} is missing")]
    Missing(&'static str),
    /// An option has a value that it cannot have.
    #[error("--{option} cannot be `{value}`: it is {expected}")]
    Value {
        /// The option's name.
        option: &'static str,
        /// What it was given.
        value: String,
        /// What it can be.
        expected: &'static str,
    },
    /// A file named by an option cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A configuration file is wrong.
    #[error("{}: {source}", path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// Where and why.
        source: Box<toml::de::Error>,
    },
    /// A configuration file asks for two sources of games at once.
    #[error("{}: `games`, `total-games` and `prompts` exclude each other", path.display())]
    GamesAndPrompts {
        /// The file.
        path: PathBuf,
    },
    /// What a scheduler says of the part of this process is no part.
    #[error("the shard of this process is unknown: {name} is {}", .value.as_ref().map_or_else(
        || "not set".to_owned(),
        |value| format!("`{value}`"),
    ))]
    Variable {
        /// The variable.
        name: &'static str,
        /// Its value.
        value: Option<String>,
    },
    /// Several processes are to add games, and each would add others than the rest expects.
    #[error("shard {shard} of \"more games\" is not known to the other shards")]
    ShardOfMore {
        /// The shard.
        shard: String,
    },
    /// A device that is not there.
    #[error("there is no device `{word}`: this machine has the CPU and {gpus} usable GPUs")]
    Device {
        /// What was asked for.
        word: String,
        /// How many GPUs can be used.
        gpus: usize,
    },
    /// A file cannot be written.
    #[error("cannot write {}: {source}", path.display())]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Two dictionaries read one block.
    #[error("two dictionaries read layer {layer}, and a lake holds one of each layer")]
    TwoDictionaries {
        /// The block.
        layer: usize,
    },
    /// No dictionary was named for a model that has no demo dictionaries.
    #[error("no dictionary is named, and the demo dictionaries belong to the default model")]
    NoDictionary,
    /// A block is asked for that the model does not have.
    #[error("layer {layer} does not exist: the model has {layers} blocks, 0 to {}", layers - 1)]
    Layer {
        /// The block asked for.
        layer: usize,
        /// How many there are.
        layers: usize,
    },
    /// A block is asked for that has no dictionary.
    #[error("layer {layer} has no dictionary; there are dictionaries of {have}")]
    LayerWithoutDictionary {
        /// The block.
        layer: usize,
        /// The blocks that have one.
        have: String,
    },
    /// The lake's dictionary cannot be found again.
    #[error("the dictionary of layer {layer} was `{recorded}`, a folder that is not here")]
    DictionaryElsewhere {
        /// The block.
        layer: i32,
        /// The name that the lake has.
        recorded: String,
    },
    /// A dictionary is not the one of the lake.
    #[error(
        "the dictionary given for layer {layer} is not the one that the lake's features come from, `{recorded}`"
    )]
    OtherDictionary {
        /// The block.
        layer: i32,
        /// The name of the lake's.
        recorded: String,
    },
    /// A model is not the one of the lake.
    #[error("the model `{asked}` is not the one that the lake was made by, `{recorded}`")]
    OtherModel {
        /// The one that was named.
        asked: String,
        /// The name of the lake's.
        recorded: String,
    },
    /// A run was not a choice between two options.
    #[error("the lake's steps are prompts of a file, not decisions between a bet and a stop")]
    NoOptions,
    /// A step that the lake does not have.
    #[error("the lake has no step {step} of game {game}{}", known(steps))]
    NoSuchStep {
        /// Key of the game.
        game: i64,
        /// The step.
        step: i32,
        /// The steps that the game has.
        steps: Vec<i32>,
    },
    /// A step that did not run.
    #[error("step {step} of game {game} did not run: {why}")]
    StepFailed {
        /// Key of the game.
        game: i64,
        /// The step.
        step: i32,
        /// Why.
        why: String,
    },
    /// A lake that has one game alone.
    #[error("the lake has no game but {game} whose activations could take the place of its own")]
    NoOtherGame {
        /// Key of the game.
        game: i64,
    },
    /// A game of a file of pairs that is no pair.
    #[error("the game `{game}` has {steps} steps: a pair is two, the clean prompt and the corrupted one")]
    NoPair {
        /// Its name in the file.
        game: String,
        /// How many steps it has.
        steps: usize,
    },
    /// A lake of tokens and attention alone.
    #[error("the lake has no dictionary, so there are no features to attribute to")]
    NoDictionaries,
    /// No block is asked for at all.
    #[error("no layer is named: without dictionaries, --layers says which blocks to capture")]
    NoLayers,
    /// The two options of a decision begin with the same token.
    #[error(
        "the options `{first}` and `{second}` begin with the same token, so their first tokens decide nothing"
    )]
    SameFirstToken {
        /// One option.
        first: String,
        /// The other.
        second: String,
    },
}

/// What there is instead of a step, for a message.
fn known(steps: &[i32]) -> String {
    match (steps.first(), steps.last()) {
        (Some(first), Some(last)) => format!("; it has the steps {first} to {last}"),
        _ => ": the game is not there".to_owned(),
    }
}

impl UsageError {
    /// What to do about it, where that is known.
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::NoDictionary => {
                "name dictionaries with --dictionary, or pass --dictionary none to record tokens and attention only"
            }
            Self::DictionaryElsewhere { .. } | Self::OtherDictionary { .. } => {
                "name the lake's own dictionaries with --dictionary"
            }
            Self::OtherModel { .. } => "name the lake's own model with --model",
            Self::Variable { .. } => "--shard I/N says it, and --shard 0/1 runs all games here",
            Self::ShardOfMore { .. } => {
                "give --total-games N instead of --games, or --shard 0/1 to run all games here"
            }
            Self::Device { .. } => "--device takes auto, cpu or cuda:N",
            Self::Missing(_) | Self::Value { .. } => "`saelake collect --help` lists the options",
            _ => return None,
        };
        Some(hint.to_owned())
    }
}
