//! A table's Delta log: which files belong to the table, as it was last read.

use std::collections::BTreeMap;
use std::path::{Component, Path};

use bytes::Bytes;
use deltalake::kernel::{Action, Add, DataType, StructField};
use deltalake::logstore::{LogStoreRef, get_actions};
use deltalake::operations::create::CreateBuilder;
use deltalake::protocol::SaveMode;
use deltalake::{DeltaTable, DeltaTableError, TableProperty};
use schemas::{Table, Type};
use serde_json::Value;

use super::checkpoint::{self, COMMITS_PER_CHECKPOINT};
use super::layout::{Folders, LOG};
use super::store::{Store, is_url};
use super::{Format, LakeError, disk, file};

/// A checkpoint is made under the lock after so many commits without one.
const MOST_COMMITS: u64 = 3 * COMMITS_PER_CHECKPOINT / 2;

/// The tag of an `add` that holds the SHA-256 of the file.
pub(super) const CHECKSUM: &str = "saelake.sha256";

/// A table's log as it was last read.
pub(crate) struct Log {
    pub(crate) table: &'static Table,
    pub(super) store: Store,
    pub(super) logs: LogStoreRef,
    /// What the log says of the table as a whole. Its files may be those of an earlier version.
    pub(super) delta: DeltaTable,
    /// The last commit.
    pub(super) version: u64,
    /// The files after it, by path.
    pub(super) files: BTreeMap<String, DataFile>,
    /// The version of the last checkpoint; 0 if there is none.
    pub(super) checkpoint: u64,
}

/// A file of a table.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DataFile {
    /// Where it is, relative to the table's folder.
    pub path: String,
    /// Its partition.
    pub folders: Folders,
    /// Its rows.
    pub rows: u64,
    /// Its size.
    pub bytes: u64,
    /// The SHA-256 of its bytes as 64 hexadecimal digits, if its writer said so.
    pub sha256: Option<String>,
}

/// What others have committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum News {
    /// Nothing.
    None,
    /// Files were added, and none taken out.
    Added,
    /// Files were taken out, or everything was read anew.
    Changed,
}

impl Log {
    /// Makes the table, unless it is there.
    pub(crate) fn create(store: &Store, table: &'static Table) -> Result<(), LakeError> {
        let place = store.place(table.name);
        let create = CreateBuilder::new()
            .with_log_store(store.log_store(table.name)?)
            .with_table_name(table.name)
            .with_comment(table.about)
            .with_columns(fields(table, Format::LAST))
            .with_partition_columns(table.partition.iter().map(|partition| partition.name))
            .with_configuration_property(
                TableProperty::CheckpointInterval,
                Some(COMMITS_PER_CHECKPOINT.to_string()),
            )
            .with_save_mode(SaveMode::Ignore);
        store.wait(create.into_future()).map_err(|error| LakeError::log(&place, error))?;
        if let Some(log) = store.local(&format!("{}/{LOG}", table.name)) {
            disk::sync(&log.join(entry_name(0)))?;
            disk::sync(&log)?;
            disk::sync(&place)?;
        }
        Ok(())
    }

    /// Whether the table is there.
    pub(crate) fn is_there(store: &Store, table: &Table) -> Result<bool, LakeError> {
        store.holds(&format!("{}/{LOG}", table.name))
    }

    /// Reads the table's log.
    pub(crate) fn open(store: &Store, table: &'static Table) -> Result<Self, LakeError> {
        if !Self::is_there(store, table)? {
            return Err(LakeError::MissingTable { path: store.root().to_owned(), table: table.name });
        }
        let logs = store.log_store(table.name)?;
        let delta = DeltaTable::new(LogStoreRef::clone(&logs));
        let (store, files) = (store.clone(), BTreeMap::new());
        let mut log = Self { table, store, logs, delta, version: 0, files, checkpoint: 0 };
        log.read_anew()?;
        log.checkpoint = log.last_checkpoint()?;
        Ok(log)
    }

    /// The path of a file of the table in the lake.
    pub(crate) fn path(&self, of_table: &str) -> String {
        format!("{}/{of_table}", self.table.name)
    }

    /// The path of the entry of a commit in the lake.
    pub(super) fn entry(&self, version: u64) -> String {
        format!("{}/{LOG}/{}", self.table.name, entry_name(version))
    }

    /// Whether the table has a column of this name.
    pub(crate) fn has_column(&self, name: &str) -> Result<bool, LakeError> {
        let snapshot = self.delta.snapshot().map_err(|error| self.unusable(error))?;
        Ok(snapshot.schema().fields().any(|field| field.name() == name))
    }

