//! The pipeline: the model plays and reads on one thread while finished games are written on another.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use schemas::{dictionaries, runs};

use super::CaptureError;
use super::engine::Engine;
use super::episode::Episode;
use super::play::play;
use super::positions::PositionsKept;
use super::prepare::{Prepared, prepare};
use super::prompts::run_prompts;
use crate::error::Error;
use crate::game::{Decide, Form, Prompt, PromptGame, Rules, SlotMachine};
use crate::lake::{Batch, Lake};
use crate::tokens::Tokenizer;

/// Batches that may wait for the writer before the model waits for it too.
const WAITING_BATCHES: usize = 1;

/// Where games come from.
pub enum Source {
    /// Slot-machine games that the model plays.
    SlotMachine {
        /// The rules.
        rules: Rules,
        /// The run's seed.
        seed: u64,
        /// Which games of that seed.
        indices: Vec<u64>,
    },
    /// Games of a prompts file.
    Prompts(Vec<PromptGame>),
}

impl Source {
    /// How many games there are.
    pub fn n_games(&self) -> usize {
        match self {
            Self::SlotMachine { indices, .. } => indices.len(),
            Self::Prompts(games) => games.len(),
        }
    }

    /// The first prompts, up to `budget` tokens: what a run is checked on before it begins. Prompts that
    /// cannot run are left to the run itself, which records why. Games of the slot machine all begin with
    /// the same prompt, so one is enough.
    pub fn first_steps(
        &self,
        tokenizer: &Tokenizer,
        decide: Decide,
        context: usize,
        budget: usize,
    ) -> Vec<Prepared> {
        let form = if tokenizer.has_template() { Form::Chat } else { Form::Text };
        let prompts: Box<dyn Iterator<Item = Prompt>> = match self {
            Self::SlotMachine { rules, seed, indices } => {
                let machine = indices.first().and_then(|index| SlotMachine::new(*rules, *seed, *index).ok());
                Box::new(machine.and_then(|machine| machine.prompt(form, decide)).into_iter())
            }
            Self::Prompts(games) => {
                Box::new(games.iter().flat_map(|game| game.steps.iter().map(|step| step.prompt.clone())))
            }
        };
        let mut tokens = 0;
        prompts
            .filter_map(|prompt| prepare((0, 0), &prompt, tokenizer, context).ok())
            .take_while(|step| {
                let fits = tokens == 0 || tokens + step.tokens().len() <= budget;
                tokens += step.tokens().len();
                fits
            })
            .collect()
    }
}

/// What has been committed since the last time.
#[derive(Clone, Copy, Debug, Default)]
pub struct Progress {
    /// Games.
    pub games: u64,
    /// Steps.
    pub steps: u64,
    /// Tokens.
    pub tokens: u64,
    /// Bytes of Parquet.
    pub bytes: u64,
}

/// What a run did.
#[derive(Clone, Copy, Debug, Default)]
pub struct Summary {
    /// What it committed.
    pub committed: Progress,
    /// Games among these that the lake had by then, since another process had added them.
    pub left_out: u64,
    /// Steps that could not run; their rows say why.
    pub failed_steps: u64,
    /// Whether it was asked to stop before it was through.
    pub interrupted: bool,
}

/// What a run needs beside its engine.
pub struct Run<'a> {
    /// Turns text into tokens.
    pub tokenizer: &'a Tokenizer,
    /// Its row of `runs`.
    pub row: runs::Row,
    /// Its rows of `dictionaries`.
    pub dictionaries: Vec<dictionaries::Row>,
    /// The positions whose rows are stored, as the row of `runs` says.
    pub positions: PositionsKept,
    /// Games of each commit, in order; they add up to those of the source.
    pub commits: Vec<usize>,
    /// Set from outside to end the run after the pass and the commit under way.
    pub stop: &'a AtomicBool,
}

