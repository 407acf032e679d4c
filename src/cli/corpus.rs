//! What dictionaries are trained on: prompts of games played at random, text files, the model's own text.

use std::path::Path;

use crate::capture::{Drawing, PrepareError, Prepared, generate, prepare};
use crate::error::{Error, UsageError};
use crate::game::{BetType, Body, Components, Decide, Decision, Form, Prompt, Rules, SlotMachine, Stream};
use crate::model::{Model, Opened};
use crate::tokens::Tokenizer;

/// Tokens of a piece of text.
const WINDOW: usize = 256;

/// Texts that the model writes side by side.
const WRITERS: usize = 32;

/// How often a game played at random goes on.
const BET_PROBABILITY: f64 = 0.9;

/// Games played at random, over every subset of the components and both types of bets.
pub(super) struct GamePrompts<'a> {
    tokenizer: &'a Tokenizer,
    context: usize,
    seed: u64,
    next: u64,
}

/// The games of `seed`, one after the other.
pub(super) fn game_prompts<M: Model>(opened: &Opened<M>, seed: u64) -> GamePrompts<'_> {
    GamePrompts { tokenizer: &opened.tokenizer, context: opened.llama.config().context, seed, next: 0 }
}

impl GamePrompts<'_> {
    /// The prompts of the next game.
    pub(super) fn next_game(&mut self) -> Result<Vec<Prepared>, Error> {
        let subset = self.next as usize / 2 % Components::subsets().len();
        let components = Components::subsets().nth(subset).unwrap_or_default();
        let bet_type = if self.next.is_multiple_of(2) { BetType::Fixed } else { BetType::Variable };
        let mut machine = SlotMachine::new(Rules { bet_type, components }, self.seed, self.next)?;
        let mut draws = Stream::sampling(self.seed, machine.key());
        self.next += 1;
        let tokenizer = self.tokenizer;
        let form = if tokenizer.has_template() { Form::Chat } else { Form::Text };
        let context = self.context;
        let mut steps = Vec::new();
        while let (Some(prompt), Some(options)) = (machine.prompt(form, Decide::Choice), machine.options()) {
            steps.push(prepare((machine.key(), steps.len() as i32), &prompt, tokenizer, context)?);
            let decision = if draws.uniform() < BET_PROBABILITY {
                let bet = draws.pick(&vec![1.0; options.bets.len()]).unwrap_or(0);
                Decision::Bet(options.bets[bet])
            } else {
                Decision::Stop
            };
            machine.play(decision)?;
        }
        Ok(steps)
    }
}

/// The text of a file, in pieces of 256 tokens.
pub(super) fn text_windows(opened: &Opened, path: &Path) -> Result<Vec<Prepared>, Error> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| UsageError::Unreadable { path: path.to_owned(), source })?;
    let whole = Prompt { body: Body::Text(text), spans: Vec::new(), prefill: String::new() };
    let whole = match prepare((0, 0), &whole, &opened.tokenizer, usize::MAX) {
        Ok(whole) => whole,
        Err(Error::Capture(crate::capture::CaptureError::Prepare(PrepareError::Empty))) => {
            return Ok(Vec::new());
        }
        Err(error) => return Err(error),
    };
    let window = WINDOW.min(opened.llama.config().context);
    Ok(whole.windows(window))
}

/// Text of `tokens` tokens that the model writes itself, at temperature 1, each piece after a first token
/// drawn evenly from the vocabulary.
pub(super) fn own_text(opened: &Opened, tokens: usize, seed: u64) -> Result<Vec<Prepared>, Error> {
    let vocabulary = opened.llama.config().vocab as f64;
    let mut streams: Vec<Stream> =
        (0..WRITERS as i64).map(|writer| Stream::sampling(seed, -1 - writer)).collect();
    let drawing = Drawing { temperature: 1.0, max_new_tokens: WINDOW - 1 };
    let mut pieces: Vec<Prepared> = Vec::new();
    let mut written = 0;
    while written < tokens {
        let first: Vec<Vec<u32>> =
            streams.iter_mut().map(|stream| vec![(stream.uniform() * vocabulary) as u32]).collect();
        let answers = generate(&opened.llama, &first, &drawing, |writer| streams[writer].uniform() as f32)?;
        for (first, answer) in first.iter().zip(answers) {
            let ids = [first.as_slice(), &answer.ids].concat();
            written += ids.len();
            pieces.push(Prepared::of_ids(&opened.tokenizer, &ids)?);
        }
    }
    Ok(pieces)
}
