//! What can go wrong with a game.

use std::path::PathBuf;

use super::record::RecordError;
use crate::tokens::TokenizerError;

/// A game or a prompt could not be read, built or played.
#[derive(Debug, thiserror::Error)]
pub enum GameError {
    /// The seed and the index give no game key.
    #[error("seed {seed} and game {index} give no key: {problem}")]
    Key {
        /// Seed of the run.
        seed: u64,
        /// Index of the game.
        index: u64,
        /// What is too large.
        problem: &'static str,
    },
    /// A decision was made after the game's end.
    #[error("the game is over")]
    Over,
    /// A bet was made that was not on offer.
    #[error("a bet of ${bet} is not on offer at a balance of ${balance}")]
    NotOffered {
        /// The bet in dollars.
        bet: i32,
        /// The balance in dollars.
        balance: i32,
    },
    /// The prompts file could not be read.
    #[error("cannot read {}", path.display())]
    ReadPrompts {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The prompts file has no record.
    #[error("{} has no prompt", path.display())]
    NoPrompts {
        /// The file.
        path: PathBuf,
    },
    /// A line of the prompts file is malformed.
    #[error("{}, line {line}: {source}", path.display())]
    Record {
        /// The file.
        path: PathBuf,
        /// 1-based line.
        line: usize,
        /// What is wrong with it.
        source: RecordError,
    },
    /// The chat template left nothing of a span.
    #[error("the chat template trims away all of the span `{name}` of message {message}")]
    SpanTrimmed {
        /// Name of the span.
        name: String,
        /// 0-based index of the message.
        message: usize,
    },
    /// The prompt could not be rendered or tokenized.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
}

impl GameError {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::NoPrompts { .. } => {
                r#"write one JSON object a line, such as {"game": "a", "text": "Bet or stop?"}"#
            }
            Self::SpanTrimmed { .. } => "leave the white space at the ends of a message out of its spans",
            Self::Record { source, .. } => return source.hint(),
            Self::Tokenizer(error) => return error.hint(),
            _ => return None,
        };
        Some(hint.to_owned())
    }

    /// The exit code: always bad input.
    #[must_use]
    pub const fn exit_code(&self) -> u8 {
        2
    }
}
