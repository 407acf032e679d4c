//! What the small tables say: which games there are, and the runs and dictionaries behind them.

use std::collections::{BTreeMap, BTreeSet};

use rayon::prelude::*;
use schemas::{Table, Values, dictionaries, games, runs};

use super::at_once::at_once;
use super::formats::refuse_later;
use super::log::Log;
use super::{DataFile, LakeError, file};

/// The games of a lake and what they come from.
#[derive(Clone, Default)]
pub(crate) struct Contents {
    /// The run of every game.
    pub(crate) games: BTreeMap<i64, String>,
    /// The runs that have games, by the time they began.
    pub(crate) runs: Vec<runs::Row>,
    /// The dictionaries of those runs, by layer.
    pub(crate) dictionaries: Vec<dictionaries::Row>,
    /// The runs and dictionaries that have no games, or none yet.
    waiting: (Vec<runs::Row>, Vec<dictionaries::Row>),
    /// The files that all this was read from, by table and path.
    read: BTreeMap<&'static str, BTreeMap<String, DataFile>>,
}

impl Contents {
    /// Reads the tables.
    pub(crate) fn read(logs: &[Log]) -> Result<Self, LakeError> {
        let mut contents = Self::default();
        contents.read_more(logs)?;
        Ok(contents)
    }

    /// Reads the files that were not read yet. None that was read may have been taken out since.
    pub(crate) fn read_more(&mut self, logs: &[Log]) -> Result<(), LakeError> {
        self.refuse_later_format(logs)?;
        let games = self.rows(logs, &games::TABLE, games::Rows::from_values, games::Rows::append)?;
        let runs = self.rows(logs, &runs::TABLE, runs::Rows::from_values, runs::Rows::append)?;
        let dictionaries = self.rows(
            logs,
            &dictionaries::TABLE,
            dictionaries::Rows::from_values,
            dictionaries::Rows::append,
        )?;
        self.add(games.game.into_iter().zip(games.run), runs.into_rows(), dictionaries.into_rows());
        Ok(())
    }

    /// Adds what a batch holds. Runs without games wait: a crash left them, or their first games are on their way.
    pub(crate) fn add(
        &mut self,
        games: impl IntoIterator<Item = (i64, String)>,
        runs: Vec<runs::Row>,
        dictionaries: Vec<dictionaries::Row>,
    ) {
        self.games.extend(games);
        self.waiting.0.extend(runs);
        self.waiting.1.extend(dictionaries);
        if self.waiting.0.is_empty() && self.waiting.1.is_empty() {
            return;
        }
        let of_games: BTreeSet<&str> = self.games.values().map(String::as_str).collect();
        self.runs.extend(self.waiting.0.extract_if(.., |run| of_games.contains(run.run.as_str())));
        let has_games = |row: &mut dictionaries::Row| of_games.contains(row.run.as_str());
        self.dictionaries.extend(self.waiting.1.extract_if(.., has_games));
        self.runs.sort_by(|a, b| (&a.started_at, &a.run).cmp(&(&b.started_at, &b.run)));
        self.dictionaries.sort_by(|a, b| (a.layer, &a.run).cmp(&(b.layer, &b.run)));
    }

    /// Whether there are runs or dictionaries without games.
    pub(crate) const fn has_waiting(&self) -> bool {
        !self.waiting.0.is_empty() || !self.waiting.1.is_empty()
    }

    /// Whether the run has games.
    pub(crate) fn has_run(&self, run: &str) -> bool {
        self.runs.iter().any(|row| row.run == run)
    }

    /// The version is looked at before anything else: what a later layout means is not known.
    fn refuse_later_format(&self, logs: &[Log]) -> Result<(), LakeError> {
        for log in logs.iter().filter(|log| log.table.name == runs::TABLE.name) {
            at_once(self.unread(log), |file| refuse_later(&log.store, &log.path(&file.path)))?;
        }
        Ok(())
    }

    /// The files of a table that were not read yet.
    fn unread<'a>(&self, log: &'a Log) -> Vec<&'a DataFile> {
        let read = self.read.get(log.table.name);
        let is_new = |file: &&DataFile| read.and_then(|read| read.get(&file.path)) != Some(*file);
        log.files.values().filter(is_new).collect()
    }

    /// Every new row of a table, in the order of the files; several of them are read at a time.
    fn rows<R: Default + Send>(
        &mut self,
        logs: &[Log],
        table: &'static Table,
        from_values: fn(Vec<Values>) -> Option<R>,
        append: fn(&mut R, R),
    ) -> Result<R, LakeError> {
        let mut all = R::default();
        for log in logs.iter().filter(|log| log.table.name == table.name) {
            let unread: Vec<DataFile> = self.unread(log).into_iter().cloned().collect();
            // The file's reader checks the types.
            let rows = |file: &DataFile| {
                let values = file::read(table, &log.store, &log.path(&file.path))?;
                Ok(from_values(values).unwrap_or_default())
            };
            // A store is waited for; a disk keeps the processors busy.
            let read = if log.store.objects().is_some() {
                at_once(unread.iter().collect(), rows)?
            } else {
                unread.par_iter().map(rows).collect::<Result<Vec<_>, LakeError>>()?
            };
            for (file, rows) in unread.iter().zip(read) {
                append(&mut all, rows);
                self.remember(table, file);
            }
        }
        Ok(all)
    }

    /// Remembers the files of a batch, whose rows were added.
    pub(crate) fn remember(&mut self, table: &'static Table, file: &DataFile) {
        if [games::TABLE.name, runs::TABLE.name, dictionaries::TABLE.name].contains(&table.name) {
            self.read.entry(table.name).or_default().insert(file.path.clone(), file.clone());
        }
    }
}
