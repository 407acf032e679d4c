//! Games of a lake from rows of matrices.
//!
//! A row is one decision, and nothing else of its prompt is known. Its step has two positions: the first stands for the
//! prompt and is special, so that statistics leave it out; the second is the decision and has the features.

use std::ops::Range;

use schemas::{features, games, positions, steps, tokens};
use serde_json::json;

use super::ExchangeError;
use super::import_layer::Values;
use super::import_rows::MatrixRows;
use crate::game::prompt_key;
use crate::lake::Batch;

/// The token id of positions of which no token is known.
const NO_TOKEN: i32 = -1;

/// The position of the decision.
const DECISION: i32 = 1;

/// What all imported games have in common.
pub(super) struct Common<'a> {
    /// Name of what was imported, which begins the names of its games.
    pub(super) name: &'a str,
    /// Id of the run.
    pub(super) run: &'a str,
}

impl Common<'_> {
    /// What a game of the matrix is called in the lake.
    pub(super) fn game_id(&self, game: i64) -> String {
        format!("{}#{game}", self.name)
    }

    /// Adds a game to a batch, with its rows of every layer.
    pub(super) fn add(
        &self,
        batch: &mut Batch,
        rows: &MatrixRows,
        of_game: Range<usize>,
        layers: &mut [Values<'_>],
    ) -> Result<(), ExchangeError> {
        let first = of_game.start;
        let game_id = self.game_id(rows.games[first]);
        let game = prompt_key(&game_id);
        let known = |column: &Option<Vec<String>>| {
            column.as_ref().map(|cells| cells[first].clone()).filter(|cell| !cell.is_empty())
        };
        let metadata = json!({
            "round_nums": rows.rounds[of_game.clone()],
            "bet_constraint": known(&rows.constraints),
            "paradigm": known(&rows.tasks),
        });
        batch.games.push(games::Row {
            game,
            game_id,
            game_block: 0,
            run: self.run.to_owned(),
            source: "npz".to_owned(),
            n_steps: of_game.len() as i32,
            outcome: known(&rows.outcomes),
            final_balance: None,
            bet_type: known(&rows.bet_types),
            components: known(&rows.conditions)
                .map(|name| if name == "BASE" { "none".to_owned() } else { name }),
            metadata: Some(metadata.to_string()),
        });
        for (step, row) in of_game.enumerate() {
            let is_valid = rows.is_valid(row);
            add_step(batch, (game, step as i32), rows.balances.as_ref().map(|cells| cells[row]), is_valid);
            for values in &mut *layers {
                let found = values.row(row as i32)?;
                if is_valid {
                    add_features(batch, (game, step as i32), values.layer, found);
                }
            }
        }
        Ok(())
    }
}

/// Adds a step and its two positions; one that failed has none.
fn add_step(batch: &mut Batch, (game, step): (i64, i32), balance: Option<f64>, is_valid: bool) {
    let n_tokens = if is_valid { DECISION + 1 } else { 0 };
    // A balance that is no whole number of dollars stays out.
    let whole = |balance: f64| {
        (balance.fract() == 0.0 && balance.abs() < f64::from(i32::MAX)).then_some(balance as i32)
    };
    batch.steps.push(steps::Row {
        game,
        step,
        n_tokens,
        n_prompt_tokens: n_tokens,
        decision_position: if is_valid { DECISION } else { 0 },
        decision: None,
        bet: None,
        won: None,
        balance_before: balance.and_then(whole),
        balance_after: None,
        p_bet: None,
        p_stop: None,
        option_mass: None,
        p_amount: None,
        amount_mass: None,
        logit_diff: None,
        answer: None,
        status: if is_valid { "ok" } else { "error" }.to_owned(),
        error: (!is_valid).then(|| "valid_mask is false".to_owned()),
    });
    for position in 0..n_tokens {
        batch.tokens.push(tokens::Row {
            game,
            step,
            position,
            token_id: NO_TOKEN,
            token: String::new(),
            byte_start: 0,
            byte_end: 0,
            is_special: position != DECISION,
            is_generated: false,
        });
    }
}

/// Adds the features of a decision in a layer.
fn add_features(batch: &mut Batch, (game, step): (i64, i32), layer: i32, mut found: Vec<(i32, f32)>) {
    // The strongest first; of equals the lower index, as a capture has it.
    found.sort_by(|one, other| other.1.total_cmp(&one.1).then(one.0.cmp(&other.0)));
    let of_layer = batch.features.entry(layer).or_default();
    let position = DECISION;
    for (rank, (feature, activation)) in (0..).zip(found.iter().copied()) {
        of_layer.push(features::Row { game, step, position, feature, activation, rank });
    }
    let squares: f64 = found.iter().map(|(_, activation)| f64::from(*activation).powi(2)).sum();
    batch.positions.entry(layer).or_default().push(positions::Row {
        game,
        step,
        position,
        l0: found.len() as i32,
        feature_norm: squares.sqrt() as f32,
        residual_norm: f32::NAN,
        reconstruction_error: f32::NAN,
        kept_share: 1.0,
    });
}
