//! One line of a prompts file.

use serde::Deserialize;

use super::prompt::{Body, Prompt, PromptSpan};
use crate::tokens::Message;

/// Two continuations of a prompt. The metric of the step is the logit of the first token of `first` minus
/// that of the first token of `second` at the decision position.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Metric {
    /// The continuation that counts as positive, such as ` Bet`.
    pub first: String,
    /// The one that counts as negative, such as ` Stop`.
    pub second: String,
}

/// What is wrong with a line of a prompts file.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The line is not UTF-8.
    #[error("byte {column} of the line is not UTF-8")]
    Utf8 {
        /// 1-based byte of the line.
        column: usize,
    },
    /// The line is not the JSON object that it should be.
    #[error("{}", message(.0))]
    Json(serde_json::Error),
    /// The game has no name.
    #[error("`game` is empty")]
    NoGame,
    /// The step is negative, or too large to count on from.
    #[error("`step` {step} is not between 0 and {}", i32::MAX - 1)]
    Step {
        /// The step.
        step: i64,
    },
    /// The record has both a text and messages, or neither.
    #[error("give exactly one of `text` and `messages`")]
    TextOrMessages,
    /// The text, the list of messages, or an option of the metric is empty.
    #[error("`{field}` is empty")]
    Empty {
        /// The field.
        field: &'static str,
    },
    /// Both options of the metric are the same.
    #[error("`metric` compares `{option}` with itself")]
    SameOptions {
        /// The option.
        option: String,
    },
    /// A span does not say which message it is in, or is in none.
    #[error("the span `{name}` must say in which `message` it is, 0 to {last}")]
    SpanMessage {
        /// Name of the span.
        name: String,
        /// The last message.
        last: usize,
    },
    /// A span of a text names a message.
    #[error("the span `{name}` names a message, but the record has a `text`")]
    SpanOfText {
        /// Name of the span.
        name: String,
    },
    /// A span is empty or out of range.
    #[error("the span `{name}` is {start}..{end}, which is no range of bytes in a text of {length}")]
    SpanRange {
        /// Name of the span.
        name: String,
        /// First byte.
        start: usize,
        /// Byte after the last.
        end: usize,
        /// Bytes there are.
        length: usize,
    },
    /// A span begins or ends in the middle of a character.
    #[error("the span `{name}` cuts a character at byte {byte}")]
    SpanCharacter {
        /// Name of the span.
        name: String,
        /// Where.
        byte: usize,
    },
    /// One span is given twice.
    #[error("the span `{name}` is given twice with the same bytes")]
    SameSpan {
        /// Name of the span.
        name: String,
    },
    /// A step of a game is given twice.
    #[error("step {step} of the game `{game}` is already on line {first}")]
    Duplicate {
        /// The game.
        game: String,
        /// The step.
        step: i32,
        /// The line that has it.
        first: usize,
    },
    /// Two games would have one key.
    #[error("the games `{game}` and `{other}` have the same key {key}")]
    SameKey {
        /// The game.
        game: String,
        /// The game that has the key.
        other: String,
        /// The key.
        key: i64,
    },
    /// Two lines say different things of one game.
    #[error("the `metadata` of the game `{game}` differ from those on line {first}")]
    Metadata {
        /// The game.
        game: String,
        /// The line that has others.
        first: usize,
    },
}

impl RecordError {
    /// What to do about it.
    pub(super) fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::SameKey { .. } => "rename one of the games",
            Self::SpanRange { .. } | Self::SpanCharacter { .. } => {
                "offsets count bytes of the UTF-8 text, not characters"
            }
            Self::Metadata { .. } => "give the metadata of a game once",
            _ => return None,
        };
        Some(hint.to_owned())
    }
}

/// What the parser says, without the line: it saw only one.
fn message(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let what = text.rsplit_once(" at line ").map_or(text.as_str(), |(what, _)| what);
    format!("{what} at column {}", error.column())
}

/// A line, as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Record {
    game: GameId,
    pub(super) step: Option<i64>,
    text: Option<String>,
    messages: Option<Vec<Message>>,
    pub(super) metadata: Option<serde_json::Value>,
    #[serde(default)]
    spans: Vec<SpanRecord>,
    metric: Option<Metric>,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "`game` must be a string or an integer")]
enum GameId {
    Name(String),
    Number(i64),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SpanRecord {
    name: String,
    start: usize,
    end: usize,
    message: Option<usize>,
}

impl Record {
    /// Reads a line.
    pub(super) fn parse(line: &[u8]) -> Result<Self, RecordError> {
        let line = std::str::from_utf8(line)
            .map_err(|error| RecordError::Utf8 { column: error.valid_up_to() + 1 })?;
        serde_json::from_str(line).map_err(RecordError::Json)
    }

    /// The name of its game; an integer names the game that its digits name.
    pub(super) fn game(&self) -> Result<String, RecordError> {
        match &self.game {
            GameId::Name(name) if name.is_empty() => Err(RecordError::NoGame),
            GameId::Name(name) => Ok(name.clone()),
            GameId::Number(number) => Ok(number.to_string()),
        }
    }

    /// Its prompt and metric.
    pub(super) fn into_prompt(self) -> Result<(Prompt, Option<Metric>), RecordError> {
        let body = match (self.text, self.messages) {
            (Some(text), None) if text.is_empty() => return Err(RecordError::Empty { field: "text" }),
            (None, Some(list)) if list.is_empty() => return Err(RecordError::Empty { field: "messages" }),
            (Some(text), None) => Body::Text(text),
            (None, Some(messages)) => Body::Messages(messages),
            _ => return Err(RecordError::TextOrMessages),
        };
        let spans: Vec<PromptSpan> =
            self.spans.into_iter().map(|span| span.check(&body)).collect::<Result<_, _>>()?;
        if let Some(at) = (1..spans.len()).find(|at| spans[..*at].contains(&spans[*at])) {
            return Err(RecordError::SameSpan { name: spans[at].name.clone() });
        }
        if let Some(Metric { first, second }) = &self.metric {
            if first.is_empty() || second.is_empty() {
                return Err(RecordError::Empty { field: "metric" });
            }
            if first == second {
                return Err(RecordError::SameOptions { option: first.clone() });
            }
        }
        Ok((Prompt { body, spans, prefill: String::new() }, self.metric))
    }
}

impl SpanRecord {
    fn check(self, body: &Body) -> Result<PromptSpan, RecordError> {
        let Self { name, start, end, message } = self;
        let (text, message) = match body {
            Body::Text(_) if message.is_some() => return Err(RecordError::SpanOfText { name }),
            Body::Text(text) => (text, 0),
            Body::Messages(messages) => {
                // One message need not be named.
                let message = message.or((messages.len() == 1).then_some(0));
                match message.and_then(|message| Some((&messages.get(message)?.content, message))) {
                    Some(found) => found,
                    None => return Err(RecordError::SpanMessage { name, last: messages.len() - 1 }),
                }
            }
        };
        if start >= end || end > text.len() {
            return Err(RecordError::SpanRange { name, start, end, length: text.len() });
        }
        if let Some(byte) = [start, end].into_iter().find(|byte| !text.is_char_boundary(*byte)) {
            return Err(RecordError::SpanCharacter { name, byte });
        }
        Ok(PromptSpan { name, message, bytes: start..end })
    }
}
