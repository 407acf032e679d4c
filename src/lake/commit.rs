//! Commits to a table's Delta log, each at the very version after the one that was read under the writers' lock.

use std::collections::HashMap;
use std::path::PathBuf;

use bytes::Bytes;
use deltalake::DeltaTableError;
use deltalake::kernel::transaction::{CommitData, PROTOCOL};
use deltalake::kernel::{Action, Add, Metadata, MetadataExt as _, Remove, StructType, Transaction};
use deltalake::protocol::{DeltaOperation, SaveMode};

use super::layout::Folders;
use super::log::{CHECKSUM, DataFile, Log, fields};
use super::{Format, LakeError, disk};

/// The application whose transactions are takeovers of the writers' lock.
const FENCE: &str = "saelake.lock";

/// A file that lies in a table's folder and that the table's log is to name.
#[derive(Clone, Debug)]
pub(crate) struct NewFile {
    /// What the log will say of it.
    pub(crate) file: DataFile,
    /// Its statistics as the Delta protocol writes them.
    pub(crate) stats: String,
}

/// What a commit does.
#[derive(Clone, Debug, Default)]
pub(crate) struct Change {
    /// Files that come to the table. One that is a file of the table already takes its own place: the latest `add` of a
    /// path counts.
    pub(crate) add: Vec<NewFile>,
    /// Files that are taken out of it.
    pub(crate) remove: Vec<DataFile>,
    /// Whether the rows are the same afterwards, as compaction leaves them.
    pub(crate) same_rows: bool,
    /// The format whose columns the table has from now on, if they change.
    pub(crate) columns: Option<Format>,
    /// The application and the number of its transaction, by which it tells that it has made the commit already.
    pub(crate) transaction: Option<(String, i64)>,
}

/// A commit that nobody sees yet.
pub(crate) struct Prepared {
    change: Change,
    version: u64,
    entry: Bytes,
    /// Its entry on the disk, where the lake is local.
    staged: Option<PathBuf>,
}

impl Log {
    /// Makes a commit. When it returns, it is there to stay.
    pub(crate) fn commit(&mut self, change: Change) -> Result<(), LakeError> {
        let prepared = self.prepare(change)?;
        self.publish(prepared)
    }

    /// Makes all of a commit but what lets others see it.
    pub(crate) fn prepare(&self, change: Change) -> Result<Prepared, LakeError> {
        let version = self.version + 1;
        let entry = self.entry_of(&change).map_err(|error| self.unusable(error))?;
        let mut staged = None;
        if self.store.objects().is_none() {
            let path = self.store.staging()?.join(format!("{}-{version:020}.json", self.table.name));
            disk::write(&path, &entry)?;
            staged = Some(path);
        }
        Ok(Prepared { change, version, entry, staged })
    }

    /// Lets others see a commit.
    ///
    /// # Errors
    /// [`LakeError::Overtaken`] if there is a commit of this version already.
    pub(crate) fn publish(&mut self, prepared: Prepared) -> Result<(), LakeError> {
        let Prepared { change, version, entry, staged } = prepared;
        if version != self.version + 1
            || !self.store.create(&self.entry(version), &entry, staged.as_deref())?
        {
            let path = self.store.root().to_owned();
            return Err(LakeError::Overtaken { path, table: self.table.name, version });
        }
        self.version = version;
        for file in &change.remove {
            self.files.remove(&file.path);
        }
        for NewFile { file, .. } in change.add {
            self.files.insert(file.path.clone(), file);
        }
        Ok(())
    }

    /// Takes files out of the table.
    pub(crate) fn remove(&mut self, files: Vec<DataFile>) -> Result<(), LakeError> {
        self.commit(Change { remove: files, ..Change::default() })
    }

    /// Makes a commit that changes nothing, after everything that others have committed: whoever held the lock before
    /// finds its version taken.
    pub(super) fn fence(&mut self, takeover: i64) -> Result<(), LakeError> {
        loop {
            self.refresh()?;
            let transaction = Some((FENCE.to_owned(), takeover));
            match self.commit(Change { transaction, ..Change::default() }) {
                // The late writer was faster once more. It gets through with one commit at most.
                Err(LakeError::Overtaken { .. }) => {}
                done => return done,
            }
        }
    }

    /// The bytes of the entry.
    fn entry_of(&self, change: &Change) -> Result<Bytes, DeltaTableError> {
        let same_rows = change.same_rows;
        let add = change.add.iter().map(|new| Action::Add(add_action(new, same_rows)));
        let remove = change.remove.iter().map(|file| Action::Remove(remove_action(file, same_rows)));
        let metadata = change.columns.map(|format| self.metadata(format)).transpose()?.map(Action::Metadata);
        let actions: Vec<Action> = metadata.into_iter().chain(remove).chain(add).collect();
        let operation = match (change.add.is_empty(), change.remove.is_empty()) {
            (true, false) => DeltaOperation::Delete { predicate: None },
            (false, false) if same_rows => DeltaOperation::Optimize { predicate: None, target_size: 0 },
            _ => {
                let partition_by = self.table.partition.iter().map(|partition| partition.name.to_owned());
                let partition_by = Some(partition_by.collect());
                DeltaOperation::Write { mode: SaveMode::Append, partition_by, predicate: None }
            }
        };
        PROTOCOL.can_commit(self.delta.snapshot()?, &actions, &operation)?;
        let transaction = change.transaction.clone().map(|(app_id, version)| {
            let last_updated = Some(chrono::Utc::now().timestamp_millis());
            Transaction { app_id, version, last_updated }
        });
        let transactions = transaction.into_iter().collect();
        Ok(CommitData::new(actions, operation, HashMap::new(), transactions).get_bytes()?)
    }
}

impl Log {
    /// What the log will say of the table as a whole once it has the columns of `format`.
    fn metadata(&self, format: Format) -> Result<Metadata, DeltaTableError> {
        let columns = StructType::try_new(fields(self.table, format))?;
        Ok(self.delta.snapshot()?.metadata().clone().with_schema(&columns)?)
    }
}

fn add_action(NewFile { file, stats }: &NewFile, same_rows: bool) -> Add {
    let checksum = file.sha256.clone().map(|sha256| HashMap::from([(CHECKSUM.to_owned(), Some(sha256))]));
    Add {
        path: file.path.clone(),
        partition_values: partition_values(file.folders),
        size: file.bytes as i64,
        modification_time: chrono::Utc::now().timestamp_millis(),
        data_change: !same_rows,
        stats: Some(stats.clone()),
        tags: checksum,
        ..Add::default()
    }
}

fn remove_action(file: &DataFile, same_rows: bool) -> Remove {
    Remove {
        path: file.path.clone(),
        data_change: !same_rows,
        extended_file_metadata: Some(true),
        partition_values: Some(partition_values(file.folders)),
        size: Some(file.bytes as i64),
        deletion_timestamp: Some(chrono::Utc::now().timestamp_millis()),
        ..Remove::default()
    }
}

fn partition_values(folders: Folders) -> HashMap<String, Option<String>> {
    folders.values().map(|(name, value)| (name.to_owned(), Some(value.to_string()))).collect()
}
