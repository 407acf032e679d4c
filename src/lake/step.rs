//! One step of a lake: its row, its tokens, its spans.

use schemas::{Table, Values, spans, steps, tokens};

use super::layout::FileName;
use super::{Lake, LakeError};

/// What the small tables have of one step.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// Its row of `steps`.
    pub row: steps::Row,
    /// Its tokens, by position.
    pub tokens: Vec<tokens::Row>,
    /// Its spans, by position.
    pub spans: Vec<spans::Row>,
}

impl Lake {
    /// A step of a game; `None` if there is none.
    ///
    /// # Errors
    /// If a file cannot be read.
    pub fn step(&self, game: i64, step: i32) -> Result<Option<Step>, LakeError> {
        if !self.has_game(game) {
            return Ok(None);
        }
        let mut rows = Vec::new();
        self.each_file_of(&steps::TABLE, game, |values| {
            rows.extend(steps::Rows::from_values(values).unwrap_or_default().into_rows());
        })?;
        let Some(row) = rows.into_iter().find(|row| (row.game, row.step) == (game, step)) else {
            return Ok(None);
        };
        let (mut tokens, mut spans) = (Vec::new(), Vec::new());
        self.each_file_of(&tokens::TABLE, game, |values| {
            tokens.extend(tokens::Rows::from_values(values).unwrap_or_default().into_rows());
        })?;
        self.each_file_of(&spans::TABLE, game, |values| {
            spans.extend(spans::Rows::from_values(values).unwrap_or_default().into_rows());
        })?;
        tokens.retain(|row| (row.game, row.step) == (game, step));
        tokens.sort_by_key(|row| row.position);
        spans.retain(|row| (row.game, row.step) == (game, step));
        spans.sort_by_key(|row| row.position_start);
        Ok(Some(Step { row, tokens, spans }))
    }

    /// The numbers of the steps of a game, ascending.
    ///
    /// # Errors
    /// If a file cannot be read.
    pub fn steps_of(&self, game: i64) -> Result<Vec<i32>, LakeError> {
        let mut found = Vec::new();
        self.each_file_of(&steps::TABLE, game, |values| {
            let rows = steps::Rows::from_values(values).unwrap_or_default();
            found
                .extend(rows.game.iter().zip(rows.step).filter(|(of, _)| **of == game).map(|(_, step)| step));
        })?;
        found.sort_unstable();
        Ok(found)
    }

    /// Reads the files that may hold rows of a game, by their names.
    fn each_file_of(
        &self,
        table: &Table,
        game: i64,
        mut take: impl FnMut(Vec<Values>),
    ) -> Result<(), LakeError> {
        for file in self.files(table)? {
            let name = file.path.rsplit('/').next().and_then(FileName::parse);
            let games = name.and_then(|name| name.games);
            if games.is_none_or(|(first, last)| first <= game && game <= last) {
                take(self.read(table, &file)?);
            }
        }
        Ok(())
    }
}
