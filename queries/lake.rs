//! A lake as lazy tables, checked when it is opened.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Component, Path, PathBuf},
    sync::Arc,
};

use polars::prelude::{JoinArgs, JoinType, LazyFrame, SortMultipleOptions, UnionArgs, col, concat};
use schemas::Table;

use crate::{
    Condition, QueryError, Variables,
    files::{self, Columns, File, Home, Homes},
    formats, run, schema_of, shared,
};

/// The tables of a lake.
///
/// The files are listed once, those of `games` first. Games are committed last, so every row of a listed
/// game is in a listed file even if the lake grows meanwhile. A game exists if and only if it is in
/// `games`: the tables below it show no rows of others, such as what an interrupted run left behind.
pub struct Tables {
    root: PathBuf,
    condition: Condition,
    files: Arc<BTreeMap<&'static str, Vec<File>>>,
    homes: Arc<Homes>,
    /// The version of its layout.
    format_version: i32,
    /// The tables that have their columns and no others.
    exact: BTreeSet<&'static str>,
    shown: BTreeMap<&'static str, LazyFrame>,
    kept: Kept,
    /// The files of every table by their paths in its folder, if somebody has read its log.
    listed: Option<Arc<Listed>>,
}

/// Which positions have their rows in the large tables, over all runs.
#[derive(Clone, Copy, Debug, Default)]
struct Kept {
    /// Rows of some are those of an earlier step.
    shared: bool,
    /// A run kept those of decisions alone.
    decisions: bool,
}

/// The files of tables by their paths in the tables' folders.
pub type Listed = BTreeMap<&'static str, Vec<String>>;

impl Tables {
    /// Opens the lake at `root`.
    ///
    /// # Errors
    /// If a table's folder is missing, a run has a later format version than this program reads, or the
    /// columns of a table are not those of its schema in this version; if the lake cannot be read.
    pub fn open(root: &Path) -> Result<Self, QueryError> {
        Self::open_at(root, None)
    }

    /// Opens the lake at `root`, a folder or the URL of one in an object store, whose tables are made of these files and no
    /// others: what lies beside them does not count.
    ///
    /// # Errors
    /// As [`Tables::open`].
    pub fn open_listed(root: &Path, listed: Listed) -> Result<Self, QueryError> {
        Self::open_at(root, Some(Arc::new(listed)))
    }

    fn open_at(root: &Path, of_logs: Option<Arc<Listed>>) -> Result<Self, QueryError> {
        check_path(root)?;
        let known = of_logs.clone();
        let there = |table: &Table| is_there(root, known.as_deref(), table);
        formats::missing(root, formats::FIRST, there)?;
        let (mut listed, mut scans) = (BTreeMap::new(), BTreeMap::new());
        for table in schemas::ALL.into_iter().rev() {
            let files = match &of_logs {
                Some(listed) => {
                    listed.get(table.name).map(|paths| files::named(root, table, paths)).unwrap_or_default()
                }
                None if there(table) => files::of(root, table)?,
                None => Vec::new(),
            };
            scans.insert(table.name, files::scan(table, &files, Columns::FirstFile)?);
            listed.insert(table.name, files);
        }
        let mut tables = Self {
            root: root.to_owned(),
            condition: Condition::default(),
            files: Arc::new(listed),
            homes: Arc::default(),
            format_version: schemas::FORMAT_VERSION,
            exact: BTreeSet::new(),
            shown: scans,
            kept: Kept::default(),
            listed: of_logs,
        };
        tables.find_version(there)?;
        for table in schemas::ALL {
            tables.check_columns(table)?;
        }
        tables.kept = tables.find_kept()?;
        tables.homes = Arc::new(homes(tables.games())?);
        tables.show(None)?;
        Ok(tables)
    }

    /// The same tables without the games that do not meet `condition`, and without their rows. A condition that they
    /// were narrowed by before holds too.
    ///
    /// # Errors
    /// [`QueryError::NoSuchGames`] if no game meets it.
    pub fn only(&self, condition: Condition) -> Result<Self, QueryError> {
        let mut tables = Self {
            root: self.root.clone(),
            condition: self.condition.and(condition),
            files: Arc::clone(&self.files),
            homes: Arc::clone(&self.homes),
            format_version: self.format_version,
            exact: self.exact.clone(),
            shown: self.shown.clone(),
            kept: self.kept,
            listed: self.listed.clone(),
        };
        if let Some(filter) = tables.condition.expression() {
            let games = self.games().filter(filter);
            let chosen = homes(games.clone())?;
            if chosen.is_empty() {
                return Err(QueryError::NoSuchGames {
                    condition: tables.condition.sql().unwrap_or_default(),
                });
            }
            tables.shown.insert(schemas::games::TABLE.name, games);
            tables.show(Some(&chosen))?;
        }
        Ok(tables)
    }

