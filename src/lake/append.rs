//! Appending a batch of games: check, stage, move, commit.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::thread;

use arrow::array::RecordBatch;
use rayon::prelude::*;
use schemas::Table;

use super::at_once::at_once;
use super::batch::{Batch, Frame};
use super::commit::{Change, NewFile, Prepared};
use super::layout::{FileName, Folders, GAMES_PER_BLOCK};
use super::lock::Held;
use super::log::Log;
use super::{BatchError, Lake, LakeError, disk, file, validate};

/// How often an append is begun whose lock is lost. Whoever stands still for a lease five times is not up to it.
const MOST_TRIES: usize = 5;

/// What a batch added to the lake.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Receipt {
    /// Games.
    pub games: usize,
    /// Games of the batch that were in the lake by then.
    pub left_out: usize,
    /// Rows of all tables.
    pub rows: u64,
    /// Bytes of all files.
    pub bytes: u64,
}

/// How far an append has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Every file is written in the staging folder, read back and found to be what was given, and on the disk; so are the
    /// entries of the logs.
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
}

/// Whom an append tells how far it is. Where nobody listens, it does several things at a time.
struct Watch<'a>(Option<&'a mut dyn FnMut(Stage)>);

impl Watch<'_> {
    fn at(&mut self, stage: Stage) {
        if let Some(watch) = &mut self.0 {
            watch(stage);
        }
    }
}

impl Lake {
    /// Appends whole games. When it returns, they are on disk and in every table.
    ///
    /// Waits while another process appends to the same lake. A batch that is in the lake already, because an attempt to
    /// append it failed after its last commit, adds nothing.
    ///
    /// # Errors
    /// If the batch is not in order, if one of its games is in the lake by another batch, if its run does not suit the
    /// lake, if the writers' lock is lost, or if something cannot be written. Then the lake has the games it had before;
    /// only if the disk fails at the last sync, after `games` is committed, it has the new ones too.
    pub fn append(&mut self, batch: Batch) -> Result<Receipt, LakeError> {
        self.append_to(batch, Watch(None))
    }

    /// Appends the games of a batch that the lake lacks, and leaves out those that another process has added meanwhile. If
    /// the writers' lock of a lake in a bucket is lost on the way, it begins again, a few times at most.
    ///
    /// # Errors
    /// As [`Lake::append`], but for games that are in the lake.
    pub fn append_missing(&mut self, mut batch: Batch) -> Result<Receipt, LakeError> {
        let mut tries = 1;
        loop {
            // In a folder nobody loses the lock, so that nothing is kept for another try.
            let kept = (self.store.objects().is_some() && tries < MOST_TRIES).then(|| batch.clone());
            match (self.append_what_is_missing(batch), kept) {
                (Err(LakeError::LockLost { .. } | LakeError::Overtaken { .. }), Some(kept)) => batch = kept,
                (done, _) => return done,
            }
            tries += 1;
        }
    }

    fn append_what_is_missing(&mut self, mut batch: Batch) -> Result<Receipt, LakeError> {
        self.check_format()?;
        let lock = self.begin_writing()?;
        let left_out = batch.leave_out(|game| self.has_game(game));
        let written = self.write(batch, &lock, Watch(None));
        self.end_writing(lock, written).map(|receipt| Receipt { left_out, ..receipt })
    }

    /// Appends whole games and says how far it is, one thing after the other.
    ///
    /// # Errors
    /// As [`Lake::append`].
    pub fn append_watched(
        &mut self,
        batch: Batch,
        watch: &mut dyn FnMut(Stage),
    ) -> Result<Receipt, LakeError> {
        self.append_to(batch, Watch(Some(watch)))
    }

    fn append_to(&mut self, batch: Batch, watch: Watch<'_>) -> Result<Receipt, LakeError> {
        self.check_format()?;
        let lock = self.begin_writing()?;
        let written = self.write(batch, &lock, watch);
        self.end_writing(lock, written)
    }

