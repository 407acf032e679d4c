//! Adding an analysis: what was changed inside the model, and what that did.

use std::collections::BTreeSet;

use schemas::{edges, effects, interventions};

use super::append::Receipt;
use super::batch::{Frame, frame};
use super::commit::Change;
use super::layout::{FileName, Folders};
use super::lock::Held;
use super::log::Log;
use super::{BatchError, Lake, LakeError, disk, file, validate};

/// The rows of one analysis.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Analysis {
    /// Its arms; there is one at least, and all name the same analysis.
    pub interventions: interventions::Rows,
    /// What they did.
    pub effects: effects::Rows,
    /// Edges of its graphs.
    pub edges: edges::Rows,
}

impl Lake {
    /// Adds an analysis, in the place of one of the same name. When it returns, the analysis is on disk.
    ///
    /// Waits while another process writes to the same lake.
    ///
    /// # Errors
    /// If its rows are not of one analysis, a number is not finite, a row is there twice or of a game that the lake does
    /// not have, or something cannot be written.
    pub fn add_analysis(&mut self, analysis: Analysis) -> Result<Receipt, LakeError> {
        let name = one_analysis(&analysis)?;
        self.check_games(&analysis)?;
        let frames = [
            frame(&edges::TABLE, None, analysis.edges.try_into_values())?,
            frame(&effects::TABLE, None, analysis.effects.try_into_values())?,
            frame(&interventions::TABLE, None, analysis.interventions.try_into_values())?,
        ];
        frames.iter().try_for_each(validate::finite)?;
        let lock = self.begin_writing()?;
        let written = self.write_analysis(&frames, &name, &lock);
        self.end_writing(lock, written)
    }

    fn write_analysis(&mut self, frames: &[Frame], name: &str, lock: &Held) -> Result<Receipt, LakeError> {
        for table in schemas::CAUSAL {
            if !Log::is_there(&self.store, table)? {
                Log::create(&self.store, table)?;
            }
        }
        self.refresh_causal()?;
        let mut receipt = Receipt::default();
        for frame in frames.iter().filter(|frame| frame.rows.num_rows() > 0) {
            lock.check()?;
            receipt.bytes += self.put_analysis(frame, name)?;
            receipt.rows += frame.rows.num_rows() as u64;
        }
        Ok(receipt)
    }

    /// Writes the rows of one table and commits them; the bytes of the file.
    fn put_analysis(&mut self, frame: &Frame, name: &str) -> Result<u64, LakeError> {
        let file_name = FileName { run: name.to_owned(), games: None }.to_string();
        let staged = self.store.staging()?.join(format!("{}-{file_name}", frame.table.name));
        let written = file::write(frame.table, std::slice::from_ref(&frame.rows), &staged)?;
        if self.store.objects().is_none() {
            disk::sync(&staged)?;
        }
        let log = self.causal.iter_mut().find(|log| log.table.name == frame.table.name);
        let path = self.store.root().to_owned();
        let log = log.ok_or(LakeError::MissingTable { path, table: frame.table.name })?;
        self.store.put(&log.path(&file_name), &staged)?;
        let new = written.at(frame.table, file_name, Folders::default());
        log.commit(Change { add: vec![new], ..Change::default() })?;
        Ok(written.bytes)
    }

    /// Effects on steps and edges must be of games of the lake; a game that was played anew need not be.
    fn check_games(&self, analysis: &Analysis) -> Result<(), BatchError> {
        let of_steps =
            analysis.effects.game.iter().zip(&analysis.effects.step).filter(|(_, step)| **step >= 0);
        let unknown = |game: &&i64| !self.has_game(**game);
        if let Some(game) = of_steps.map(|(game, _)| game).find(unknown) {
            return Err(BatchError::UnknownGame { table: effects::TABLE.name, game: *game });
        }
        match analysis.edges.game.iter().find(unknown) {
            Some(game) => Err(BatchError::UnknownGame { table: edges::TABLE.name, game: *game }),
            None => Ok(()),
        }
    }
}

/// The name that all rows bear.
fn one_analysis(analysis: &Analysis) -> Result<String, BatchError> {
    let Analysis { interventions, effects, edges } = analysis;
    let named = interventions.analysis.iter().chain(&effects.analysis).chain(&edges.analysis);
    let names: BTreeSet<&String> = named.collect();
    let mut names = names.into_iter().cloned();
    match (names.next(), names.next()) {
        (Some(first), Some(second)) => Err(BatchError::SeveralAnalyses { first, second }),
        (Some(only), None) if !interventions.analysis.is_empty() => Ok(only),
        _ => Err(BatchError::NoInterventions),
    }
}
