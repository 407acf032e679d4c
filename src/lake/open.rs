//! A lake: making one, opening one, and what is in it.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use schemas::{Table, Values, dictionaries, runs};

use super::at_once::at_once;
use super::checkpoint::UnderWay;
use super::contents::Contents;
use super::layout::STAGING;
use super::lock::{Held, Left};
use super::log::{DataFile, Log, News};
use super::store::{Store, is_url};
use super::{Format, LakeError, disk, file};

/// A folder of tables, open for reading and for appending games.
///
/// What it says is what was in the lake when it was opened, last refreshed or last appended to.
pub struct Lake {
    pub(super) store: Store,
    pub(super) format: Format,
    /// In the order of [`schemas::ALL`], those that its format has.
    pub(super) logs: Vec<Log>,
    /// Those of the causal tables, as far as they are there.
    pub(super) causal: Vec<Log>,
    pub(super) contents: Contents,
    /// Whether `contents` is what the logs say.
    pub(super) is_current: bool,
    /// Whether the tables are known to hold nothing that belongs to no game.
    pub(super) is_sound: bool,
    pub(super) checkpoint: UnderWay,
}

impl Lake {
    /// Opens the lake at `place`, a folder or a URL, or makes one if the folder is empty or does not exist.
    ///
    /// # Errors
    /// If `place` is a file or holds something else, if it cannot be written, and as [`Lake::open`].
    pub fn create_or_open(place: impl AsRef<Path>) -> Result<Self, LakeError> {
        let place = place.as_ref();
        if !is_url(place) {
            match fs::create_dir_all(place) {
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                    return Err(LakeError::NotAFolder { path: place.to_owned() });
                }
                made => made.map_err(|error| LakeError::io(place, error))?,
            }
        }
        let store = Store::at(place)?;
        if !is_lake(&store)? {
            refuse_other_files(&store)?;
            make(&settled(place)?)?;
        }
        let lake = Self::open(place)?;
        // Better now than after the first batch has been computed.
        Held::prepare(&lake.store)?;
        Ok(lake)
    }

    /// Opens the lake at `place`, a folder or a URL such as `s3://bucket/folder`.
    ///
    /// # Errors
    /// If there is no lake, if it was written in a later layout, if a table is missing or has other
    /// columns, or if something cannot be read.
    pub fn open(place: impl AsRef<Path>) -> Result<Self, LakeError> {
        let store = place_of_lake(place.as_ref())?;
        let runs = Log::open(&store, &runs::TABLE)?;
        let format = Format::of(&runs)?;
        let others = schemas::ALL.into_iter().skip(1).filter(|table| format.has(table)).collect();
        let others = at_once(others, |table| Log::open(&store, table))?;
        let logs: Vec<Log> = std::iter::once(runs).chain(others).collect();
        let contents = Contents::read(&logs)?;
        let mut lake = Self::of((store, format, logs), contents, true);
        lake.refresh_causal()?;
        lake.logs.iter().chain(&lake.causal).try_for_each(|log| log.check_columns(format))?;
        Ok(lake)
    }

    fn of((store, format, logs): (Store, Format, Vec<Log>), contents: Contents, is_current: bool) -> Self {
        let (causal, checkpoint) = (Vec::new(), UnderWay::default());
        Self { store, format, logs, causal, contents, is_current, is_sound: false, checkpoint }
    }

    /// Opens a lake without its contents, which may be damaged.
    pub(super) fn open_bare(store: &Store) -> Result<Self, LakeError> {
        let format = Format::of_columns(&Log::open(store, &runs::TABLE)?)?;
        let tables = schemas::ALL.into_iter().filter(|table| format.has(table)).collect();
        let logs = at_once(tables, |table| Log::open(store, table))?;
        let mut lake = Self::of((store.clone(), format, logs), Contents::default(), false);
        lake.refresh_causal()?;
        Ok(lake)
    }

    /// Opens the lake at `place`, if there is one. One that another process is just making is not there yet.
    ///
    /// # Errors
    /// If something else is there, and as [`Lake::open`].
    pub fn open_if_there(place: impl AsRef<Path>) -> Result<Option<Self>, LakeError> {
        let place = place.as_ref();
        if !is_url(place) && !place.exists() {
            return Ok(None);
        }
        if is_url(place) || place.is_dir() {
            let store = Store::at(place)?;
            if !is_lake(&store)? {
                return refuse_other_files(&store).map(|()| None);
            }
        }
        Self::open(place).map(Some)
    }

    /// Takes in what other writers have committed.
    pub fn refresh(&mut self) -> Result<(), LakeError> {
        let was_current = self.is_current;
        // Until the end, what is on disk is ahead of what `self` says.
        self.is_current = false;
        let news = at_once(self.logs.iter_mut().collect(), Log::refresh)?;
        self.refresh_causal()?;
        if !was_current || news.contains(&News::Changed) {
            // Somebody may have upgraded it.
            if Format::of(self.log(&runs::TABLE)?)? != self.format {
                *self = Self::open(self.root())?;
                return Ok(());
            }
            self.contents = Contents::read(&self.logs)?;
        } else if news.contains(&News::Added) {
            self.contents.read_more(&self.logs)?;
        }
        self.is_current = true;
        Ok(())
    }

    /// Takes in the causal tables, as far as they are there.
    pub(super) fn refresh_causal(&mut self) -> Result<(), LakeError> {
        at_once(self.causal.iter_mut().collect(), Log::refresh)?;
        let known: Vec<&str> = self.causal.iter().map(|log| log.table.name).collect();
        let unknown = schemas::CAUSAL.into_iter().filter(|table| !known.contains(&table.name)).collect();
        let open = |table| {
            let is_there = Log::is_there(&self.store, table)?;
            is_there.then(|| Log::open(&self.store, table)).transpose()
        };
        let opened = at_once(unknown, open)?;
        self.causal.extend(opened.into_iter().flatten());
        let place = |log: &Log| schemas::CAUSAL.iter().position(|table| table.name == log.table.name);
        self.causal.sort_by_key(place);
        Ok(())
    }

    /// The lake's folder, or its URL.
    pub fn root(&self) -> &Path {
        self.store.root()
    }

    /// The keys of the games, ascending.
    pub fn games(&self) -> impl ExactSizeIterator<Item = i64> + '_ {
        self.contents.games.keys().copied()
    }

    /// How many games there are.
    pub fn n_games(&self) -> usize {
        self.contents.games.len()
    }

    /// Whether the game is in the lake.
    pub fn has_game(&self, game: i64) -> bool {
        self.contents.games.contains_key(&game)
    }

    /// The runs that have games, by the time they began.
    pub fn runs(&self) -> &[runs::Row] {
        &self.contents.runs
    }

    /// The dictionaries of those runs, by layer.
    pub fn dictionaries(&self) -> &[dictionaries::Row] {
        &self.contents.dictionaries
    }

    /// The files of a table by path, those of games that were never committed included; none of one that came with a
    /// later format.
    pub fn files(&self, table: &Table) -> Result<Vec<DataFile>, LakeError> {
        if !self.format.has(table) {
            return Ok(Vec::new());
        }
        Ok(self.log(table)?.files())
    }

    /// Every row of a file of a table, column by column.
    pub fn read(&self, table: &Table, file: &DataFile) -> Result<Vec<Values>, LakeError> {
        file::read(table, &self.store, &self.log(table)?.path(&file.path))
    }

    pub(super) fn log(&self, table: &Table) -> Result<&Log, LakeError> {
        let missing = || LakeError::MissingTable { path: self.root().to_owned(), table: table.name };
        self.logs.iter().chain(&self.causal).find(|log| log.table.name == table.name).ok_or_else(missing)
    }
}