    fn write(&mut self, mut batch: Batch, lock: &Held, mut watch: Watch<'_>) -> Result<Receipt, LakeError> {
        if batch.games.is_empty() || self.is_committed(&batch)? {
            return Ok(Receipt::default());
        }
        // Somebody may have made it another one meanwhile.
        self.check_format()?;
        batch.round(self.activation_bits(&batch));
        batch.roll_up();
        let run = self.admit(&mut batch)?;
        let transaction = transaction(&run, &batch.games.game);
        let blocks = self.assign_blocks(&mut batch);
        let games: Vec<(i64, String)> =
            batch.games.game.iter().copied().zip(batch.games.run.iter().cloned()).collect();
        let (own_run, own_dictionaries) = (batch.run.clone(), batch.dictionaries.clone());
        let frames = batch.into_frames()?;
        validate::validate(&frames)?;
        // Until the end, what is on disk is ahead of what `self` says.
        self.is_current = false;
        let (parts, entries) = self.stage(frames, &run, &blocks, &transaction)?;
        watch.at(Stage::Staged);
        self.put_in_place(&parts, lock, &mut watch)?;
        self.publish(entries, lock, &mut watch)?;
        let mut receipt = Receipt { games: games.len(), ..Receipt::default() };
        for (part, NewFile { file, .. }) in &parts {
            self.contents.remember(part.table, file);
            receipt.rows += file.rows;
            receipt.bytes += file.bytes;
        }
        self.contents.add(games, own_run.into_iter().collect(), own_dictionaries);
        self.is_current = true;
        self.checkpoint.begin(&self.logs);
        Ok(receipt)
    }

    /// Whether this very batch was committed before: its games are there, of its run, and so is its transaction.
    fn is_committed(&mut self, batch: &Batch) -> Result<bool, LakeError> {
        let games = &batch.games;
        let is_there = |(game, run): (&i64, &String)| self.contents.games.get(game) == Some(run);
        if !games.game.iter().zip(&games.run).all(is_there) {
            return Ok(false);
        }
        let transaction = transaction(&one_run(batch)?, &games.game);
        let log = self.logs.iter_mut().find(|log| log.table.name == schemas::games::TABLE.name);
        Ok(log.map(|log| log.transaction(&transaction)).transpose()?.flatten().is_some())
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

    /// Writes every file into the staging folder and reads it back, several at a time, and prepares the commits: one of
    /// every table, or none if it gets no rows.
    #[expect(
        clippy::type_complexity,
        reason = "the files with what their logs say of them, and those logs' entries"
    )]
    fn stage(
        &self,
        frames: Vec<Frame>,
        run: &str,
        blocks: &BTreeMap<i64, i32>,
        transaction: &str,
    ) -> Result<(Vec<(Part, NewFile)>, Vec<Option<Prepared>>), LakeError> {
        let files = self.files_of(frames, run, blocks)?;
        let is_local = self.store.objects().is_none();
        thread::scope(|scope| {
            // The rows go where they were written: to give back gigabytes takes a while too.
            let write = |(part, rows): (Part, Vec<RecordBatch>)| {
                let written = file::write(part.table, &rows, &part.staged)?;
                let staged = part.staged.clone();
                let synced = is_local.then(|| scope.spawn(move || disk::sync(&staged)));
                let new = written.at(part.table, part.path.clone(), part.folders);
                Ok(((part, new), synced))
            };
            let written: Vec<_> = files.into_par_iter().map(write).collect::<Result<_, LakeError>>()?;
            let (parts, syncs): (Vec<_>, Vec<_>) = written.into_iter().unzip();
            let entries = at_once(self.logs.iter().collect(), |log| entry(log, &parts, transaction))?;
            for sync in syncs.into_iter().flatten() {
                sync.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
            }
            Ok((parts, entries))
        })
    }

    /// The rows of every file.
    fn files_of(
        &self,
        frames: Vec<Frame>,
        run: &str,
        blocks: &BTreeMap<i64, i32>,
    ) -> Result<Vec<(Part, Vec<RecordBatch>)>, LakeError> {
        let staging = self.store.staging()?;
        let mut files: Vec<(Part, Vec<RecordBatch>)> = Vec::new();
        for frame in frames {
            let name = frame.table.name;
            let split =
                frame.split(blocks).map_err(|error| LakeError::parquet(name.as_ref(), error.into()))?;
            for frame in split {
                let same = |part: &Part| part.table.name == name && part.folders == frame.folders;
                if let Some((_, rows)) = files.iter_mut().find(|(part, _)| same(part)) {
                    rows.push(frame.rows);
                } else {
                    let mut part = part(&frame, run, blocks);
                    part.staged = staging.join(&part.staged);
                    files.push((part, vec![frame.rows]));
                }
            }
        }
        Ok(files)
    }

    /// Puts the files into the tables' folders.
    fn put_in_place(
        &self,
        parts: &[(Part, NewFile)],
        lock: &Held,
        watch: &mut Watch<'_>,
    ) -> Result<(), LakeError> {
        let put = |(part, _): &(Part, NewFile)| {
            lock.check()?;
            self.store.put_new(&format!("{}/{}", part.table.name, part.path), &part.staged)
        };
        let mut folders = BTreeSet::new();
        if watch.0.is_none() && self.store.objects().is_some() {
            at_once(parts.iter().collect(), put)?;
            return Ok(());
        }
        for part in parts {
            folders.extend(put(part)?);
            watch.at(Stage::Moved(part.0.table.name));
        }
        if !folders.is_empty() {
            folders.insert(self.store.staging()?);
        }
        at_once(folders.iter().collect(), |folder| disk::sync(folder)).map(drop)
    }

    /// Commits to every table, `games` last.
    fn publish(
        &mut self,
        entries: Vec<Option<Prepared>>,
        lock: &Held,
        watch: &mut Watch<'_>,
    ) -> Result<(), LakeError> {
        let mut commits: Vec<(&mut Log, Prepared)> =
            self.logs.iter_mut().zip(entries).filter_map(|(log, entry)| Some((log, entry?))).collect();
        let publish = |(log, entry): (&mut Log, Prepared)| {
            lock.check()?;
            log.publish(entry).map(|()| log.table.name)
        };
        let games = commits.pop();
        if watch.0.is_none() {
            at_once(std::mem::take(&mut commits), publish)?;
        }
        for commit in commits.into_iter().chain(games) {
            watch.at(Stage::Committed(publish(commit)?));
        }
        Ok(())
    }
}