/// Plays or runs every game of `source` and appends it to `lake`. Games that are under way when the run
/// is asked to stop are dropped whole; what is committed stays.
///
/// # Errors
/// If the device or the lake fails. What was committed before stays.
pub fn collect(
    engine: &dyn Engine,
    run: Run<'_>,
    source: Source,
    lake: &mut Lake,
    mut progress: impl FnMut(Progress) + Send,
) -> Result<Summary, Error> {
    let (sender, receiver) = sync_channel(WAITING_BATCHES);
    let Run { tokenizer, row, dictionaries, positions, commits, stop } = run;
    thread::scope(|scope| {
        let writer =
            scope.spawn(move || write(lake, (&row, &dictionaries, positions), &receiver, &mut progress));
        let read = read(engine, tokenizer, (source, &commits), stop, &sender);
        // The writer ends when no more can come.
        drop(sender);
        let written = writer.join().map_err(|_| CaptureError::WriterDied)?;
        // A writer that failed has ended the reading too, and knows the cause.
        let mut summary = written?;
        summary.interrupted = read? == Through::Stopped;
        Ok(summary)
    })
}

/// How far the games were read.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Through {
    All,
    Stopped,
}

/// Reads the games in groups of one commit and hands each group to the writer.
fn read(
    engine: &dyn Engine,
    tokenizer: &Tokenizer,
    (source, commits): (Source, &[usize]),
    stop: &AtomicBool,
    sender: &SyncSender<Vec<Episode>>,
) -> Result<Through, Error> {
    let stopped = || stop.load(Ordering::Relaxed);
    // The writer hangs up only when it has failed, and says why itself.
    let mut hand_over = |episodes| sender.send(episodes).is_ok();
    match source {
        Source::SlotMachine { rules, seed, indices } => {
            let mut left = indices.as_slice();
            for size in commits {
                let (group, others) = left.split_at(*size);
                left = others;
                let episodes = play(engine, tokenizer, rules, seed, group, &stopped)?;
                if !episodes.is_some_and(&mut hand_over) {
                    return Ok(Through::Stopped);
                }
            }
            Ok(Through::All)
        }
        Source::Prompts(games) => run_prompts(engine, tokenizer, (&games, commits), &stopped, &mut hand_over),
    }
}

/// Appends every group of games that arrives, the run's own rows with the first that adds any.
fn write(
    lake: &mut Lake,
    (row, dictionaries, positions): (&runs::Row, &[dictionaries::Row], PositionsKept),
    receiver: &Receiver<Vec<Episode>>,
    progress: &mut dyn FnMut(Progress),
) -> Result<Summary, Error> {
    let mut summary = Summary::default();
    let mut is_known = false;
    for episodes in receiver {
        let mut batch = Batch::default();
        if !is_known {
            batch.run = Some(row.clone());
            batch.dictionaries = dictionaries.to_vec();
        }
        for mut episode in episodes {
            episode.game.run.clone_from(&row.run);
            summary.failed_steps +=
                episode.steps.status.iter().filter(|status| *status == "error").count() as u64;
            episode.add_to(&mut batch);
        }
        if positions != PositionsKept::All {
            // What rows that are dropped add to the rollup is taken from them as they would have been stored.
            batch.round(row.activation_bits);
            batch.roll_up();
            positions.apply(&mut batch);
        }
        let mut committed = Progress {
            games: batch.games.len() as u64,
            steps: batch.steps.len() as u64,
            tokens: batch.tokens.len() as u64,
            bytes: 0,
        };
        let receipt = lake.append_missing(batch)?;
        committed.bytes = receipt.bytes;
        // Where all games of a batch are left out, so is the run.
        is_known |= receipt.games > 0;
        summary.left_out += receipt.left_out as u64;
        summary.committed.games += committed.games;
        summary.committed.steps += committed.steps;
        summary.committed.tokens += committed.tokens;
        summary.committed.bytes += committed.bytes;
        progress(committed);
    }
    Ok(summary)
}
