//! Runs the games of a prompts file.

use std::collections::VecDeque;

use rayon::prelude::*;

use super::collect::Through;
use super::engine::{Engine, Observed, Pass};
use super::episode::{Episode, empty_step, failed_step};
use super::prepare::{Prepared, prepare};
use super::token_budget::groups;
use crate::error::{Error, UsageError};
use crate::game::{Metric, PromptGame};
use crate::tokens::Tokenizer;
use schemas::{games, steps};

/// Passes that are under way at most: while one is taken in, another one runs.
const PASSES: usize = 2;

/// Runs every step of `prompts` and hands over the games, as many at a time as `commits` says; `hand_over` says whether
/// more are wanted.
/// The passes go on from one group of games to the next without a break.
pub(crate) fn run_prompts(
    engine: &dyn Engine,
    tokenizer: &Tokenizer,
    (prompts, commits): (&[PromptGame], &[usize]),
    stopped: &dyn Fn() -> bool,
    hand_over: &mut dyn FnMut(Vec<Episode>) -> bool,
) -> Result<Through, Error> {
    let budget = engine.settings().batch_tokens;
    let mut line = Line::default();
    let mut left = prompts;
    for size in commits {
        let (prompts, others) = left.split_at(*size);
        left = others;
        let (episodes, mut ready) = lay_out(engine, tokenizer, prompts)?;
        let groups = groups(&ready, |ready| ready.prepared.tokens().len(), budget);
        let sizes: Vec<usize> = groups.iter().map(|group| group.len()).collect();
        line.games.push_back(Games { episodes, passes: sizes.len() });
        for size in sizes {
            if stopped() {
                return Ok(Through::Stopped);
            }
            let group: Vec<Ready> = ready.drain(..size).collect();
            let pass = start(engine, &group)?;
            line.passes.push_back((group, pass));
            if line.passes.len() > PASSES && !line.take_in(hand_over)? {
                return Ok(Through::Stopped);
            }
        }
    }
    while !line.games.is_empty() {
        if !line.take_in(hand_over)? {
            return Ok(Through::Stopped);
        }
    }
    Ok(Through::All)
}

/// What is under way, the oldest first.
#[derive(Default)]
struct Line<'a> {
    passes: VecDeque<(Vec<Ready>, Pass<'a>)>,
    games: VecDeque<Games>,
}

/// Games that are handed over together, and how many of their passes are not taken in yet.
struct Games {
    episodes: Vec<Episode>,
    passes: usize,
}

impl Line<'_> {
    /// Takes in the oldest pass, and hands over the games that are done. Whether more are wanted.
    fn take_in(&mut self, hand_over: &mut dyn FnMut(Vec<Episode>) -> bool) -> Result<bool, Error> {
        if let Some(games) = self.games.front_mut().filter(|games| games.passes > 0)
            && let Some((group, pass)) = self.passes.pop_front()
        {
            record(&mut games.episodes, &group, pass()?);
            games.passes -= 1;
        }
        while let Some(games) = self.games.pop_front_if(|games| games.passes == 0) {
            if !hand_over(games.episodes) {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// The games without a step yet, and the steps that can run. Those that cannot are recorded.
fn lay_out(
    engine: &dyn Engine,
    tokenizer: &Tokenizer,
    prompts: &[PromptGame],
) -> Result<(Vec<Episode>, Vec<Ready>), Error> {
    let context = engine.config().context;
    let of_game = |(index, game): (usize, &PromptGame)| -> Result<(Episode, Vec<Ready>), Error> {
        let (mut episode, mut ready) = (Episode::new(game_row(game)), Vec::new());
        for record in &game.steps {
            let metric = record.metric.as_ref().map(|metric| metric_ids(tokenizer, metric)).transpose()?;
            let place = (game.key, record.step);
            match prepare(place, &record.prompt, tokenizer, context) {
                Ok(prepared) => ready.push(Ready { index, metric, prepared }),
                Err(error) => episode.decided(failed_step(place, None, error.to_string())),
            }
        }
        Ok((episode, ready))
    };
    let laid_out = prompts.par_iter().enumerate().map(of_game).collect::<Result<Vec<_>, Error>>()?;
    let (episodes, ready): (Vec<Episode>, Vec<Vec<Ready>>) = laid_out.into_iter().unzip();
    Ok((episodes, ready.into_iter().flatten().collect()))
}

fn start<'a>(engine: &'a dyn Engine, group: &[Ready]) -> Result<Pass<'a>, Error> {
    let steps: Vec<&Prepared> = group.iter().map(|ready| &ready.prepared).collect();
    // A step without a metric asks for the same token twice; its difference is not used.
    let tokens: Vec<[u32; 2]> = group.iter().map(|ready| ready.metric.unwrap_or_default()).collect();
    Ok(engine.start(&steps, &tokens, false)?)
}

/// A step of a game that can run, and the ids of its metric's tokens.
struct Ready {
    index: usize,
    metric: Option<[u32; 2]>,
    prepared: Prepared,
}

fn record(episodes: &mut [Episode], group: &[Ready], seen: Observed<'_>) {
    for ((ready, captured), pair) in group.iter().zip(seen.captured).zip(seen.pairs) {
        let (step, episode) = (&ready.prepared, &mut episodes[ready.index]);
        episode.saw(step, captured);
        episode.decided(steps::Row {
            n_tokens: step.tokens().len() as i32,
            n_prompt_tokens: step.n_prompt as i32,
            decision_position: step.decision as i32,
            logit_diff: ready.metric.map(|_| pair.logit_diff),
            ..empty_step((step.game, step.step), None)
        });
    }
}

/// The ids of the first tokens of a metric's two texts.
fn metric_ids(tokenizer: &Tokenizer, metric: &Metric) -> Result<[u32; 2], Error> {
    first_tokens(tokenizer, &metric.first, &metric.second)
}

/// The ids of the first tokens of two texts that go on from a prompt.
pub(crate) fn first_tokens(tokenizer: &Tokenizer, first: &str, second: &str) -> Result<[u32; 2], Error> {
    let id = |text: &str| -> Result<Option<u32>, Error> {
        let tokens = tokenizer.encode_rendered(text).map_err(super::CaptureError::from)?;
        Ok(tokens.first().map(|token| token.id))
    };
    match (id(first)?, id(second)?) {
        (Some(one), Some(other)) if one != other => Ok([one, other]),
        _ => Err(UsageError::SameFirstToken { first: first.to_owned(), second: second.to_owned() }.into()),
    }
}

fn game_row(game: &PromptGame) -> games::Row {
    games::Row {
        game: game.key,
        game_id: game.id.clone(),
        game_block: 0,
        run: String::new(),
        source: "prompts".to_owned(),
        n_steps: 0,
        outcome: None,
        final_balance: None,
        bet_type: None,
        components: None,
        metadata: game.metadata.clone(),
    }
}
