//! Prompts, and the builder that writes down where things stand in them.

use std::ops::Range;

use crate::tokens::Message;

/// What a model is asked in one step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prompt {
    /// The text or the chat.
    pub body: Body,
    /// Named places of it.
    pub spans: Vec<PromptSpan>,
    /// How the answer begins, put there for the model; empty if it begins itself.
    pub prefill: String,
}

/// The words of a prompt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// Text that the model reads as it stands.
    Text(String),
    /// A chat that the model's chat template renders.
    Messages(Vec<Message>),
}

/// A named place of a prompt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PromptSpan {
    /// Its name, such as `balance`.
    pub name: String,
    /// 0-based index of the message that it lies in; 0 for a text.
    pub message: usize,
    /// Its bytes in the message's content, or in the text.
    pub bytes: Range<usize>,
}

/// A text in the making, which knows where its spans are because it wrote them.
#[derive(Clone, Debug, Default)]
pub struct Draft {
    text: String,
    spans: Vec<(String, Range<usize>)>,
}

impl Draft {
    /// Writes text that is in no span of its own.
    pub fn write(&mut self, text: &str) -> &mut Self {
        self.text.push_str(text);
        self
    }

    /// Writes text that is the span `name`.
    pub fn span(&mut self, name: impl Into<String>, text: &str) -> &mut Self {
        self.within(name, |draft| {
            draft.write(text);
        })
    }

    /// Makes all that `write` writes the span `name`; it may write spans of its own.
    pub fn within(&mut self, name: impl Into<String>, write: impl FnOnce(&mut Self)) -> &mut Self {
        let (start, place) = (self.text.len(), self.spans.len());
        write(self);
        self.spans.insert(place, (name.into(), start..self.text.len()));
        self
    }

    /// The text, and its spans as those of message 0.
    #[must_use]
    pub fn finish(self) -> (String, Vec<PromptSpan>) {
        let span = |(name, bytes)| PromptSpan { name, message: 0, bytes };
        (self.text, self.spans.into_iter().map(span).collect())
    }
}
