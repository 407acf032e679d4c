//! A table's Delta log: which files belong to the table, and how others come to.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use deltalake::kernel::transaction::{CommitBuilder, CommitProperties, TableReference};
use deltalake::kernel::{Action, Add, DataType, LogicalFileView, Remove, StructField};
use deltalake::operations::create::CreateBuilder;
use deltalake::protocol::{DeltaOperation, SaveMode};
use deltalake::{
    DeltaTable, DeltaTableBuilder, DeltaTableError, TableProperty, checkpoints, ensure_table_uri,
};
use schemas::{Table, Type};
use serde_json::Value;

use super::layout::{Folders, LOG};
use super::{Format, LakeError, file, statistics};

/// A checkpoint gathers this many commits in one file. Without checkpoints, opening a table reads every
/// commit: 20 to 30 seconds at some ten thousand.
const COMMITS_PER_CHECKPOINT: u64 = 100;

/// A table's log as it was last read.
pub(crate) struct Log {
    pub(crate) table: &'static Table,
    pub(crate) folder: PathBuf,
    delta: DeltaTable,
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
}

impl Log {
    /// Makes the table, unless it is there.
    pub(crate) async fn create(root: &Path, table: &'static Table) -> Result<(), LakeError> {
        let folder = root.join(table.name);
        let location = folder.to_str().ok_or_else(|| LakeError::NotUtf8 { path: folder.clone() })?;
        fs::create_dir_all(&folder).map_err(|error| LakeError::io(&folder, error))?;
        CreateBuilder::new()
            .with_location(location)
            .with_table_name(table.name)
            .with_comment(table.about)
            .with_columns(fields(table, Format::LAST))
            .with_partition_columns(table.partition.iter().map(|partition| partition.name))
            .with_configuration_property(
                TableProperty::CheckpointInterval,
                Some(COMMITS_PER_CHECKPOINT.to_string()),
            )
            .with_save_mode(SaveMode::Ignore)
            .await
            .map_err(|error| LakeError::log(&folder, error))?;
        sync_folder(&folder.join(LOG))?;
        sync_folder(&folder)
    }

    /// Reads the table's log.
    pub(crate) async fn open(root: &Path, table: &'static Table) -> Result<Self, LakeError> {
        let folder = root.join(table.name);
        if !folder.join(LOG).is_dir() {
            return Err(LakeError::MissingTable { path: root.to_owned(), table: table.name });
        }
        let location = folder.to_str().ok_or_else(|| LakeError::NotUtf8 { path: folder.clone() })?;
        let delta = load(location).await.map_err(|error| LakeError::log(&folder, error))?;
        Ok(Self { table, folder, delta })
    }

    /// Reads the logs of the causal tables, as far as they are there.
    pub(crate) async fn open_causal(root: &Path) -> Result<Vec<Self>, LakeError> {
        let mut logs = Vec::new();
        for table in schemas::CAUSAL {
            if root.join(table.name).join(LOG).is_dir() {
                logs.push(Self::open(root, table).await?);
            }
        }
        Ok(logs)
    }

    /// Whether the table has a column of this name.
    pub(crate) fn has_column(&self, name: &str) -> Result<bool, LakeError> {
        Ok(self.snapshot()?.schema().fields().any(|field| field.name() == name))
    }

    /// The columns that the table must have in a lake of `format` and those that it has, if they differ.
    pub(crate) fn check_columns(&self, format: Format) -> Result<(), LakeError> {
        let list = |fields: Vec<StructField>| {
            let mut names: Vec<String> =
                fields.iter().map(|field| format!("{} {}", field.name(), field.data_type())).collect();
            names.sort();
            names.join(", ")
        };
        let schema = self.snapshot()?.schema();
        let (found, expected) = (list(schema.fields().cloned().collect()), list(fields(self.table, format)));
        if found != expected {
            return Err(LakeError::OtherColumns { table: self.table.name, found, expected });
        }
        Ok(())
    }

    /// Reads what others have committed since; true if there was something.
    pub(crate) async fn refresh(&mut self) -> Result<bool, LakeError> {
        let before = self.delta.version();
        self.delta.update_state().await.map_err(|error| LakeError::log(&self.folder, error))?;
        Ok(self.delta.version() != before)
    }

    /// The files that the table is made of, sorted by path.
    pub(crate) fn files(&self) -> Result<Vec<DataFile>, LakeError> {
        let log = self.snapshot()?.log_data();
        let mut files: Vec<DataFile> =
            log.iter().map(|view| self.data_file(&view)).collect::<Result<_, _>>()?;
        files.sort();
        Ok(files)
    }

