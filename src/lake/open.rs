//! A lake: making one, opening one, and what is in it.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use schemas::{Table, Values, dictionaries, runs};
use tokio::runtime::{Builder, Runtime};

use super::contents::Contents;
use super::layout::{LOG, STAGING};
use super::log::{DataFile, Log, sync_folder};
use super::{Format, LakeError, file};

/// A folder of tables, open for reading and for appending games.
///
/// What it says is what was in the lake when it was opened, last refreshed or last appended to.
pub struct Lake {
    pub(super) root: PathBuf,
    pub(super) runtime: Runtime,
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
}

impl Lake {
    /// Opens the lake in the folder `root`, or makes one if the folder is empty or does not exist.
    ///
    /// # Errors
    /// If `root` is a file or holds something else, if it cannot be written, and as [`Lake::open`].
    pub fn create_or_open(root: impl AsRef<Path>) -> Result<Self, LakeError> {
        let root = root.as_ref();
        match fs::create_dir_all(root) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                return Err(LakeError::NotAFolder { path: root.to_owned() });
            }
            made => made.map_err(|error| LakeError::io(root, error))?,
        }
        if !is_lake(root) {
            refuse_other_files(root)?;
            let staging = root.join(STAGING);
            fs::create_dir_all(&staging).map_err(|error| LakeError::io(&staging, error))?;
            let root = &root.canonicalize().map_err(|error| LakeError::io(root, error))?;
            let runtime = runtime(root)?;
            // `games` is the last table: once it is there, the lake is whole.
            for table in schemas::ALL {
                runtime.block_on(Log::create(root, table))?;
            }
            sync_folder(root)?;
        }
        let lake = Self::open(root)?;
        // Better now than after the first batch has been computed.
        lake.open_lock()?;
        Ok(lake)
    }

    /// Opens the lake in the folder `root`.
    ///
    /// # Errors
    /// If there is no lake, if it was written in a later layout, if a table is missing or has other
    /// columns, or if something cannot be read.
    pub fn open(root: impl AsRef<Path>) -> Result<Self, LakeError> {
        let root = root.as_ref();
        let about = fs::metadata(root).map_err(|error| match error.kind() {
            ErrorKind::NotFound => LakeError::NotFound { path: root.to_owned() },
            _ => LakeError::io(root, error),
        })?;
        if !about.is_dir() {
            return Err(LakeError::NotAFolder { path: root.to_owned() });
        }
        if !is_lake(root) {
            return Err(LakeError::NotALake { path: root.to_owned(), found: None });
        }
        let root = root.canonicalize().map_err(|error| LakeError::io(root, error))?;
        let runtime = runtime(&root)?;
        let (format, logs, causal) = runtime.block_on(async {
            // The first of all tables.
            let mut logs = vec![Log::open(&root, &runs::TABLE).await?];
            let format = Format::of(&logs[0])?;
            for table in schemas::ALL.into_iter().skip(1).filter(|table| format.has(table)) {
                logs.push(Log::open(&root, table).await?);
            }
            Ok::<_, LakeError>((format, logs, Log::open_causal(&root).await?))
        })?;
        let contents = Contents::read(&logs)?;
        logs.iter().chain(&causal).try_for_each(|log| log.check_columns(format))?;
        Ok(Self { root, runtime, format, logs, causal, contents, is_current: true, is_sound: false })
    }

    /// Takes in what other writers have committed.
    pub fn refresh(&mut self) -> Result<(), LakeError> {
        for log in &mut self.logs {
            if self.runtime.block_on(log.refresh())? {
                self.is_current = false;
            }
        }
        self.causal = self.runtime.block_on(Log::open_causal(&self.root))?;
        if !self.is_current {
            // Somebody may have upgraded it.
            if Format::of(self.log(&runs::TABLE)?)? != self.format {
                *self = Self::open(&self.root)?;
                return Ok(());
            }
            self.is_sound = false;
            self.contents = Contents::read(&self.logs)?;
            self.is_current = true;
        }
        Ok(())
    }

    /// The lake's folder.
    pub fn root(&self) -> &Path {
        &self.root
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
        self.log(table)?.files()
    }

    /// Every row of a file of a table, column by column.
    pub fn read(&self, table: &Table, file: &DataFile) -> Result<Vec<Values>, LakeError> {
        file::read(table, &self.log(table)?.folder.join(&file.path))
    }

    pub(super) fn log(&self, table: &Table) -> Result<&Log, LakeError> {
        let missing = || LakeError::MissingTable { path: self.root.clone(), table: table.name };
        self.logs.iter().chain(&self.causal).find(|log| log.table.name == table.name).ok_or_else(missing)
    }
}

fn is_lake(root: &Path) -> bool {
    root.join(schemas::games::TABLE.name).join(LOG).is_dir()
}

/// Nothing is made among somebody's other files; hidden ones and an unfinished lake do not matter.
fn refuse_other_files(root: &Path) -> Result<(), LakeError> {
    let entries = fs::read_dir(root).map_err(|error| LakeError::io(root, error))?;
    for entry in entries {
        let name = entry.map_err(|error| LakeError::io(root, error))?.file_name();
        let name = name.to_string_lossy();
        let is_ours = name == STAGING || schemas::every().any(|table| table.name == name);
        if !is_ours && !name.starts_with('.') {
            return Err(LakeError::NotALake { path: root.to_owned(), found: Some(name.into_owned()) });
        }
    }
    Ok(())
}

fn runtime(root: &Path) -> Result<Runtime, LakeError> {
    Builder::new_current_thread().enable_all().build().map_err(|error| LakeError::io(root, error))
}
