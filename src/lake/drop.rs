//! Taking games out of a lake.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use bytes::Bytes;
use parquet::file::metadata::ParquetMetaData;
use schemas::{games, prefixes};

use super::compact::{Rewriting, Watch, replace};
use super::compact_keep::of_games;
use super::compact_read::games_in;
use super::compact_rewrite::{Rewrite, Staged};
use super::contents::Contents;
use super::layout::{DROPPING, FileName};
use super::lock::Held;
use super::log::Log;
use super::verify_quarantine::Gone;
use super::{DataFile, Lake, LakeError, disk, drop_causal, drop_runs, file};

/// What was taken out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dropped {
    /// The games.
    pub games: Vec<i64>,
    /// Rows of all tables.
    pub rows: u64,
    /// Files that held them.
    pub files: u64,
}

impl Lake {
    /// The keys of games by their names.
    ///
    /// # Errors
    /// [`LakeError::NoSuchGame`] if there is none of a name; if `games` cannot be read.
    pub fn games_called(&self, names: &[String]) -> Result<Vec<i64>, LakeError> {
        let mut found: BTreeMap<String, i64> = BTreeMap::new();
        for file in self.log(&games::TABLE)?.files() {
            let rows = games::Rows::from_values(self.read(&games::TABLE, &file)?).unwrap_or_default();
            found.extend(rows.game_id.into_iter().zip(rows.game));
        }
        let key = |name: &String| {
            found.get(name).copied().ok_or_else(|| LakeError::NoSuchGame { game: format!("`{name}`") })
        };
        names.iter().map(key).collect()
    }

    /// Takes games out of `games`, and then their rows out of every table, causal ones included.
    ///
    /// Waits while another process writes to the lake. What was begun is finished by the next writer.
    ///
    /// # Errors
    /// [`LakeError::NoSuchGame`]; if a file cannot be read or written.
    pub fn drop_games(
        &mut self,
        games: &BTreeSet<i64>,
        watch: &mut dyn FnMut(Rewriting),
    ) -> Result<Dropped, LakeError> {
        let lock = self.begin_writing()?;
        let done = self.mark(games).and_then(|()| self.finish_drops(&lock, &Gone::Deleted, watch));
        self.end_writing(lock, done)
    }

    /// Writes down what is to be taken out, so that the next writer knows if this one does not finish.
    fn mark(&self, games: &BTreeSet<i64>) -> Result<(), LakeError> {
        if let Some(game) = games.iter().find(|game| !self.has_game(**game)) {
            return Err(LakeError::NoSuchGame { game: format!("with the key {game}") });
        }
        self.mark_anyway(games)
    }

    /// The same, of games that need not be in `games`.
    pub(super) fn mark_anyway(&self, games: &BTreeSet<i64>) -> Result<(), LakeError> {
        if let Some(folder) = self.store.local(DROPPING).filter(|_| !games.is_empty()) {
            fs::create_dir_all(&folder).map_err(|error| LakeError::io(&folder, error))?;
            disk::sync(self.store.root())?;
        }
        for game in games {
            let bytes = Bytes::from(format!("{game}\n"));
            self.store.create(&format!("{DROPPING}/{game:016x}"), &bytes, None)?;
        }
        Ok(())
    }

    /// Takes out what was written down to be.
    pub(super) fn finish_drops(
        &mut self,
        lock: &Held,
        gone: &Gone,
        watch: &mut Watch<'_>,
    ) -> Result<Dropped, LakeError> {
        let marks = self.store.list(DROPPING)?;
        let key = |path: &str| u64::from_str_radix(path.rsplit('/').next()?, 16).ok();
        let games: BTreeSet<i64> = marks.iter().filter_map(|mark| Some(key(&mark.path)? as i64)).collect();
        if games.is_empty() {
            return Ok(Dropped::default());
        }
        let mut done = Dropped { games: games.iter().copied().collect(), ..Dropped::default() };
        self.is_current = false;
        drop_runs::hand_on_dictionaries(self, &games, lock, gone, watch)?;
        // `games` is the last of them, and the first that loses a game.
        for log in self.logs.iter_mut().rev().filter(|log| log.table.column("game").is_some()) {
            drop_rows(log, &games, lock, gone, watch, &mut done)?;
        }
        for log in &mut self.causal {
            drop_causal::drop_rows(log, &games, lock, gone, watch, &mut done)?;
        }
        self.contents = Contents::read(&self.logs)?;
        drop_runs::drop_unused(self, lock, gone, watch)?;
        self.contents = Contents::read(&self.logs)?;
        for mark in &marks {
            lock.delete(&self.store, &mark.path)?;
        }
        if let Some(folder) = self.store.local(DROPPING) {
            // An empty folder is no mark.
            let _ = fs::remove_dir(folder);
        }
        self.is_current = true;
        Ok(done)
    }
}

impl Dropped {
    /// Counts a file that was rewritten. Not by what the log says of it: a foreign writer may have miscounted.
    pub(super) fn count(&mut self, footer: &ParquetMetaData, staged: &[Staged]) {
        let stay = staged.iter().map(|staged| staged.new.file.rows).sum();
        self.rows += (footer.file_metadata().num_rows() as u64).saturating_sub(stay);
        self.files += 1;
    }
}

/// Rewrites the files of a table that hold rows of the games.
pub(super) fn drop_rows(
    log: &mut Log,
    games: &BTreeSet<i64>,
    lock: &Held,
    gone: &Gone,
    watch: &mut Watch<'_>,
    done: &mut Dropped,
) -> Result<(), LakeError> {
    for file in log.files() {
        if !holds(log, &file, games)? {
            continue;
        }
        let footer = file::footer(&log.store, &log.path(&file.path))?;
        let rewrite = Rewrite {
            store: &log.store.clone(),
            table: log.table,
            folders: file.folders,
            files: std::slice::from_ref(&file),
            sort: Rewrite::sort_of(log.table, &footer),
            keep: &|batch| of_games(batch, |game| !games.contains(&game)),
            full: u64::MAX,
            must_be: log.table.name == prefixes::TABLE.name,
        };
        let staged = rewrite.write()?;
        watch(Rewriting::Staged(log.table.name));
        done.count(&footer, &staged);
        replace(log, lock, (vec![file], staged), (false, gone), watch)?;
    }
    Ok(())
}

/// Whether a file holds rows of one of the games.
pub(super) fn holds(log: &Log, file: &DataFile, games: &BTreeSet<i64>) -> Result<bool, LakeError> {
    let name = file.path.rsplit('/').next().and_then(FileName::parse);
    let range = name.and_then(|name| name.games);
    if range.is_some_and(|(first, last)| first <= last && games.range(first..=last).next().is_none()) {
        return Ok(false);
    }
    let held = games_in(log.table, &log.store, &log.path(&file.path))?;
    Ok(!held.is_disjoint(games))
}
