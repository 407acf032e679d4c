//! Files that take the place of others, with the same rows or fewer, in the order that is wanted.

use std::path::PathBuf;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::error::ArrowError;
use parquet::file::metadata::ParquetMetaData;
use schemas::Table;
use sha2::{Digest as _, Sha256};

use super::checksum::Checksum;
use super::commit::NewFile;
use super::compact_merge::{Keep, Merge};
use super::compact_order::{Keys, said};
use super::compact_read::Stream;
use super::compact_write::Writer;
use super::layout::{COMPACTED, Folders};
use super::store::Store;
use super::{DataFile, LakeError, columns, disk, file};

/// Streams that are merged at a time; of more, parts are merged first. Each holds about a megabyte.
const MERGED_AT_ONCE: usize = 64;

/// Rows that are sorted in memory.
const SORTED_AT_ONCE: usize = 1 << 20;

/// What is to be rewritten.
pub(super) struct Rewrite<'a> {
    pub(super) store: &'a Store,
    pub(super) table: &'static Table,
    pub(super) folders: Folders,
    pub(super) files: &'a [DataFile],
    /// The columns that the rows are to be sorted by.
    pub(super) sort: Vec<&'static str>,
    /// The rows that stay.
    pub(super) keep: &'a Keep<'a>,
    /// A file that has this many bytes is full.
    pub(super) full: u64,
    /// Whether there is to be a file even if no row stays.
    pub(super) must_be: bool,
}

/// A file that is written and not in its place.
pub(super) struct Staged {
    pub(super) place: PathBuf,
    pub(super) new: NewFile,
}

/// A sorted part of the rows.
enum Part<'a> {
    InLake(&'a DataFile),
    Staged(PathBuf),
}