/// The place of a lake that must be there.
pub(super) fn place_of_lake(place: &Path) -> Result<Store, LakeError> {
    if !is_url(place) {
        let about = fs::metadata(place).map_err(|error| match error.kind() {
            ErrorKind::NotFound => LakeError::NotFound { path: place.to_owned() },
            _ => LakeError::io(place, error),
        })?;
        if !about.is_dir() {
            return Err(LakeError::NotAFolder { path: place.to_owned() });
        }
    }
    let store = Store::at(place)?;
    if !is_lake(&store)? {
        let path = store.root().to_owned();
        let is_nothing = is_url(place) && store.names()?.is_empty();
        return Err(if is_nothing {
            LakeError::NotFound { path }
        } else {
            LakeError::NotALake { path, found: None }
        });
    }
    settled(place)
}

fn is_lake(store: &Store) -> Result<bool, LakeError> {
    Log::is_there(store, &schemas::games::TABLE)
}

/// Makes a lake, unless somebody else does so at the same time.
fn make(store: &Store) -> Result<(), LakeError> {
    let lock = Held::take(store)?;
    let is_new = !is_lake(store)?;
    if is_new {
        // `games` is the last table: once it is there, the lake is whole.
        for table in schemas::ALL {
            Log::create(store, table)?;
        }
        if let Some(root) = store.local("") {
            disk::sync(&root)?;
        }
    }
    let is_clean = is_new || lock.left == Left::Clean;
    lock.end(is_clean);
    Ok(())
}

/// The place of a lake that is there, by the path that it has for good.
fn settled(place: &Path) -> Result<Store, LakeError> {
    if is_url(place) {
        return Store::at(place);
    }
    Store::at(&place.canonicalize().map_err(|error| LakeError::io(place, error))?)
}

/// Nothing is made among somebody's other files; hidden ones and an unfinished lake do not matter.
fn refuse_other_files(store: &Store) -> Result<(), LakeError> {
    for name in store.names()? {
        let is_ours = name == STAGING || schemas::every().any(|table| table.name == name);
        if !is_ours && !name.starts_with('.') {
            return Err(LakeError::NotALake { path: store.root().to_owned(), found: Some(name) });
        }
    }
    Ok(())
}
