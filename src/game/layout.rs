//! A prompt as the model reads it: text, tokens, and the spans in both.

use std::ops::Range;

use super::error::GameError;
use super::prompt::{Body, Prompt};
use crate::tokens::{Bos, Token, Tokenizer};

/// The name of the span of the answer's given beginning.
const PREFILL: &str = "prefill";

/// A named place of a step's text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// Its name.
    pub name: String,
    /// Its bytes in the text.
    pub bytes: Range<usize>,
}

/// A prompt as the model reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// The text: rendered, if the prompt is a chat, and with the answer's given beginning at its end.
    pub text: String,
    /// The tokens of the text, special tokens included.
    pub tokens: Vec<Token>,
    /// The spans, in the order of the prompt; `prefill` is the answer's given beginning.
    pub spans: Vec<Span>,
    /// Who put the beginning-of-sequence token in front.
    pub bos: Bos,
}

impl Prompt {
    /// Renders and tokenizes the prompt. A chat is rendered by the model's template and tokenized as it
    /// stands; a text gets the beginning-of-sequence token once, if the tokenizer wants one.
    ///
    /// # Errors
    /// If the model has no chat template for a chat, or the text cannot be rendered or tokenized.
    pub fn lay_out(&self, tokenizer: &Tokenizer) -> Result<Layout, GameError> {
        let (mut text, mut spans) = match &self.body {
            Body::Text(text) => {
                let spans =
                    self.spans.iter().map(|span| Span { name: span.name.clone(), bytes: span.bytes.clone() });
                (text.clone(), spans.collect())
            }
            Body::Messages(messages) => {
                let rendered = tokenizer.render(messages)?;
                let place = |span: &super::PromptSpan| {
                    let bytes = rendered.locate(span.message, &span.bytes);
                    let trimmed =
                        || GameError::SpanTrimmed { name: span.name.clone(), message: span.message };
                    Ok(Span { name: span.name.clone(), bytes: bytes.ok_or_else(trimmed)? })
                };
                let spans = self.spans.iter().map(place).collect::<Result<Vec<_>, GameError>>()?;
                (rendered.text, spans)
            }
        };
        if !self.prefill.is_empty() {
            let bytes = text.len()..text.len() + self.prefill.len();
            spans.push(Span { name: PREFILL.to_owned(), bytes });
            text.push_str(&self.prefill);
        }
        let tokens = match self.body {
            Body::Text(_) => tokenizer.encode_raw(&text)?,
            Body::Messages(_) => tokenizer.encode_rendered(&text)?,
        };
        let bos = tokenizer.bos_of(&tokens);
        Ok(Layout { text, tokens, spans, bos })
    }
}
