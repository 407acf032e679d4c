//! Adding an analysis: what was changed inside the model, and what that did.

use std::collections::BTreeSet;
use std::fs;

use schemas::{edges, effects, interventions};

use super::append::Receipt;
use super::batch::{Frame, frame};
use super::layout::{FileName, Folders, STAGING};
use super::log::{Log, sync_folder};
use super::{BatchError, Lake, LakeError, file, validate};

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
        let lock = self.open_lock()?;
        lock.lock().map_err(|error| LakeError::io(&self.root, error))?;
        for table in schemas::CAUSAL {
            self.runtime.block_on(Log::create(&self.root, table))?;
        }
        self.causal = self.runtime.block_on(Log::open_causal(&self.root))?;
        for log in &self.causal {
            self.runtime.block_on(log.checkpoint_if_due())?;
        }
        let mut receipt = Receipt::default();
        for frame in frames.iter().filter(|frame| frame.rows.num_rows() > 0) {
            receipt.bytes += self.put_analysis(frame, &name)?;
            receipt.rows += frame.rows.num_rows() as u64;
        }
        drop(lock);
        Ok(receipt)
    }

    /// Writes the rows of one table and commits them; the bytes of the file.
    fn put_analysis(&mut self, frame: &Frame, name: &str) -> Result<u64, LakeError> {
        let file_name = FileName { run: name.to_owned(), games: None }.to_string();
        let folder = self.root.join(frame.table.name);
        let place = folder.join(&file_name);
        let staged = self.root.join(STAGING).join(format!("{}-{file_name}", frame.table.name));
        file::write(frame.table, std::slice::from_ref(&frame.rows), &staged)?;
        fs::rename(&staged, &place).map_err(|error| LakeError::io(&place, error))?;
        sync_folder(&folder)?;
        let (written, found) =
            (frame.rows.num_rows(), file::footer(&place)?.file_metadata().num_rows() as usize);
        if written != found {
            return Err(LakeError::RowsLost { path: place, written, found });
        }
        let log = self.causal.iter_mut().find(|log| log.table.name == frame.table.name);
        let missing = || LakeError::MissingTable { path: self.root.clone(), table: frame.table.name };
        let log = log.ok_or_else(missing)?;
        self.runtime.block_on(log.add(&[(file_name, Folders::default())]))?;
        Ok(fs::metadata(&place).map_err(|error| LakeError::io(&place, error))?.len())
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