impl Rewrite<'_> {
    /// The order that a file has, as columns of its table; the usual one if it does not say.
    pub(super) fn sort_of(table: &'static Table, footer: &ParquetMetaData) -> Vec<&'static str> {
        let column = |name: String| Some(table.column(&name)?.name);
        let sort = said(footer).and_then(|sort| sort.into_iter().map(column).collect::<Option<Vec<_>>>());
        sort.unwrap_or_else(|| table.sort.to_vec())
    }

    /// Writes the files to the staging folder, and reads them back.
    ///
    /// # Errors
    /// [`LakeError::RowsChanged`] if they do not have the rows that were to stay, told by a checksum.
    pub(super) fn write(&self) -> Result<Vec<Staged>, LakeError> {
        let failed = |error: ArrowError| LakeError::parquet(&self.store.place(self.table.name), error.into());
        let keys = Keys::of(&columns::schema(self.table), &self.sort).map_err(failed)?;
        let mut given = Checksum::default();
        let mut parts = Vec::new();
        for file in self.files {
            given.join(self.checksum(file)?);
            self.add_parts(&keys, file, &mut parts)?;
        }
        let mut merged = 0;
        while parts.len() > MERGED_AT_ONCE {
            let some: Vec<Part<'_>> = parts.drain(..MERGED_AT_ONCE).collect();
            let place = self.staged(&format!("merged-{merged}"))?;
            let mut writer = Writer::create(self.table, &self.sort, place.clone())?;
            self.merge(&keys, &some, |batch| writer.push(batch))?;
            writer.finish()?;
            Self::delete(&some)?;
            parts.push(Part::Staged(place));
            merged += 1;
        }
        let (written, found) = self.write_files(&keys, &parts)?;
        Self::delete(&parts)?;
        if found != given {
            return Err(LakeError::RowsChanged { path: self.store.place(self.table.name) });
        }
        Ok(written)
    }

    /// The checksum of the rows of a file that stay.
    fn checksum(&self, file: &DataFile) -> Result<Checksum, LakeError> {
        let mut checksum = Checksum::default();
        let path = self.path(file);
        for batch in Stream::of(self.table, self.store, &path)? {
            let kept = (self.keep)(batch?);
            checksum.add(&kept.map_err(|error| LakeError::parquet(&self.store.place(&path), error.into()))?);
        }
        Ok(checksum)
    }

    /// Adds a file to the parts, sorted in pieces if it has another order.
    fn add_parts<'a>(
        &self,
        keys: &Keys,
        file: &'a DataFile,
        parts: &mut Vec<Part<'a>>,
    ) -> Result<(), LakeError> {
        let path = self.path(file);
        if said(&file::footer(self.store, &path)?).is_none_or(|sort| sort == self.sort) {
            parts.push(Part::InLake(file));
            return Ok(());
        }
        let failed = |error: ArrowError| LakeError::parquet(&self.store.place(&path), error.into());
        let mut stream = Stream::of(self.table, self.store, &path)?;
        loop {
            let (mut rows, mut n_rows) = (Vec::<RecordBatch>::new(), 0);
            while n_rows < SORTED_AT_ONCE
                && let Some(batch) = stream.next()
            {
                let batch = (self.keep)(batch?).map_err(failed)?;
                n_rows += batch.num_rows();
                rows.push(batch);
            }
            if rows.is_empty() {
                return Ok(());
            }
            let rows = concat_batches(&columns::schema(self.table), &rows).map_err(failed)?;
            let place = self.staged(&format!("sorted-{}", parts.len()))?;
            let mut writer = Writer::create(self.table, &self.sort, place.clone())?;
            writer.push(keys.sorted(&rows).map_err(failed)?)?;
            writer.finish()?;
            parts.push(Part::Staged(place));
        }
    }

    /// Hands on the rows of all parts in order.
    fn merge(
        &self,
        keys: &Keys,
        parts: &[Part<'_>],
        mut push: impl FnMut(RecordBatch) -> Result<(), LakeError>,
    ) -> Result<(), LakeError> {
        let mut streams: Vec<(Stream, &Keep<'_>)> = Vec::new();
        for part in parts {
            streams.push(match part {
                Part::InLake(file) => (Stream::of(self.table, self.store, &self.path(file))?, self.keep),
                Part::Staged(place) => (Stream::of_staged(self.table, place)?, &Ok),
            });
        }
        let mut merge = Merge::of(keys, streams)?;
        while let Some(batch) = merge.next()? {
            push(batch)?;
        }
        Ok(())
    }

    /// Writes the files of the result; a file that is full is followed by another.
    fn write_files(&self, keys: &Keys, parts: &[Part<'_>]) -> Result<(Vec<Staged>, Checksum), LakeError> {
        let (mut written, mut found) = (Vec::new(), Checksum::default());
        let mut writer: Option<Writer> = None;
        let mut end = |writer: Writer, written: &mut Vec<Staged>| {
            let (about, checksum) = writer.finish()?;
            found.join(checksum);
            let name = name(self.files, written.len());
            let place = self.staged(&format!("new-{}", written.len()))?;
            let path = self.folders.path().join(name).to_string_lossy().into_owned();
            written.push(Staged { place, new: about.at(self.table, path, self.folders) });
            Ok::<_, LakeError>(())
        };
        self.merge(keys, parts, |batch| {
            let full = writer.take_if(|writer| writer.bytes() >= self.full);
            full.map_or(Ok(()), |full| end(full, &mut written))?;
            if writer.is_none() {
                let place = self.staged(&format!("new-{}", written.len()))?;
                writer = Some(Writer::create(self.table, &self.sort, place)?);
            }
            writer.as_mut().map_or(Ok(()), |writer| writer.push(batch))
        })?;
        if writer.is_none() && written.is_empty() && self.must_be {
            writer = Some(Writer::create(self.table, &self.sort, self.staged("new-0")?)?);
        }
        writer.map_or(Ok(()), |writer| end(writer, &mut written))?;
        Ok((written, found))
    }

    fn path(&self, file: &DataFile) -> String {
        format!("{}/{}", self.table.name, file.path)
    }

    /// A place in the staging folder.
    fn staged(&self, name: &str) -> Result<PathBuf, LakeError> {
        Ok(self.store.staging()?.join(format!("{}-{name}.parquet", self.table.name)))
    }

    fn delete(parts: &[Part<'_>]) -> Result<(), LakeError> {
        parts.iter().try_for_each(|part| match part {
            Part::InLake(_) => Ok(()),
            Part::Staged(place) => disk::delete(place),
        })
    }
}

/// The name of the file that replaces these, or of another one that does so with it.
fn name(replaced: &[DataFile], index: usize) -> String {
    let mut hash = Sha256::new();
    for file in replaced {
        hash.update(file.path.as_bytes());
        hash.update(b"\n");
    }
    hash.update(index.to_string());
    let hash = format!("{:x}", hash.finalize());
    format!("{COMPACTED}{}.parquet", &hash[..16])
}
