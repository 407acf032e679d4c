//! Runs the games of a prompts file.

use super::choose::{Pair, pairs};
use super::episode::{Episode, empty_step, failed_step};
use super::prepare::{Prepared, prepare};
use super::reader::{Captured, Reader};
use super::token_budget::groups;
use crate::error::{Error, UsageError};
use crate::game::{Metric, PromptGame};
use crate::tokens::Tokenizer;
use schemas::{games, steps};

/// Runs every step of `prompts`. `None` if `stopped` said so before they were through.
pub(crate) fn run_prompts(
    reader: &Reader<'_>,
    tokenizer: &Tokenizer,
    prompts: &[PromptGame],
    stopped: &dyn Fn() -> bool,
) -> Result<Option<Vec<Episode>>, Error> {
    let mut episodes: Vec<Episode> = prompts.iter().map(|game| Episode::new(game_row(game))).collect();
    let mut ready = Vec::new();
    for (index, game) in prompts.iter().enumerate() {
        for record in &game.steps {
            let metric = record.metric.as_ref().map(|metric| metric_ids(tokenizer, metric)).transpose()?;
            match prepare((game.key, record.step), &record.prompt, tokenizer, reader.llama.config().context) {
                Ok(prepared) => ready.push(Ready { index, metric, prepared }),
                Err(error) => {
                    episodes[index].decided(failed_step((game.key, record.step), None, error.to_string()));
                }
            }
        }
    }
    for group in groups(&ready, |ready| ready.prepared.tokens().len(), reader.settings.batch_tokens) {
        if stopped() {
            return Ok(None);
        }
        let steps: Vec<&Prepared> = group.iter().map(|ready| &ready.prepared).collect();
        let reading = reader.read(&steps)?;
        // A step without a metric asks for the same token twice; its difference is not used.
        let ids: Vec<[u32; 2]> = group.iter().map(|ready| ready.metric.unwrap_or_default()).collect();
        let pairs = pairs(reader.llama.logits(reading.decisions), &ids)?;
        for ((ready, captured), pair) in group.iter().zip(reading.captured).zip(pairs) {
            record(&mut episodes[ready.index], ready, captured, pair);
        }
    }
    Ok(Some(episodes))
}

/// A step of a game that can run, and the ids of its metric's tokens.
struct Ready {
    index: usize,
    metric: Option<[u32; 2]>,
    prepared: Prepared,
}

fn record(episode: &mut Episode, ready: &Ready, captured: Captured, pair: Pair) {
    let step = &ready.prepared;
    episode.saw(step, captured);
    episode.decided(steps::Row {
        n_tokens: step.tokens().len() as i32,
        n_prompt_tokens: step.n_prompt as i32,
        decision_position: step.decision as i32,
        logit_diff: ready.metric.map(|_| pair.logit_diff),
        ..empty_step((step.game, step.step), None)
    });
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
