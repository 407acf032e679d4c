//! The files of a lake that are sound by themselves.

use arrow::array::RecordBatch;
use schemas::Table;

use super::compact_read::Stream;
use super::layout::Folders;
use super::log::Log;
use super::verify_file::Facts;
use super::{DataFile, LakeError};

/// Those of every table.
pub(super) struct Sound<'a>(pub(super) Vec<(&'a Log, Vec<(DataFile, Facts)>)>);

impl Sound<'_> {
    /// Those of a table.
    pub(super) fn of(&self, table: &Table) -> Option<(&Log, &[(DataFile, Facts)])> {
        let found = self.0.iter().find(|(log, _)| log.table.name == table.name);
        found.map(|(log, files)| (*log, files.as_slice()))
    }

    /// Hands on the rows of a table, with the path of their file.
    pub(super) fn each(
        &self,
        table: &'static Table,
        mut take: impl FnMut(&str, &RecordBatch),
    ) -> Result<(), LakeError> {
        self.each_in(table, None, |path, batch| take(path, batch))
    }

    /// The same of a partition.
    pub(super) fn each_in(
        &self,
        table: &'static Table,
        folders: Option<Folders>,
        mut take: impl FnMut(&str, &RecordBatch),
    ) -> Result<(), LakeError> {
        let Some((log, files)) = self.of(table) else { return Ok(()) };
        for (file, _) in
            files.iter().filter(|(file, _)| folders.is_none_or(|folders| folders == file.folders))
        {
            let path = log.path(&file.path);
            for batch in Stream::of(table, &log.store, &path)? {
                take(&path, &batch?);
            }
        }
        Ok(())
    }
}