    /// The columns that the table must have in a lake of `format` and those that it has, if they differ.
    pub(crate) fn check_columns(&self, format: Format) -> Result<(), LakeError> {
        let list = |fields: Vec<StructField>| {
            let mut names: Vec<String> =
                fields.iter().map(|field| format!("{} {}", field.name(), field.data_type())).collect();
            names.sort();
            names.join(", ")
        };
        let schema = self.delta.snapshot().map_err(|error| self.unusable(error))?.schema();
        let (found, expected) = (list(schema.fields().cloned().collect()), list(fields(self.table, format)));
        if found != expected {
            return Err(LakeError::OtherColumns { table: self.table.name, found, expected });
        }
        Ok(())
    }

    /// Reads what others have committed since.
    pub(crate) fn refresh(&mut self) -> Result<News, LakeError> {
        let mut news = News::None;
        while let Some(entry) = self.store.find(&self.entry(self.version + 1))? {
            match self.take_in(self.version + 1, &entry)? {
                News::Changed => news = News::Changed,
                _ if news == News::None => news = News::Added,
                _ => {}
            }
        }
        // Whoever cleans up a log deletes entries that a checkpoint holds.
        self.checkpoint = self.last_checkpoint()?;
        if self.checkpoint > self.version {
            self.read_anew()?;
            news = News::Changed;
        }
        Ok(news)
    }

    /// The files that the table is made of, sorted by path.
    pub(crate) fn files(&self) -> Vec<DataFile> {
        self.files.values().cloned().collect()
    }

    /// The last version of an application's transactions, if it has made one.
    pub(crate) fn transaction(&self, app_id: &str) -> Result<Option<i64>, LakeError> {
        let table = checkpoint::at_its_end(&self.store, &self.logs).map_err(|error| self.unusable(error))?;
        let snapshot = table.snapshot().map_err(|error| self.unusable(error))?;
        let version = self.store.wait(snapshot.transaction_version(self.logs.as_ref(), app_id));
        version.map_err(|error| self.unusable(error))
    }

    /// Commits since the last checkpoint, if nobody has made the one that was called for.
    pub(crate) fn overdue(&self) -> Option<u64> {
        let commits = self.version.saturating_sub(self.checkpoint);
        (commits >= MOST_COMMITS).then_some(commits)
    }

    /// Writes a checkpoint.
    pub(crate) fn write_checkpoint(&mut self) -> Result<(), LakeError> {
        self.checkpoint = checkpoint::write(&self.store, &self.logs, self.table.name)?;
        Ok(())
    }

    /// The version of the last checkpoint; 0 if there is none.
    fn last_checkpoint(&self) -> Result<u64, LakeError> {
        let pointer = self.store.find(&format!("{}/{LOG}/_last_checkpoint", self.table.name))?;
        let version = |bytes: Bytes| serde_json::from_slice::<Value>(&bytes).ok()?.get("version")?.as_u64();
        Ok(pointer.and_then(version).unwrap_or(0))
    }

    /// Reads the whole log.
    fn read_anew(&mut self) -> Result<(), LakeError> {
        if let Err(error) = self.load() {
            self.refuse_torn_entry()?;
            return Err(error);
        }
        let snapshot = self.delta.snapshot().map_err(|error| self.unusable(error))?;
        #[expect(deprecated, reason = "nothing else tells the tags of a file")]
        let files: Vec<Add> = snapshot.log_data().iter().map(|view| view.add_action()).collect();
        self.version = snapshot.version();
        let files = files.iter().map(|add| self.data_file(add)).collect::<Result<Vec<_>, _>>()?;
        self.files = files.into_iter().map(|file| (file.path.clone(), file)).collect();
        self.refuse_torn(self.version)
    }

    /// Says so if the last entry was cut off, where the log cannot be read.
    fn refuse_torn_entry(&self) -> Result<(), LakeError> {
        let entries = self.store.list(&format!("{}/{LOG}", self.table.name))?;
        let version = |path: &str| path.rsplit('/').next()?.strip_suffix(".json")?.parse().ok();
        let last: Option<u64> = entries.iter().filter_map(|entry| version(&entry.path)).max();
        last.map_or(Ok(()), |last| self.refuse_torn(last))
    }

    /// Refuses an entry that was cut off. One that a checkpoint holds may be gone.
    fn refuse_torn(&self, version: u64) -> Result<(), LakeError> {
        let path = self.entry(version);
        let is_whole = |entry: &Bytes| get_actions(version, entry).is_ok_and(|actions| !actions.is_empty());
        if self.store.find(&path)?.is_none_or(|entry| is_whole(&entry)) {
            return Ok(());
        }
        Err(LakeError::TornEntry { path: self.store.place(&path) })
    }

    /// Lets the crate that knows Delta read what it has not read yet.
    fn load(&mut self) -> Result<(), LakeError> {
        let loaded = self.store.wait(self.delta.update_state());
        loaded.map_err(|error| self.unusable(error))
    }

