//! What an npz says of the rows of its matrix.

use super::ExchangeError;
use super::import_arrays::Arrays;

/// The rows, one vector a column. All but the first two may be missing.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct MatrixRows {
    pub(super) games: Vec<i64>,
    pub(super) rounds: Vec<i64>,
    pub(super) balances: Option<Vec<f64>>,
    pub(super) is_valid: Option<Vec<bool>>,
    pub(super) is_last: Option<Vec<bool>>,
    pub(super) outcomes: Option<Vec<String>>,
    pub(super) bet_types: Option<Vec<String>>,
    pub(super) conditions: Option<Vec<String>>,
    pub(super) constraints: Option<Vec<String>>,
    pub(super) tasks: Option<Vec<String>>,
}

impl MatrixRows {
    /// Reads them, and the number of columns of the matrix.
    pub(super) fn read(arrays: &mut Arrays) -> Result<(Self, i32), ExchangeError> {
        if arrays.has("positions") {
            return Err(
                arrays.wrong("positions", "says that a row is a token: only rows of decisions are imported")
            );
        }
        let shape = arrays.integers("shape")?.ok_or_else(|| arrays.wrong("shape", "is missing"))?;
        let [n_rows, n_columns] = shape[..] else {
            return Err(arrays.wrong("shape", format!("is {shape:?}, and a matrix has two sides")));
        };
        let width = i32::try_from(n_columns).ok().filter(|width| *width > 0);
        let width = width.ok_or_else(|| arrays.wrong("shape", format!("has {n_columns} columns")))?;
        let games = arrays.integers("game_ids")?.ok_or_else(|| arrays.wrong("game_ids", "is missing"))?;
        let rounds =
            arrays.integers("round_nums")?.ok_or_else(|| arrays.wrong("round_nums", "is missing"))?;
        let rows = Self {
            games,
            rounds,
            balances: arrays.floats("balances")?,
            is_valid: arrays.flags("valid_mask")?,
            is_last: arrays.flags("is_last_round")?,
            outcomes: arrays.texts("game_outcomes")?,
            bet_types: arrays.texts("bet_types")?,
            conditions: arrays.texts("prompt_conditions")?,
            constraints: arrays.texts("bet_constraints")?,
            tasks: arrays.texts("paradigms")?,
        };
        for (name, len) in rows.lengths() {
            if len as i64 != n_rows {
                return Err(arrays.wrong(name, format!("has {len} values, and the matrix {n_rows} rows")));
            }
        }
        rows.check(arrays)?;
        Ok((rows, width))
    }

    fn lengths(&self) -> Vec<(&'static str, usize)> {
        let of = |name, column: &Option<Vec<String>>| column.as_ref().map(|cells| (name, cells.len()));
        let mut lengths = vec![("game_ids", self.games.len()), ("round_nums", self.rounds.len())];
        lengths.extend(self.balances.as_ref().map(|cells| ("balances", cells.len())));
        lengths.extend(self.is_valid.as_ref().map(|cells| ("valid_mask", cells.len())));
        lengths.extend(self.is_last.as_ref().map(|cells| ("is_last_round", cells.len())));
        lengths.extend(of("game_outcomes", &self.outcomes));
        lengths.extend(of("bet_types", &self.bet_types));
        lengths.extend(of("prompt_conditions", &self.conditions));
        lengths.extend(of("bet_constraints", &self.constraints));
        lengths.extend(of("paradigms", &self.tasks));
        lengths
    }

    /// The rows of a game lie together, and its rounds ascend.
    fn check(&self, arrays: &Arrays) -> Result<(), ExchangeError> {
        let mut seen = std::collections::BTreeSet::new();
        for row in 0..self.games.len() {
            let is_new = row == 0 || self.games[row - 1] != self.games[row];
            if is_new && !seen.insert(self.games[row]) {
                let game = self.games[row];
                return Err(arrays
                    .wrong("game_ids", format!("has rows of game {game} in two places, row {row} again")));
            }
            if !is_new && self.rounds[row - 1] >= self.rounds[row] {
                let (before, after) = (self.rounds[row - 1], self.rounds[row]);
                return Err(
                    arrays.wrong("round_nums", format!("has {after} after {before} in one game, row {row}"))
                );
            }
        }
        Ok(())
    }

    /// Whether something was found of a row.
    pub(super) fn is_valid(&self, row: usize) -> bool {
        self.is_valid.as_ref().is_none_or(|valid| valid[row])
    }

    /// The rows of each game.
    pub(super) fn of_games(&self) -> Vec<std::ops::Range<usize>> {
        let mut start = 0;
        let runs = self.games.chunk_by(|one, next| one == next).map(|rows| {
            let range = start..start + rows.len();
            start = range.end;
            range
        });
        runs.collect::<Vec<_>>()
    }
}