    /// Commits files that lie in the table's folder. One that is a file of the table already takes its
    /// own place: the latest `add` of a path counts.
    pub(crate) async fn add(&mut self, files: &[(String, Folders)]) -> Result<(), LakeError> {
        let actions: Vec<Action> = files
            .iter()
            .map(|(path, folders)| self.add_action(path, *folders).map(Action::Add))
            .collect::<Result<_, _>>()?;
        let partition_by = self.table.partition.iter().map(|partition| partition.name.to_owned()).collect();
        let operation = DeltaOperation::Write {
            mode: SaveMode::Append,
            partition_by: Some(partition_by),
            predicate: None,
        };
        self.commit(actions, operation).await
    }

    /// Takes files out of the table.
    pub(crate) async fn remove(&mut self, files: &[DataFile]) -> Result<(), LakeError> {
        let action = |file: &DataFile| {
            Action::Remove(Remove {
                path: file.path.clone(),
                data_change: true,
                extended_file_metadata: Some(true),
                partition_values: Some(partition_values(file.folders)),
                size: Some(file.bytes as i64),
                deletion_timestamp: Some(chrono::Utc::now().timestamp_millis()),
                ..Remove::default()
            })
        };
        let actions = files.iter().map(action).collect();
        self.commit(actions, DeltaOperation::Delete { predicate: None }).await
    }

    /// Writes a checkpoint if enough commits have come since the last one.
    pub(crate) async fn checkpoint_if_due(&self) -> Result<(), LakeError> {
        let version = self.snapshot()?.version();
        let pointer = self.folder.join(LOG).join("_last_checkpoint");
        let last = fs::read(pointer)
            .ok()
            .and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok()?.get("version")?.as_u64());
        if version - last.unwrap_or(0) < COMMITS_PER_CHECKPOINT {
            return Ok(());
        }
        let written = checkpoints::create_checkpoint(&self.delta, None).await;
        written.map_err(|error| LakeError::log(&self.folder, error))
    }

    async fn commit(&mut self, actions: Vec<Action>, operation: DeltaOperation) -> Result<(), LakeError> {
        let folder = self.folder.clone();
        // Checkpoints come before a batch and old entries stay: after a commit nothing may fail any more.
        let properties =
            CommitProperties::default().with_create_checkpoint(false).with_cleanup_expired_logs(Some(false));
        let snapshot = self.snapshot()?;
        let done = CommitBuilder::from(properties)
            .with_actions(actions)
            .build(Some(snapshot as &dyn TableReference), self.delta.log_store(), operation)
            .await
            .map_err(|error| LakeError::log(&folder, error))?;
        let entry = folder.join(LOG).join(format!("{:020}.json", done.version()));
        self.delta.state = Some(done.snapshot);
        sync_file(&entry)?;
        sync_folder(&folder.join(LOG))
    }

    fn snapshot(&self) -> Result<&deltalake::table::state::DeltaTableState, LakeError> {
        self.delta.snapshot().map_err(|error| LakeError::log(&self.folder, error))
    }

    fn add_action(&self, path: &str, folders: Folders) -> Result<Add, LakeError> {
        let place = self.folder.join(path);
        let about = fs::metadata(&place).map_err(|error| LakeError::io(&place, error))?;
        let modified = about.modified().map_err(|error| LakeError::io(&place, error))?;
        let footer = file::footer(&place)?;
        Ok(Add {
            path: path.to_owned(),
            partition_values: partition_values(folders),
            size: about.len() as i64,
            modification_time: chrono::DateTime::<chrono::Utc>::from(modified).timestamp_millis(),
            data_change: true,
            stats: Some(statistics::of_footer(self.table, &footer)),
            ..Add::default()
        })
    }

    fn data_file(&self, view: &LogicalFileView) -> Result<DataFile, LakeError> {
        let values = view.partition_values_map();
        let folder = |name: &str| values.get(name)?.as_ref()?.parse().ok();
        let path = view.path().into_owned();
        let rows = match view.num_records() {
            Some(rows) => rows as u64,
            // Another writer need not have counted.
            None => file::footer(&self.folder.join(&path))?.file_metadata().num_rows() as u64,
        };
        let folders = Folders { game_block: folder("game_block"), layer: folder("layer") };
        Ok(DataFile { path, folders, rows, bytes: view.size() as u64 })
    }
}

async fn load(location: &str) -> Result<DeltaTable, DeltaTableError> {
    DeltaTableBuilder::from_url(ensure_table_uri(location)?)?.load().await
}

/// Waits until the disk has what a folder lists.
pub(crate) fn sync_folder(folder: &Path) -> Result<(), LakeError> {
    sync_file(folder)
}

fn sync_file(path: &Path) -> Result<(), LakeError> {
    File::open(path).and_then(|file| file.sync_all()).map_err(|error| LakeError::io(path, error))
}

/// The columns of the table as its log names them: those of the files, then the folders.
fn fields(table: &Table, format: Format) -> Vec<StructField> {
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

fn partition_values(folders: Folders) -> std::collections::HashMap<String, Option<String>> {
    folders.values().map(|(name, value)| (name.to_owned(), Some(value.to_string()))).collect()
}
