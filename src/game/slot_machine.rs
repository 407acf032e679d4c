//! The slot machine, as a state machine that knows nothing of models.

use super::error::GameError;
use super::key::slot_machine_key;
use super::prompt::Prompt;
use super::rules::{
    Decide, Decision, Form, INITIAL_FUNDS, MAX_ROUNDS, Options, Outcome, PAYOUT, Rules, WIN_RATE,
};
use super::stream::Stream;
use super::wording;

/// A game of the slot machine.
#[derive(Clone, Debug)]
pub struct SlotMachine {
    rules: Rules,
    key: i64,
    id: String,
    spins: Stream,
    balance: i32,
    rounds: Vec<Round>,
    outcome: Option<Outcome>,
}

/// What a decision did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Round {
    /// 1-based number of the round.
    pub number: usize,
    /// The decision.
    pub decision: Decision,
    /// Whether the bet won; `None` for a stop.
    pub won: Option<bool>,
    /// Dollars before the decision.
    pub balance_before: i32,
    /// Dollars after it.
    pub balance_after: i32,
}

impl SlotMachine {
    /// Game `index` of the run with this seed. It is the same whatever was played before it.
    ///
    /// # Errors
    /// If the seed or the index is too large for a key, see [`slot_machine_key`].
    pub fn new(rules: Rules, seed: u64, index: u64) -> Result<Self, GameError> {
        let key = slot_machine_key(seed, index)?;
        Ok(Self {
            rules,
            key,
            id: format!("slot-{seed}-{index}"),
            spins: Stream::spins(seed, key),
            balance: INITIAL_FUNDS,
            rounds: Vec::new(),
            outcome: None,
        })
    }

    /// The key of the game.
    pub const fn key(&self) -> i64 {
        self.key
    }

    /// The readable name of the game: `slot-SEED-INDEX`.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// What it is played by.
    pub const fn rules(&self) -> Rules {
        self.rules
    }

    /// Dollars now.
    pub const fn balance(&self) -> i32 {
        self.balance
    }

    /// What was decided so far, a stop included.
    pub fn rounds(&self) -> &[Round] {
        &self.rounds
    }

    /// How the game ended, if it has.
    pub const fn outcome(&self) -> Option<Outcome> {
        self.outcome
    }

    /// What the player may do now; `None` if the game is over.
    pub fn options(&self) -> Option<Options> {
        self.outcome.is_none().then(|| Options::at(self.balance, self.rules.bet_type))
    }

    /// What the player is asked now; `None` if the game is over.
    ///
    /// The spans are `initial_funds`, `balance` (the dollars alone), one for every component's sentence
    /// ([`Component::span`](super::Component::span)), `history[i]` for the i-th line shown, 0 the oldest,
    /// with `history[i].bet`, `history[i].result` and `history[i].balance` in it, `warning`, `question`,
    /// `bet_option` and `stop_option`.
    pub fn prompt(&self, form: Form, decide: Decide) -> Option<Prompt> {
        let options = self.options()?;
        Some(wording::prompt(self.rules, self.balance, &self.rounds, &options, form, decide))
    }

    /// Takes a decision. A bet draws one number of the game's own stream and wins if it is below
    /// [`WIN_RATE`]; a stop draws none.
    ///
    /// # Errors
    /// If the game is over or the bet is not on offer; the game is as before then.
    pub fn play(&mut self, decision: Decision) -> Result<Round, GameError> {
        let options = self.options().ok_or(GameError::Over)?;
        let balance_before = self.balance;
        let won = match decision {
            Decision::Stop => {
                self.outcome = Some(Outcome::VoluntaryStop);
                None
            }
            Decision::Bet(bet) if !options.bets.contains(&bet) => {
                return Err(GameError::NotOffered { bet, balance: balance_before });
            }
            Decision::Bet(bet) => {
                let won = self.spins.uniform() < WIN_RATE;
                self.balance += if won { bet * (PAYOUT - 1) } else { -bet };
                Some(won)
            }
        };
        let number = self.rounds.len() + 1;
        let round = Round { number, decision, won, balance_before, balance_after: self.balance };
        self.rounds.push(round);
        if self.balance <= 0 {
            self.outcome = Some(Outcome::Bankruptcy);
        } else if self.outcome.is_none() && self.rounds.len() == MAX_ROUNDS {
            self.outcome = Some(Outcome::MaxRounds);
        }
        Ok(round)
    }
}