    /// Takes in the entry of the commit after the last one that is known.
    fn take_in(&mut self, version: u64, entry: &Bytes) -> Result<News, LakeError> {
        let torn = || LakeError::TornEntry { path: self.store.place(&self.entry(version)) };
        let actions =
            get_actions(version, entry).ok().filter(|actions| !actions.is_empty()).ok_or_else(torn)?;
        let mut news = News::Added;
        for action in &actions {
            match action {
                Action::Add(add) => {
                    let file = self.data_file(add)?;
                    self.files.insert(file.path.clone(), file);
                }
                Action::Remove(remove) => {
                    self.files.remove(&remove.path);
                    news = News::Changed;
                }
                Action::CommitInfo(_) | Action::Txn(_) => {}
                _ => {
                    self.read_anew()?;
                    return Ok(News::Changed);
                }
            }
        }
        self.version = version;
        Ok(news)
    }

    fn data_file(&self, add: &Add) -> Result<DataFile, LakeError> {
        // Whoever wrote the log, nothing outside of the table is read or deleted for it.
        let is_inside = Path::new(&add.path).components().all(|part| matches!(part, Component::Normal(_)));
        if !is_inside || is_url(Path::new(&add.path)) {
            let what = format!("its log names `{}`, which leads out of its table", add.path);
            return Err(LakeError::Damaged { path: self.store.place(self.table.name), what });
        }
        let folder = |name: &str| add.partition_values.get(name)?.as_ref()?.parse().ok();
        let stats = add.stats.as_deref().and_then(|stats| serde_json::from_str::<Value>(stats).ok());
        let rows = match stats.and_then(|stats| stats.get("numRecords")?.as_u64()) {
            Some(rows) => rows,
            // Another writer need not have counted.
            None => file::footer(&self.store, &self.path(&add.path))?.file_metadata().num_rows() as u64,
        };
        Ok(DataFile {
            path: add.path.clone(),
            folders: Folders { game_block: folder("game_block"), layer: folder("layer") },
            rows,
            bytes: add.size as u64,
            sha256: add.tags.as_ref().and_then(|tags| tags.get(CHECKSUM)?.clone()),
        })
    }

    pub(super) fn unusable(&self, error: DeltaTableError) -> LakeError {
        LakeError::log(&self.store.place(self.table.name), error)
    }
}

fn entry_name(version: u64) -> String {
    format!("{version:020}.json")
}

/// The columns of the table as its log names them: those of the files, then the folders.
pub(super) fn fields(table: &Table, format: Format) -> Vec<StructField> {
    let column = |column: &schemas::Column| {
        let ty = match column.ty {
            Type::Int32 => DataType::INTEGER,
            Type::Int64 => DataType::LONG,
            Type::Float32 => DataType::FLOAT,
            Type::Utf8 => DataType::STRING,
            Type::Boolean => DataType::BOOLEAN,
        };
        StructField::new(column.name, ty, column.nullable)
    };
    let partition =
        |partition: &schemas::Partition| StructField::new(partition.name, DataType::INTEGER, false);
    format.columns(table).map(column).chain(table.partition.iter().map(partition)).collect()
}

#[cfg(test)]
mod tests {
    use schemas::tokens;

    use super::*;
    use crate::lake::commit::Change;

    /// A checkpoint in a bucket holds what its log says, and commits after it count.
    #[test]
    fn a_log_in_a_bucket_is_checkpointed() {
        let store = Store::in_memory();
        Log::create(&store, &tokens::TABLE).unwrap();
        let mut log = Log::open(&store, &tokens::TABLE).unwrap();
        let commit = |log: &mut Log, name: &str| {
            log.commit(Change { transaction: Some((name.to_owned(), 1)), ..Change::default() }).unwrap();
        };
        for number in 1..=MOST_COMMITS {
            assert_eq!(log.overdue(), None);
            commit(&mut log, &number.to_string());
        }
        assert_eq!(log.overdue(), Some(MOST_COMMITS));
        log.write_checkpoint().unwrap();
        assert_eq!(log.overdue(), None);
        // Whoever was killed before it had said so is made up for after the next commit.
        store.delete(&format!("tokens/{LOG}/_last_checkpoint")).unwrap();
        commit(&mut log, "after");
        log.refresh().unwrap();
        assert_eq!(log.overdue(), Some(MOST_COMMITS + 1));
        log.write_checkpoint().unwrap();
        assert_eq!(log.overdue(), None);
        commit(&mut log, "last");
        for number in 0..=MOST_COMMITS {
            store.delete(&log.entry(number)).unwrap();
        }
        let read = Log::open(&store, &tokens::TABLE).unwrap();
        assert_eq!((read.version, read.overdue()), (MOST_COMMITS + 2, None));
        for name in ["1", "150", "after", "last"] {
            assert_eq!(read.transaction(name).unwrap(), Some(1), "{name}");
        }
    }
}
