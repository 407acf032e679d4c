//! What the small tables say: which games there are, and the runs and dictionaries behind them.

use std::collections::{BTreeMap, BTreeSet};

use schemas::{Table, Values, dictionaries, games, runs};

use super::log::Log;
use super::{LakeError, file};

/// The games of a lake and what they come from.
#[derive(Default)]
pub(crate) struct Contents {
    /// The run of every game.
    pub(crate) games: BTreeMap<i64, String>,
    /// The runs that have games, by the time they began.
    pub(crate) runs: Vec<runs::Row>,
    /// The dictionaries of those runs, by layer.
    pub(crate) dictionaries: Vec<dictionaries::Row>,
}

impl Contents {
    pub(crate) fn read(logs: &[Log]) -> Result<Self, LakeError> {
        let games = rows(logs, &games::TABLE, games::Rows::from_values, games::Rows::append)?;
        let runs = rows(logs, &runs::TABLE, runs::Rows::from_values, runs::Rows::append)?;
        let dictionaries =
            rows(logs, &dictionaries::TABLE, dictionaries::Rows::from_values, dictionaries::Rows::append)?;
        let games = games.game.into_iter().zip(games.run).collect();
        Ok(Self::of(games, runs.into_rows(), dictionaries.into_rows()))
    }

    /// Leaves out the runs without games: a crash left them.
    pub(crate) fn of(
        games: BTreeMap<i64, String>,
        mut runs: Vec<runs::Row>,
        mut dictionaries: Vec<dictionaries::Row>,
    ) -> Self {
        {
            let of_games: BTreeSet<&str> = games.values().map(String::as_str).collect();
            runs.retain(|run| of_games.contains(run.run.as_str()));
            dictionaries.retain(|dictionary| of_games.contains(dictionary.run.as_str()));
        }
        runs.sort_by(|a, b| (&a.started_at, &a.run).cmp(&(&b.started_at, &b.run)));
        dictionaries.sort_by(|a, b| (a.layer, &a.run).cmp(&(b.layer, &b.run)));
        Self { games, runs, dictionaries }
    }

    /// Whether the run has games.
    pub(crate) fn has_run(&self, run: &str) -> bool {
        self.runs.iter().any(|row| row.run == run)
    }
}

/// Every row of a table, file by file.
fn rows<R: Default>(
    logs: &[Log],
    table: &'static Table,
    from_values: fn(Vec<Values>) -> Option<R>,
    append: fn(&mut R, R),
) -> Result<R, LakeError> {
    let mut all = R::default();
    for log in logs.iter().filter(|log| log.table.name == table.name) {
        for file in log.files()? {
            // The file's reader has checked the types already.
            let values = file::read(table, &log.folder.join(&file.path))?;
            append(&mut all, from_values(values).unwrap_or_default());
        }
    }
    Ok(all)
}
