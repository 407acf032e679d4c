//! A step ready to run: a prompt's layout, and what a game makes of it.

use schemas::{spans, tokens};

use crate::error::Error;
use crate::game::{Layout, Prompt};
use crate::tokens::{Continuation, Token, Tokenizer, positions};

/// A step ready to run through the model.
#[derive(Clone, Debug)]
pub struct Prepared {
    /// Key of the game.
    pub game: i64,
    /// 0-based step of the game.
    pub step: i32,
    /// The text, its tokens, its spans.
    pub layout: Layout,
    /// How many of the tokens are the prompt's.
    pub n_prompt: usize,
    /// The position whose logits decide.
    pub decision: usize,
}

/// Why a prompt cannot run.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    /// It has no tokens.
    #[error("the prompt has no tokens")]
    Empty,
    /// It is longer than the model can read.
    #[error("the step has {tokens} tokens and the model reads {context}")]
    TooLong {
        /// Tokens of the step.
        tokens: usize,
        /// Tokens that the model reads.
        context: usize,
    },
}

/// Renders and tokenizes a prompt, and places its spans in the text.
///
/// # Errors
/// If the prompt cannot be rendered, has no tokens, or exceeds `context` tokens: nothing is cut.
pub fn prepare(
    (game, step): (i64, i32),
    prompt: &Prompt,
    tokenizer: &Tokenizer,
    context: usize,
) -> Result<Prepared, Error> {
    let whole = Prepared::whole(prompt.lay_out(tokenizer)?)?;
    Prepared { game, step, ..whole }.fits(context)
}

impl Prepared {
    /// Tokens that make a step by themselves, such as text that a model wrote.
    ///
    /// # Errors
    /// If there are none, or an id is not in the vocabulary.
    pub fn of_ids(tokenizer: &Tokenizer, ids: &[u32]) -> Result<Self, Error> {
        let Continuation { text, tokens } =
            tokenizer.continuation(ids, 0).map_err(super::CaptureError::from)?;
        let bos = tokenizer.bos_of(&tokens);
        Self::whole(Layout { text, tokens, spans: Vec::new(), bos })
    }

    /// Consecutive pieces of `length` tokens at most, each a step of its own.
    pub fn windows(&self, length: usize) -> Vec<Self> {
        let pieces = self.tokens().chunks(length).map(|tokens| {
            let layout = Layout { tokens: tokens.to_vec(), spans: Vec::new(), ..self.layout.clone() };
            Self { n_prompt: tokens.len(), decision: tokens.len() - 1, layout, ..*self }
        });
        pieces.collect()
    }

    fn whole(layout: Layout) -> Result<Self, Error> {
        let n_prompt = layout.tokens.len();
        let decision =
            n_prompt.checked_sub(1).ok_or(PrepareError::Empty).map_err(super::CaptureError::from)?;
        Ok(Self { game: 0, step: 0, layout, n_prompt, decision })
    }

    /// The step with an answer after its prompt, and the position whose logits gave the answer's decision,
    /// if it has one.
    ///
    /// # Errors
    /// If it then exceeds `context` tokens.
    pub fn answered(
        mut self,
        answer: Continuation,
        decision: Option<usize>,
        context: usize,
    ) -> Result<Self, Error> {
        self.layout.tokens.extend(answer.tokens);
        self.layout.text.push_str(&answer.text);
        self.decision = decision.unwrap_or(self.decision);
        self.fits(context)
    }

    fn fits(self, context: usize) -> Result<Self, Error> {
        let tokens = self.tokens().len();
        if tokens > context {
            return Err(super::CaptureError::from(PrepareError::TooLong { tokens, context }).into());
        }
        Ok(self)
    }

    /// Its tokens.
    pub fn tokens(&self) -> &[Token] {
        &self.layout.tokens
    }

    /// The positions of its plain tokens: not position 0, and no special token. Dictionaries are trained without those.
    pub(crate) fn plain_positions(&self) -> impl Iterator<Item = usize> + '_ {
        let tokens = self.tokens().iter().enumerate().skip(1);
        tokens.filter(|(_, token)| !token.is_special).map(|(position, _)| position)
    }

    /// The ids of its tokens.
    pub fn ids(&self) -> Vec<u32> {
        self.tokens().iter().map(|token| token.id).collect()
    }

    /// Adds its tokens to `rows`.
    pub(crate) fn push_tokens(&self, rows: &mut tokens::Rows) {
        for (position, token) in self.tokens().iter().enumerate() {
            rows.push(tokens::Row {
                game: self.game,
                step: self.step,
                position: position as i32,
                token_id: token.id as i32,
                token: token.text.clone(),
                byte_start: token.bytes.start as i32,
                byte_end: token.bytes.end as i32,
                is_special: token.is_special,
                is_generated: position >= self.n_prompt,
            });
        }
    }

    /// Adds its spans to `rows`.
    pub(crate) fn push_spans(&self, rows: &mut spans::Rows) {
        for span in &self.layout.spans {
            // A span that no token shares a byte with is empty; it stands after the last token before it.
            let positions = positions(self.tokens(), &span.bytes).unwrap_or_else(|| {
                let before = self.tokens().partition_point(|token| token.bytes.end <= span.bytes.start);
                before..before
            });
            rows.push(spans::Row {
                game: self.game,
                step: self.step,
                name: span.name.clone(),
                byte_start: span.bytes.start as i32,
                byte_end: span.bytes.end as i32,
                position_start: positions.start as i32,
                position_end: positions.end as i32,
            });
        }
    }
}
