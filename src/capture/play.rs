//! Plays slot-machine games: the model decides, the machine spins, every decision is a step.

use schemas::games;

use super::engine::Engine;
use super::episode::{Episode, failed_step};
use super::prepare::{Prepared, prepare};
use super::prompts::first_tokens;
use super::token_budget::groups;
use crate::error::Error;
use crate::game::{Decide, Form, Options, Outcome, Rules, SlotMachine, Stream};
use crate::tokens::Tokenizer;

/// Plays the games `indices` of `seed` side by side. `None` if `stopped` said so before they were over.
pub(crate) fn play(
    engine: &dyn Engine,
    tokenizer: &Tokenizer,
    rules: Rules,
    seed: u64,
    indices: &[u64],
    stopped: &dyn Fn() -> bool,
) -> Result<Option<Vec<Episode>>, Error> {
    let options = first_tokens(tokenizer, Options::BET, Options::STOP)?;
    let table = Table { engine, tokenizer, rules, options };
    let mut seats =
        indices.iter().map(|index| Seat::new(rules, seed, *index)).collect::<Result<Vec<_>, _>>()?;
    loop {
        let ready = table.deal(&mut seats);
        if ready.is_empty() {
            return Ok(Some(seats.into_iter().map(Seat::leave).collect()));
        }
        if engine.settings().decide == Decide::Generate {
            if stopped() {
                return Ok(None);
            }
            table.answer(&ready, &mut seats)?;
            continue;
        }
        // A pass is taken in while the next one runs.
        let mut under_way = None;
        for group in groups(&ready, |(_, step)| step.tokens().len(), engine.settings().batch_tokens) {
            if stopped() {
                return Ok(None);
            }
            if let Some((group, pass)) = under_way.replace((group, table.begin(group)?)) {
                table.choose(group, pass, &mut seats)?;
            }
        }
        if let Some((group, pass)) = under_way {
            table.choose(group, pass, &mut seats)?;
        }
    }
}

/// Where games are played.
pub(super) struct Table<'a> {
    pub(super) engine: &'a dyn Engine,
    pub(super) tokenizer: &'a Tokenizer,
    pub(super) rules: Rules,
    /// The ids of the first tokens of the bet and of the stop.
    pub(super) options: [u32; 2],
}

/// A prompt of the game in the seat of that number.
pub(super) type Dealt = (usize, Prepared);

/// One game under way.
pub(super) struct Seat {
    pub(super) machine: SlotMachine,
    /// What the model's decisions are drawn from.
    pub(super) draws: Stream,
    pub(super) episode: Episode,
    /// How the game ended, if not by its rules.
    pub(super) broken_off: Option<&'static str>,
}

impl Table<'_> {
    /// The next prompt of every game that goes on. A game whose prompt cannot run ends in an error.
    fn deal(&self, seats: &mut [Seat]) -> Vec<Dealt> {
        let form = if self.tokenizer.has_template() { Form::Chat } else { Form::Text };
        let context = self.engine.config().context;
        let mut dealt = Vec::new();
        for (index, seat) in seats.iter_mut().enumerate().filter(|(_, seat)| seat.broken_off.is_none()) {
            let Some(prompt) = seat.machine.prompt(form, self.engine.settings().decide) else { continue };
            let place = (seat.machine.key(), seat.episode.game.n_steps);
            match prepare(place, &prompt, self.tokenizer, context) {
                Ok(step) => dealt.push((index, step)),
                Err(error) => seat.fail(&error),
            }
        }
        dealt
    }
}

impl Seat {
    fn new(rules: Rules, seed: u64, index: u64) -> Result<Self, Error> {
        let machine = SlotMachine::new(rules, seed, index)?;
        let draws = Stream::sampling(seed, machine.key());
        let game = games::Row {
            game: machine.key(),
            game_id: machine.id().to_owned(),
            game_block: 0,
            run: String::new(),
            source: "slot-machine".to_owned(),
            n_steps: 0,
            outcome: None,
            final_balance: None,
            bet_type: Some(rules.bet_type.to_string()),
            components: Some(rules.components.to_string()),
            metadata: None,
        };
        Ok(Self { machine, draws, episode: Episode::new(game), broken_off: None })
    }

    /// Ends the game with a step that says why it could not run.
    pub(super) fn fail(&mut self, error: &Error) {
        let place = (self.machine.key(), self.episode.game.n_steps);
        self.episode.decided(failed_step(place, Some(self.machine.balance()), error.to_string()));
        self.broken_off = Some("error");
    }

    fn leave(mut self) -> Episode {
        let outcome = self.machine.outcome().map(Outcome::as_str);
        self.episode.game.outcome = self.broken_off.or(outcome).map(str::to_owned);
        self.episode.game.final_balance = Some(self.machine.balance());
        self.episode
    }
}