    /// The layers that have features, ascending.
    ///
    /// # Errors
    /// If the lake cannot be read.
    pub fn layers(&self) -> Result<Vec<i32>, QueryError> {
        crate::layers::with_features(self, None)
    }

    /// The variables by which SQL is told which games of which lake these tables show.
    pub fn variables(&self) -> Variables {
        let mut variables = Variables::default();
        variables
            .set("lake", Some(self.root.to_string_lossy().into_owned()))
            .set("where", self.condition.sql());
        variables
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
        self.scan(&schemas::steps::TABLE)
    }

    /// One row per token of a step.
    pub fn tokens(&self) -> LazyFrame {
        self.scan(&schemas::tokens::TABLE)
    }

    /// One row per named span of a step's text.
    pub fn spans(&self) -> LazyFrame {
        self.scan(&schemas::spans::TABLE)
    }

    /// One row per feature kept. Filters on `game_block` and `layer` choose files.
    pub fn features(&self) -> LazyFrame {
        self.scan(&schemas::features::TABLE)
    }

    /// One row per feature and game of a layer. Filters on `game_block` and `layer` choose files. None of a lake whose
    /// format has no such table.
    pub fn feature_rollup(&self) -> LazyFrame {
        self.scan(&schemas::feature_rollup::TABLE)
    }

    /// One row per run of positions whose rows are stored with an earlier step.
    pub fn prefixes(&self) -> LazyFrame {
        self.scan(&schemas::prefixes::TABLE)
    }

    /// One row per position of a layer. Filters on `game_block` and `layer` choose files.
    pub fn positions(&self) -> LazyFrame {
        self.scan(&schemas::positions::TABLE)
    }

    /// One row per attention weight kept. Filters on `game_block` and `layer` choose files.
    pub fn attention(&self) -> LazyFrame {
        self.scan(&schemas::attention::TABLE)
    }

    /// One row per head and attending position. Filters on `game_block` and `layer` choose files.
    pub fn attention_rows(&self) -> LazyFrame {
        self.scan(&schemas::attention_rows::TABLE)
    }

    /// The rows of a table that count.
    pub(crate) fn scan(&self, table: &Table) -> LazyFrame {
        self.shown[table.name].clone()
    }

    /// The rows of a table as its files hold them, those that do not count too, for a question that knows its steps.
    ///
    /// # Errors
    /// If a path is not Unicode.
    pub(crate) fn unjoined(&self, table: &Table) -> Result<LazyFrame, QueryError> {
        let own = files::scan(table, self.files.get(table.name).into_iter().flatten(), self.columns(table))?;
        if !self.shares(table) {
            return Ok(own);
        }
        // Who reads by steps finds them whole and in order, as in a file.
        let keys = ["game_block", "layer"].iter().chain(table.sort).map(|key| col(*key)).collect::<Vec<_>>();
        Ok(shared::seen_through(table, own, self.prefixes())?
            .sort_by_exprs(keys, SortMultipleOptions::default()))
    }

    /// Whether decision positions are all that the large tables have.
    pub(crate) fn keeps_decisions(&self) -> bool {
        self.kept.decisions
    }

    /// Refuses a question that looks at other positions than decisions if a run did not keep their rows.
    ///
    /// # Errors
    /// [`QueryError::OnlyDecisions`].
    pub(crate) fn check_positions(&self, question: &'static str) -> Result<(), QueryError> {
        if self.kept.decisions { Err(QueryError::OnlyDecisions { question }) } else { Ok(()) }
    }

    /// The rows of a causal table as its files hold them, those that do not count too.
    ///
    /// # Errors
    /// [`QueryError::NoCausal`] if the lake has none yet.
    pub(crate) fn causal(&self, table: &'static Table) -> Result<LazyFrame, QueryError> {
        let missing = || QueryError::NoCausal { table: table.name };
        if !is_there(&self.root, self.listed.as_deref(), table) {
            return Err(missing());
        }
        let files = match &self.listed {
            Some(listed) => {
                listed.get(table.name).map(|paths| files::named(&self.root, table, paths)).unwrap_or_default()
            }
            None => files::of(&self.root, table)?,
        };
        if files.is_empty() {
            return Err(missing());
        }
        files::scan(table, &files, Columns::Table)
    }

    /// Makes the tables that have games show the rows of those that exist, or of those of them that are chosen.
    fn show(&mut self, chosen: Option<&Homes>) -> Result<(), QueryError> {
        for table in schemas::ALL.into_iter().filter(|table| has_games(table)) {
            let frame = self.of_games(table, chosen)?;
            self.shown.insert(table.name, frame);
        }
        let large = schemas::ALL.into_iter().filter(|table| self.shares(table)).collect::<Vec<_>>();
        for table in large {
            let frame = shared::seen_through(table, self.scan(table), self.prefixes())?;
            self.shown.insert(table.name, frame);
        }
        Ok(())
    }

