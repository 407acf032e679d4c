//! A finished game: its rows of every table.

use schemas::{games, spans, steps, tokens};

use super::prepare::Prepared;
use crate::lake::{Batch, Captured};

/// The rows of one game.
#[derive(Clone, Debug)]
pub struct Episode {
    /// Its row of `games`.
    pub game: games::Row,
    /// Its rows of `steps`.
    pub steps: steps::Rows,
    /// Its rows of `tokens`.
    pub tokens: tokens::Rows,
    /// Its rows of `spans`.
    pub spans: spans::Rows,
    /// Its rows of the partitioned tables.
    pub captured: Captured,
}

impl Episode {
    /// A game without steps.
    pub(crate) fn new(game: games::Row) -> Self {
        Self {
            game,
            steps: steps::Rows::default(),
            tokens: tokens::Rows::default(),
            spans: spans::Rows::default(),
            captured: Captured::default(),
        }
    }

    /// Adds what was seen of a step; its row of `steps` is added apart.
    pub(crate) fn saw(&mut self, step: &Prepared, captured: Captured) {
        step.push_tokens(&mut self.tokens);
        step.push_spans(&mut self.spans);
        self.captured.append(captured);
    }

    /// Adds the step's row of `steps`.
    pub(crate) fn decided(&mut self, row: steps::Row) {
        self.game.n_steps += 1;
        self.steps.push(row);
    }

    /// Adds its rows to a batch for the lake.
    pub(crate) fn add_to(self, batch: &mut Batch) {
        batch.games.push(self.game);
        batch.steps.append(self.steps);
        batch.tokens.append(self.tokens);
        batch.spans.append(self.spans);
        batch.more.push(self.captured);
    }
}

/// The row of a step that could not run, which says why.
pub(crate) fn failed_step(place: (i64, i32), balance: Option<i32>, error: String) -> steps::Row {
    steps::Row { status: "error".to_owned(), error: Some(error), ..empty_step(place, balance) }
}

/// A step of which nothing is known yet but the balance.
pub(crate) fn empty_step((game, step): (i64, i32), balance: Option<i32>) -> steps::Row {
    steps::Row {
        game,
        step,
        n_tokens: 0,
        n_prompt_tokens: 0,
        decision_position: -1,
        decision: None,
        bet: None,
        won: None,
        balance_before: balance,
        balance_after: balance,
        p_bet: None,
        p_stop: None,
        option_mass: None,
        p_amount: None,
        amount_mass: None,
        logit_diff: None,
        answer: None,
        status: "ok".to_owned(),
        error: None,
    }
}