/// The commit of a table's new files.
fn entry(log: &Log, parts: &[(Part, NewFile)], transaction: &str) -> Result<Option<Prepared>, LakeError> {
    let of_table = parts.iter().filter(|(part, _)| part.table.name == log.table.name);
    let add: Vec<NewFile> = of_table.map(|(_, new)| new.clone()).collect();
    if add.is_empty() {
        return Ok(None);
    }
    let transaction = Some((transaction.to_owned(), 1));
    log.prepare(Change { add, transaction, ..Change::default() }).map(Some)
}

/// What tells a batch from every other one.
fn transaction(run: &str, games: &[i64]) -> String {
    let bound = |game: Option<&i64>| game.copied().unwrap_or_default();
    format!("{run}-{:016x}-{:016x}", bound(games.iter().min()), bound(games.iter().max()))
}

/// Where a frame goes; the staging folder is not in its path yet. The games in its name are those of the batch in its
/// block, with or without rows in this table, so that a batch has the same name everywhere.
fn part(frame: &Frame, run: &str, blocks: &BTreeMap<i64, i32>) -> Part {
    let block = frame.folders.game_block;
    let in_block = blocks.iter().filter(|(_, of_game)| block.is_none_or(|block| **of_game == block));
    let mut keys = in_block.map(|(game, _)| *game);
    let first = keys.next();
    let last = keys.next_back().or(first);
    let name = FileName { run: run.to_owned(), games: frame.games().and(first.zip(last)) }.to_string();
    let path = frame.folders.path().join(&name).to_string_lossy().into_owned();
    let staged = format!("{}-{}", frame.table.name, path.replace('/', "-")).into();
    Part { table: frame.table, folders: frame.folders, path, staged }
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