    /// The rows of games that exist; of a partitioned table, those in the block that the game says, since
    /// an interrupted run may have left the same game in another one. Most files are known by their names to
    /// hold nothing else, and are not joined.
    fn of_games(&self, table: &Table, chosen: Option<&Homes>) -> Result<LazyFrame, QueryError> {
        let files = self.files.get(table.name).into_iter().flatten();
        let files = files.filter(|file| chosen.is_none_or(|chosen| file.may_hold(chosen)));
        let (sure, others) = files.partition::<Vec<_>, _>(|file| file.counts(&self.homes));
        let columns = self.columns(table);
        let within = |files: Vec<&File>, keys: &[&str]| {
            let keys = keys.iter().map(|key| col(*key)).collect::<Vec<_>>();
            let games = self.games().select(&keys);
            let semi = JoinArgs::new(JoinType::Semi);
            files::scan(table, files, columns).map(|frame| frame.join(games, &keys, &keys, semi))
        };
        let keys = if is_partitioned(table) { &["game", "game_block"][..] } else { &["game"] };
        let mut frames = Vec::new();
        if chosen.is_some() && !sure.is_empty() {
            frames.push(within(sure, &["game"])?);
        } else if !sure.is_empty() || others.is_empty() {
            frames.push(files::scan(table, sure, columns)?);
        }
        if !others.is_empty() {
            frames.push(within(others, keys)?);
        }
        match <[LazyFrame; 1]>::try_from(frames) {
            Ok([frame]) => Ok(frame),
            Err(frames) => Ok(concat(frames, UnionArgs::default())?),
        }
    }

    fn columns(&self, table: &Table) -> Columns {
        if self.exact.contains(table.name) { Columns::Table } else { Columns::FirstFile }
    }

    /// Whether a step may have rows of the table with an earlier one.
    fn shares(&self, table: &Table) -> bool {
        self.kept.shared && shared::position_of(table).is_some()
    }

    fn find_kept(&self) -> Result<Kept, QueryError> {
        let words = run(self.runs().select([col("positions")]))?;
        let words = words.column("positions")?.str()?;
        let has = |word| words.iter().flatten().any(|found| found == word);
        Ok(Kept { shared: has("new"), decisions: has("last") })
    }

    /// Whether `feature_rollup` counts what `features` has: not of a format that has no such table, nor where a run
    /// keeps the rows of decisions alone.
    pub(crate) fn are_rolled_up(&self) -> bool {
        self.format_version > formats::FIRST && !self.kept.decisions
    }

    /// Comes before the check of the columns, which a later version may have changed; an earlier version's columns
    /// are made up to those of this one.
    fn find_version(&mut self, there: impl Fn(&Table) -> bool) -> Result<(), QueryError> {
        let runs = self.runs();
        self.format_version = formats::of_runs(&self.root, &runs, &there)?;
        formats::missing(&self.root, self.format_version, there)?;
        self.shown.insert(schemas::runs::TABLE.name, formats::filled(runs, self.format_version));
        Ok(())
    }

    fn check_columns(&mut self, table: &'static Table) -> Result<(), QueryError> {
        let found = schema_of(&mut self.scan(table))?;
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
        if found.len() == table.columns.len() + table.partition.len() {
            self.exact.insert(table.name);
        }
        Ok(())
    }
}

/// Whether the lake has the table: the logs tell, if somebody has read them.
fn is_there(root: &Path, of_logs: Option<&Listed>, table: &Table) -> bool {
    of_logs.map_or_else(|| root.join(table.name).is_dir(), |listed| listed.contains_key(table.name))
}

/// Where the games are.
fn homes(games: LazyFrame) -> Result<Homes, QueryError> {
    let frame = run(games.select([col("game"), col("game_block"), col("run")]))?;
    let (games, blocks) = (frame.column("game")?.i64()?, frame.column("game_block")?.i32()?);
    let rows = games.iter().zip(blocks.iter()).zip(frame.column("run")?.str()?.iter());
    let home = |((game, game_block), run): ((Option<_>, Option<_>), Option<&str>)| {
        Some((game?, Home { game_block: game_block?, run: run?.to_owned() }))
    };
    Ok(rows.filter_map(home).collect::<Homes>())
}

/// Whether the rows of a table belong to games; `games` itself and the tables of runs are shown as they are.
fn has_games(table: &Table) -> bool {
    table.name != schemas::games::TABLE.name && table.columns.iter().any(|column| column.name == "game")
}

fn is_partitioned(table: &Table) -> bool {
    table.partition.iter().any(|partition| partition.name == "game_block")
}

fn check_path(root: &Path) -> Result<(), QueryError> {
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
