//! The tokenizer of a model.

use std::collections::{BTreeSet, HashMap};
use std::ops::Range;

use super::bos::Bos;
use super::chat::Message;
use super::error::TokenizerError;
use super::pieces::{Alphabet, join};
use super::rendered::Rendered;
use super::template::Template;
use super::token::Token;

/// The tokenizer of a model, and its chat template if it has one.
#[derive(Clone, Debug)]
pub struct Tokenizer {
    /// Without post-processor, truncation and padding: what is added is added here, and nothing is cut.
    inner: tokenizers::Tokenizer,
    alphabet: Alphabet,
    /// The added tokens, which stand in the text as they are; the flag says which are special.
    added: HashMap<u32, (String, bool)>,
    special: SpecialTokens,
    template: Option<Template>,
}

/// The special tokens that a model names.
#[derive(Clone, Debug, Default)]
pub(super) struct SpecialTokens {
    /// Begins a sequence.
    pub(super) bos: Option<u32>,
    /// Whether the tokenizer puts `bos` in front of a raw text.
    pub(super) adds_bos: bool,
    /// End an answer.
    pub(super) eos: BTreeSet<u32>,
}

/// Text that follows another text, made of token ids.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Continuation {
    /// The text of all ids, special tokens included. Bytes that form no character are U+FFFD.
    pub text: String,
    /// The tokens; their byte ranges count on from where the other text ended.
    pub tokens: Vec<Token>,
}

impl Tokenizer {
    /// Puts a tokenizer together. `inner` neither truncates nor pads.
    pub(super) fn new(
        mut inner: tokenizers::Tokenizer,
        special: SpecialTokens,
        template: Option<Template>,
    ) -> Result<Self, TokenizerError> {
        inner.with_post_processor(None::<tokenizers::PostProcessorWrapper>);
        let alphabet = Alphabet::of(inner.get_decoder())?;
        let added = inner
            .get_added_tokens_decoder()
            .into_iter()
            .map(|(id, token)| (id, (token.content, token.special)))
            .collect();
        Ok(Self { inner, alphabet, added, special, template })
    }

    /// Whether the model has a chat template.
    pub const fn has_template(&self) -> bool {
        self.template.is_some()
    }

    /// The token that begins a sequence, if the model names one.
    pub const fn bos(&self) -> Option<u32> {
        self.special.bos
    }

