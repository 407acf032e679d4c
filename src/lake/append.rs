//! Appending a batch of games: check, stage, move, commit.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::path::PathBuf;

use arrow::array::RecordBatch;
use rayon::prelude::*;
use schemas::{Table, dictionaries};

use super::batch::{Batch, Frame};
use super::contents::Contents;
use super::layout::{FileName, Folders, GAMES_PER_BLOCK, LOCK, STAGING};
use super::log::sync_folder;
use super::{BatchError, Lake, LakeError, file, validate};

/// What a batch added to the lake.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Receipt {
    /// Games.
    pub games: usize,
    /// Rows of all tables.
    pub rows: u64,
    /// Bytes of all files.
    pub bytes: u64,
}

/// How far an append has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Every file is written in the staging folder.
    Staged,
    /// A file of this table is in its place, and does not count yet.
    Moved(&'static str),
    /// This table's files are in its log. With `games`, the last one, the batch is in the lake.
    Committed(&'static str),
}

/// A file between the staging folder and its place.
struct Part {
    table: &'static Table,
    folders: Folders,
    /// Relative to the table's folder.
    path: String,
    staged: PathBuf,
    rows: usize,
}

impl Lake {
    /// Appends whole games. When it returns, they are on disk and in every table.
    ///
    /// Waits while another process appends to the same lake.
    ///
    /// # Errors
    /// If the batch is not in order, if one of its games is in the lake, if its run does not suit the
    /// lake, or if something cannot be written. Then the lake has the games it had before; only if the
    /// disk fails at the last sync, after `games` is committed, it has the new ones too.
    pub fn append(&mut self, batch: Batch) -> Result<Receipt, LakeError> {
        self.append_watched(batch, &mut |_| ())
    }

    /// Appends whole games and says how far it is.
    ///
    /// # Errors
    /// As [`Lake::append`].
    pub fn append_watched(
        &mut self,
        batch: Batch,
        watch: &mut dyn FnMut(Stage),
    ) -> Result<Receipt, LakeError> {
        self.check_format()?;
        let lock = self.open_lock()?;
        lock.lock().map_err(|error| LakeError::io(&self.root, error))?;
        self.refresh()?;
        self.check_format()?;
        self.repair()?;
        for log in &self.logs {
            self.runtime.block_on(log.checkpoint_if_due())?;
        }
        let written = self.write(batch, watch);
        if written.is_err() {
            // The first error is what matters. If clearing away fails as well, the next append does it.
            let _ = self.refresh().and_then(|()| self.repair());
        }
        drop(lock);
        written
    }

    /// The file whose lock keeps other writers off, until it is closed or its process dies.
    pub(super) fn open_lock(&self) -> Result<File, LakeError> {
        let folder = self.root.join(STAGING);
        fs::create_dir_all(&folder).map_err(|error| LakeError::io(&folder, error))?;
        let path = folder.join(LOCK);
        File::create(&path).map_err(|error| LakeError::io(&path, error))
    }

    fn write(&mut self, batch: Batch, watch: &mut dyn FnMut(Stage)) -> Result<Receipt, LakeError> {
        if batch.games.is_empty() {
            return Ok(Receipt::default());
        }
        let mut batch = batch;
        batch.round(self.activation_bits(&batch));
        batch.roll_up();
        let run = self.admit(&mut batch)?;
        let blocks = self.assign_blocks(&mut batch);
        let contents = self.contents_with(&batch);
        let games = batch.games.len();
        let frames = batch.into_frames()?;
        validate::validate(&frames)?;
        // Until the end, what is on disk is ahead of what `self` says.
        self.is_current = false;
        let parts = self.stage(frames, &run, &blocks)?;
        watch(Stage::Staged);
        let bytes = self.put_in_place(&parts, watch)?;
        for log in &mut self.logs {
            let of_table = parts.iter().filter(|part| part.table.name == log.table.name);
            let files: Vec<(String, Folders)> =
                of_table.map(|part| (part.path.clone(), part.folders)).collect();
            if !files.is_empty() {
                self.runtime.block_on(log.add(&files))?;
                watch(Stage::Committed(log.table.name));
            }
        }
        self.contents = contents;
        self.is_current = true;
        Ok(Receipt { games, rows: parts.iter().map(|part| part.rows as u64).sum(), bytes })
    }

    /// Checks the batch's games and run against the lake, and drops what the lake has already of the run.
    fn admit(&self, batch: &mut Batch) -> Result<String, LakeError> {
        for (game, game_id) in batch.games.game.iter().zip(&batch.games.game_id) {
            if self.has_game(*game) {
                return Err(LakeError::GameExists { game: *game, game_id: game_id.clone() });
            }
        }
        let run = one_run(batch)?;
        match &batch.run {
            Some(row) => self.check_compatible(row, &batch.dictionaries)?,
            None if self.contents.has_run(&run) => self.check_dictionaries(&batch.dictionaries)?,
            None => return Err(BatchError::UnknownRun { run }.into()),
        }
        if self.contents.has_run(&run) {
            batch.run = None;
        }
        let known: BTreeSet<i32> = self.dictionaries().iter().map(|dictionary| dictionary.layer).collect();
        batch.dictionaries.retain(|dictionary| !known.contains(&dictionary.layer));
        let has_dictionary = |layer: &i32| {
            known.contains(layer) || batch.dictionaries.iter().any(|dictionary| dictionary.layer == *layer)
        };
        match batch.feature_layers().iter().find(|layer| !has_dictionary(layer)) {
            Some(layer) => Err(BatchError::NoDictionary { layer: *layer }.into()),
            None => Ok(run),
        }
    }

    /// Numbers the new games after those in the lake, in the order of the batch.
    fn assign_blocks(&self, batch: &mut Batch) -> BTreeMap<i64, i32> {
        let first = self.n_games();
        let block = |index: usize| ((first + index) / GAMES_PER_BLOCK) as i32;
        batch.games.game_block = (0..batch.games.len()).map(block).collect();
        batch.games.game.iter().copied().zip(batch.games.game_block.iter().copied()).collect()
    }

    /// What the lake will hold after the batch.
    fn contents_with(&self, batch: &Batch) -> Contents {
        let mut games = self.contents.games.clone();
        games.extend(batch.games.game.iter().copied().zip(batch.games.run.iter().cloned()));
        let runs = self.runs().iter().chain(&batch.run).cloned().collect();
        let dictionaries: Vec<dictionaries::Row> =
            self.dictionaries().iter().chain(&batch.dictionaries).cloned().collect();
        Contents::of(games, runs, dictionaries)
    }

    /// Writes every file into the staging folder, several at a time.
    fn stage(
        &self,
        frames: Vec<Frame>,
        run: &str,
        blocks: &BTreeMap<i64, i32>,
    ) -> Result<Vec<Part>, LakeError> {
        let mut files: Vec<(Part, Vec<RecordBatch>)> = Vec::new();
        for frame in frames {
            let name = frame.table.name;
            let split =
                frame.split(blocks).map_err(|error| LakeError::parquet(name.as_ref(), error.into()))?;
            for frame in split {
                let same = |part: &Part| part.table.name == name && part.folders == frame.folders;
                match files.iter_mut().find(|(part, _)| same(part)) {
                    Some((part, rows)) => {
                        part.rows += frame.rows.num_rows();
                        rows.push(frame.rows);
                    }
                    None => files.push((self.part(&frame, run, blocks), vec![frame.rows])),
                }
            }
        }
        // The rows go where they were written: to give back gigabytes takes a while too.
        let write = |(part, rows): (Part, Vec<RecordBatch>)| {
            file::write(part.table, &rows, &part.staged)?;
            Ok(part)
        };
        files.into_par_iter().map(write).collect()
    }

    /// Where a frame goes. The games in its name are those of the batch in its block, with or without rows
    /// in this table, so that a batch has the same name everywhere.
    fn part(&self, frame: &Frame, run: &str, blocks: &BTreeMap<i64, i32>) -> Part {
        let block = frame.folders.game_block;
        let in_block = blocks.iter().filter(|(_, of_game)| block.is_none_or(|block| **of_game == block));
        let mut keys = in_block.map(|(game, _)| *game);
        let first = keys.next();
        let last = keys.next_back().or(first);
        let name = FileName { run: run.to_owned(), games: frame.games().and(first.zip(last)) }.to_string();
        let path = frame.folders.path().join(&name).to_string_lossy().into_owned();
        let staged = format!("{}-{}", frame.table.name, path.replace('/', "-"));
        Part {
            table: frame.table,
            folders: frame.folders,
            path,
            staged: self.root.join(STAGING).join(staged),
            rows: frame.rows.num_rows(),
        }
    }

    /// Moves the files into the tables' folders and reads their footers; the bytes of all.
    fn put_in_place(&self, parts: &[Part], watch: &mut dyn FnMut(Stage)) -> Result<u64, LakeError> {
        let mut bytes = 0;
        let mut folders = BTreeSet::from([self.root.join(STAGING)]);
        for part in parts {
            let table = self.root.join(part.table.name);
            let place = table.join(&part.path);
            let folder = table.join(part.folders.path());
            fs::create_dir_all(&folder).map_err(|error| LakeError::io(&folder, error))?;
            fs::rename(&part.staged, &place).map_err(|error| LakeError::io(&place, error))?;
            let found = file::footer(&place)?.file_metadata().num_rows() as usize;
            if found != part.rows {
                return Err(LakeError::RowsLost { path: place, written: part.rows, found });
            }
            bytes += fs::metadata(&place).map_err(|error| LakeError::io(&place, error))?.len();
            folders
                .extend(folder.ancestors().take_while(|above| above.starts_with(&table)).map(PathBuf::from));
            watch(Stage::Moved(part.table.name));
        }
        folders.iter().try_for_each(|folder| sync_folder(folder))?;
        Ok(bytes)
    }
}

/// The run that everything in the batch belongs to.
fn one_run(batch: &Batch) -> Result<String, BatchError> {
    let of_run = batch.run.iter().map(|run| &run.run);
    let of_dictionaries = batch.dictionaries.iter().map(|dictionary| &dictionary.run);
    let runs: BTreeSet<&String> = of_run.chain(of_dictionaries).chain(&batch.games.run).collect();
    let mut runs = runs.into_iter().cloned();
    match (runs.next(), runs.next()) {
        (Some(first), Some(second)) => Err(BatchError::SeveralRuns { first, second }),
        (first, _) => Ok(first.unwrap_or_default()),
    }
}
