//! What is known of the rows of a matrix, step by step.

use schemas::{games, steps};

use super::ExchangeError;
use super::npz::Archive;

/// Texts of which few are different.
#[derive(Default)]
struct Words(Vec<String>);

impl Words {
    fn number(&mut self, word: &str) -> usize {
        self.0.iter().position(|known| known == word).unwrap_or_else(|| {
            self.0.push(word.to_owned());
            self.0.len() - 1
        })
    }

    fn width(&self) -> usize {
        self.0.iter().map(|word| word.chars().count()).max().unwrap_or(0)
    }
}

/// A step and how many rows it has.
struct OfStep {
    n_rows: u64,
    game: i64,
    step: i32,
    balance: f64,
    is_last: bool,
    is_valid: bool,
    /// Outcome, bet type, components, task.
    words: [usize; 4],
}

/// The rows of all steps.
#[derive(Default)]
pub(super) struct Rows {
    steps: Vec<OfStep>,
    words: Words,
    /// How many rows there are.
    pub(super) total: u64,
}

impl Rows {
    /// Adds the rows of a step; the number of the first one.
    ///
    /// # Errors
    /// If the numbers do not fit 32 bits, which the arrays are made of.
    pub(super) fn add(
        &mut self,
        game: &games::Row,
        step: &steps::Row,
        n_rows: u64,
    ) -> Result<i32, ExchangeError> {
        let first = self.total;
        self.total += n_rows;
        if i32::try_from(self.total).is_err() {
            let what = format!("the {} rows up to game {}: its limit is {}", self.total, game.game, i32::MAX);
            return Err(ExchangeError::TooLarge { what });
        }
        let components =
            game.components.as_deref().map(|letters| if letters == "none" { "BASE" } else { letters });
        let task = if game.source == "slot-machine" { "sm" } else { game.source.as_str() };
        let words = [game.outcome.as_deref(), game.bet_type.as_deref(), components, Some(task)];
        self.steps.push(OfStep {
            n_rows,
            game: game.game,
            step: step.step,
            balance: step.balance_before.map_or(f64::NAN, f64::from),
            is_last: step.step + 1 == game.n_steps,
            is_valid: step.status != "error",
            words: words.map(|word| self.words.number(word.unwrap_or_default())),
        });
        Ok(first as i32)
    }

    /// Writes what is known of the rows under the incumbent's names.
    pub(super) fn write(&self, archive: &mut Archive) -> Result<(), ExchangeError> {
        let n = self.total;
        archive.vector("game_ids", n, self.each(|step| step.game))?;
        archive.vector("round_nums", n, self.each(|step| step.step + 1))?;
        archive.vector("balances", n, self.each(|step| step.balance))?;
        archive.vector("is_last_round", n, self.each(|step| step.is_last))?;
        archive.vector("valid_mask", n, self.each(|step| step.is_valid))?;
        let width = self.words.width();
        let names = ["game_outcomes", "bet_types", "prompt_conditions", "paradigms"];
        for (column, name) in names.into_iter().enumerate() {
            archive.texts(name, (n, width), self.each(|step| self.words.0[step.words[column]].as_str()))?;
        }
        // No game of ours bounds its bets; the incumbent writes this where a task does not either.
        archive.texts("bet_constraints", (n, 3), self.each(|_| "N/A"))
    }

    /// How many games there are.
    pub(super) fn n_games(&self) -> usize {
        self.steps.chunk_by(|one, next| one.game == next.game).count()
    }

    /// A value of every row.
    fn each<'a, T: Copy + 'a>(
        &'a self,
        value: impl Fn(&'a OfStep) -> T + 'a,
    ) -> impl Iterator<Item = T> + 'a {
        self.steps.iter().flat_map(move |step| std::iter::repeat_n(value(step), step.n_rows as usize))
    }
}
