//! A lake as lazy tables, checked when it is opened.

use std::{
    collections::BTreeMap,
    path::{Component, Path, PathBuf},
};

use polars::prelude::{JoinArgs, JoinType, LazyFrame, col};
use schemas::Table;

use crate::{QueryError, files, run};

/// The tables of a lake.
///
/// The files are listed once, those of `games` first. Games are committed last, so every row of a listed
/// game is in a listed file even if the lake grows meanwhile. A game exists if and only if it is in
/// `games`: the tables below it show no rows of others, such as what an interrupted run left behind.
pub struct Tables {
    scans: BTreeMap<&'static str, LazyFrame>,
}

impl Tables {
    /// Opens the lake at `root`.
    ///
    /// # Errors
    /// If a table's folder is missing, a run has a later format version than this program reads, or the
    /// columns of a table are not those of its schema; if the lake cannot be read.
    pub fn open(root: &Path) -> Result<Self, QueryError> {
        check_root(root)?;
        let mut scans = BTreeMap::new();
        for table in schemas::ALL.into_iter().rev() {
            scans.insert(table.name, files::scan(root, table)?);
        }
        let mut tables = Self { scans };
        tables.check_version(root)?;
        for table in schemas::ALL {
            tables.check_columns(table)?;
        }
        Ok(tables)
    }

    /// One row per `collect` call.
    pub fn runs(&self) -> LazyFrame {
        self.scan(&schemas::runs::TABLE)
    }

    /// One row per dictionary.
    pub fn dictionaries(&self) -> LazyFrame {
        self.scan(&schemas::dictionaries::TABLE)
    }

    /// One row per game.
    pub fn games(&self) -> LazyFrame {
        self.scan(&schemas::games::TABLE)
    }

    /// One row per step of a game.
    pub fn steps(&self) -> LazyFrame {
        self.of_games(&schemas::steps::TABLE)
    }

    /// One row per token of a step.
    pub fn tokens(&self) -> LazyFrame {
        self.of_games(&schemas::tokens::TABLE)
    }

    /// One row per named span of a step's text.
    pub fn spans(&self) -> LazyFrame {
        self.of_games(&schemas::spans::TABLE)
    }

    /// One row per feature kept. Filters on `game_block` and `layer` choose files.
    pub fn features(&self) -> LazyFrame {
        self.of_games(&schemas::features::TABLE)
    }

    /// One row per position of a layer. Filters on `game_block` and `layer` choose files.
    pub fn positions(&self) -> LazyFrame {
        self.of_games(&schemas::positions::TABLE)
    }

    /// One row per attention weight kept. Filters on `game_block` and `layer` choose files.
    pub fn attention(&self) -> LazyFrame {
        self.of_games(&schemas::attention::TABLE)
    }

    /// One row per head and attending position. Filters on `game_block` and `layer` choose files.
    pub fn attention_rows(&self) -> LazyFrame {
        self.of_games(&schemas::attention_rows::TABLE)
    }

    fn scan(&self, table: &Table) -> LazyFrame {
        self.scans[table.name].clone()
    }

    /// The rows of games that exist; of a partitioned table, those in the block that the game says, since
    /// an interrupted run may have left the same game in another one.
    fn of_games(&self, table: &Table) -> LazyFrame {
        let mut keys = vec![col("game")];
        if table.partition.iter().any(|partition| partition.name == "game_block") {
            keys.push(col("game_block"));
        }
        let games = self.games().select(&keys);
        self.scan(table).join(games, &keys, &keys, JoinArgs::new(JoinType::Semi))
    }

    /// Comes before the check of the columns, which a later version may have changed.
    fn check_version(&mut self, root: &Path) -> Result<(), QueryError> {
        let table = schemas::runs::TABLE.name;
        let column = "format_version";
        let mut runs = self.runs();
        if !runs.collect_schema()?.contains(column) {
            return Err(QueryError::MissingColumn { table, column });
        }
        let newest = run(runs.select([col(column).max()]))?;
        match newest.column(column)?.i32() {
            Ok(version) => match version.get(0) {
                Some(found) if found > schemas::FORMAT_VERSION => Err(QueryError::FormatTooNew {
                    root: root.to_owned(),
                    found,
                    supported: schemas::FORMAT_VERSION,
                }),
                _ => Ok(()),
            },
            // The check of the columns says which type it has.
            Err(_) => Ok(()),
        }
    }

    fn check_columns(&mut self, table: &'static Table) -> Result<(), QueryError> {
        let found = self.scan(table).collect_schema()?;
        for column in table.columns {
            let Some(ty) = found.get(column.name) else {
                return Err(QueryError::MissingColumn { table: table.name, column: column.name });
            };
            if *ty != files::data_type(column.ty) {
                return Err(QueryError::WrongType {
                    table: table.name,
                    column: column.name,
                    expected: column.ty,
                    found: ty.to_string(),
                });
            }
        }
        Ok(())
    }
}

fn check_root(root: &Path) -> Result<(), QueryError> {
    for table in schemas::ALL {
        if !root.join(table.name).is_dir() {
            return Err(QueryError::NotALake { root: root.to_owned(), table: table.name });
        }
    }
    // polars looks for partitions in the whole path, and would take `layer=3` above the lake for one.
    for component in root.components() {
        if let Component::Normal(folder) = component
            && let folder = folder.to_string_lossy()
            && folder.contains('=')
        {
            return Err(QueryError::PartitionAbove {
                root: PathBuf::from(root),
                folder: folder.into_owned(),
            });
        }
    }
    Ok(())
}