    /// The tokens that end an answer, ascending.
    pub fn eos(&self) -> impl Iterator<Item = u32> + '_ {
        self.special.eos.iter().copied()
    }

    /// How many tokens the vocabulary has.
    pub fn vocabulary(&self) -> usize {
        self.inner.get_vocab_size(true)
    }

    /// Renders a chat by the model's template, up to where the assistant's next answer begins.
    ///
    /// # Errors
    /// If the model has no template, the template refuses the chat, or it does not show every content once.
    pub fn render(&self, messages: &[Message]) -> Result<Rendered, TokenizerError> {
        let template = self.template.as_ref().ok_or(TokenizerError::NoTemplate)?;
        Rendered::new(template, messages)
    }

    /// Tokenizes a text as it stands: nothing is added, and special tokens written in it are recognized.
    ///
    /// # Errors
    /// If the text begins with two beginning-of-sequence tokens, or has bytes that the vocabulary lacks.
    pub fn encode_rendered(&self, text: &str) -> Result<Vec<Token>, TokenizerError> {
        let encoding = self.inner.encode(text, false).map_err(|source| TokenizerError::Encode { source })?;
        let tokens = encoding
            .get_ids()
            .iter()
            .zip(encoding.get_offsets())
            .map(|(id, (start, end))| self.token(*id, *start..*end))
            .collect::<Result<Vec<_>, _>>()?;
        check_cover(&tokens, text.len())?;
        if let [first, second, ..] = tokens.as_slice()
            && Some(first.id) == self.special.bos
            && first.id == second.id
        {
            return Err(TokenizerError::DoubleBos { token: first.text.clone() });
        }
        Ok(tokens)
    }

    /// Tokenizes a raw text, with one beginning-of-sequence token in front if the tokenizer wants one and the
    /// text does not begin with it already. A token that is added has the byte range `0..0`.
    ///
    /// # Errors
    /// As [`Tokenizer::encode_rendered`].
    pub fn encode_raw(&self, text: &str) -> Result<Vec<Token>, TokenizerError> {
        let mut tokens = self.encode_rendered(text)?;
        if let Some(bos) = self.special.bos
            && self.special.adds_bos
            && tokens.first().is_none_or(|token| token.id != bos)
        {
            tokens.insert(0, self.token(bos, 0..0)?);
        }
        Ok(tokens)
    }

    /// Who put the beginning-of-sequence token in front of `tokens`, if there is one.
    pub fn bos_of(&self, tokens: &[Token]) -> Bos {
        match tokens.first() {
            Some(first) if Some(first.id) == self.special.bos => {
                if first.bytes.is_empty() {
                    Bos::Tokenizer
                } else {
                    Bos::Template
                }
            }
            _ => Bos::None,
        }
    }

    /// The text of generated `ids` without their special tokens, as a person reads an answer.
    ///
    /// # Errors
    /// If an id is not in the vocabulary.
    pub fn decode(&self, ids: &[u32]) -> Result<String, TokenizerError> {
        let plain = ids.iter().filter(|id| !self.is_special(**id));
        let pieces = plain.map(|id| self.piece(*id)).collect::<Result<Vec<_>, _>>()?;
        Ok(join(&pieces).0)
    }

    /// The text and tokens of generated `ids` that follow a text of `start` bytes.
    ///
    /// # Errors
    /// If an id is not in the vocabulary.
    pub fn continuation(&self, ids: &[u32], start: usize) -> Result<Continuation, TokenizerError> {
        let pieces = ids.iter().map(|id| self.piece(*id)).collect::<Result<Vec<_>, _>>()?;
        let (text, ranges) = join(&pieces);
        let tokens = ids
            .iter()
            .zip(ranges)
            .map(|(id, bytes)| self.token(*id, start + bytes.start..start + bytes.end))
            .collect::<Result<_, _>>()?;
        Ok(Continuation { text, tokens })
    }

    /// The token `id`, standing for `bytes` of a text.
    ///
    /// # Errors
    /// If the id is not in the vocabulary.
    pub fn token(&self, id: u32, bytes: Range<usize>) -> Result<Token, TokenizerError> {
        let text = String::from_utf8_lossy(&self.piece(id)?).into_owned();
        Ok(Token { id, text, bytes, is_special: self.is_special(id) })
    }

    /// Whether `id` is a control token of the model.
    pub fn is_special(&self, id: u32) -> bool {
        self.added.get(&id).is_some_and(|(_, special)| *special)
    }

    /// The bytes that the token `id` stands for.
    fn piece(&self, id: u32) -> Result<Vec<u8>, TokenizerError> {
        if let Some((content, _)) = self.added.get(&id) {
            return Ok(content.clone().into_bytes());
        }
        let piece = self.inner.id_to_token(id);
        let piece = piece.ok_or_else(|| TokenizerError::UnknownId { id, size: self.vocabulary() })?;
        Ok(self.alphabet.bytes(&piece))
    }
}

/// Checks that the tokens together stand for all `length` bytes of a text. Where a vocabulary lacks a
/// character, `tokenizers` leaves it out and moves the rest of its word forward without a word about it.
fn check_cover(tokens: &[Token], length: usize) -> Result<(), TokenizerError> {
    let mut covered = 0;
    let end = length..length;
    for bytes in tokens.iter().map(|token| &token.bytes).chain([&end]) {
        if bytes.start > covered {
            return Err(TokenizerError::Lost { bytes: bytes.start - covered, word_end: bytes.start });
        }
        covered = covered.max(bytes.end);
    }
    Ok(())
}
