//! Sorted streams as one.

use std::cmp::Ordering;

use arrow::array::RecordBatch;
use arrow::compute::interleave_record_batch;
use arrow::error::ArrowError;
use arrow::row::{OwnedRow, Rows};

use super::LakeError;
use super::compact_order::Keys;
use super::compact_read::Stream;
use super::file::ROWS_PER_PAGE;

/// What is done to the rows of a file before anything else.
pub(super) type Keep<'a> = dyn Fn(RecordBatch) -> Result<RecordBatch, ArrowError> + Sync + 'a;

/// Streams that are sorted, as one that is.
pub(super) struct Merge<'a> {
    keys: &'a Keys,
    cursors: Vec<Cursor<'a>>,
}

/// A stream at one of its rows.
struct Cursor<'a> {
    stream: Stream,
    keep: &'a Keep<'a>,
    batch: RecordBatch,
    rows: Rows,
    at: usize,
    /// Which of the batches that are being copied from its own is.
    held: Option<usize>,
}

impl<'a> Merge<'a> {
    /// At the first row of all.
    ///
    /// # Errors
    /// If a file cannot be read; [`LakeError::Damaged`] if it is not sorted.
    pub(super) fn of(keys: &'a Keys, streams: Vec<(Stream, &'a Keep<'a>)>) -> Result<Self, LakeError> {
        let begin = |(stream, keep)| Cursor::begin(keys, stream, keep);
        let cursors = streams.into_iter().map(begin).collect::<Result<Vec<_>, LakeError>>()?;
        Ok(Self { keys, cursors: cursors.into_iter().flatten().collect() })
    }

    /// The next rows, a page of them at most; none at the end.
    ///
    /// # Errors
    /// As [`Merge::of`]; if two rows have the same key.
    pub(super) fn next(&mut self) -> Result<Option<RecordBatch>, LakeError> {
        let (mut held, mut places): (Vec<RecordBatch>, Vec<(usize, usize)>) = (Vec::new(), Vec::new());
        self.cursors.iter_mut().for_each(|cursor| cursor.held = None);
        while places.len() < ROWS_PER_PAGE {
            let Some((least, end)) = self.least()? else { break };
            let cursor = &mut self.cursors[least];
            let end = end.min(cursor.at + ROWS_PER_PAGE - places.len());
            let batch = *cursor.held.get_or_insert_with(|| {
                held.push(cursor.batch.clone());
                held.len() - 1
            });
            places.extend((cursor.at..end).map(|row| (batch, row)));
            cursor.at = end;
            if cursor.at == cursor.batch.num_rows() && !cursor.advance(self.keys)? {
                self.cursors.swap_remove(least);
            }
        }
        if places.is_empty() {
            return Ok(None);
        }
        let held: Vec<&RecordBatch> = held.iter().collect();
        let rows = interleave_record_batch(&held, &places);
        rows.map(Some).map_err(|error| LakeError::parquet("a merge of files".as_ref(), error.into()))
    }

    /// The cursor at the least row, and the end of its rows that come before those of all others.
    fn least(&self) -> Result<Option<(usize, usize)>, LakeError> {
        let Some(mut least) = (!self.cursors.is_empty()).then_some(0) else { return Ok(None) };
        let mut second: Option<usize> = None;
        for (index, cursor) in self.cursors.iter().enumerate().skip(1) {
            if cursor.compare(&self.cursors[least]).is_lt() {
                (least, second) = (index, Some(least));
            } else if second.is_none_or(|second| cursor.compare(&self.cursors[second]).is_lt()) {
                second = Some(index);
            }
        }
        let cursor = &self.cursors[least];
        let Some(second) = second.map(|second| &self.cursors[second]) else {
            return Ok(Some((least, cursor.batch.num_rows())));
        };
        let end = cursor.end_before(second);
        if end == cursor.at {
            let what = format!("a row of it is in {} too", second.stream.place().display());
            return Err(LakeError::Damaged { path: cursor.stream.place().to_owned(), what });
        }
        Ok(Some((least, end)))
    }
}

impl<'a> Cursor<'a> {
    /// At the first row, if there is one.
    fn begin(keys: &Keys, stream: Stream, keep: &'a Keep<'a>) -> Result<Option<Self>, LakeError> {
        let failed = |error: ArrowError| LakeError::parquet(stream.place(), error.into());
        let batch = RecordBatch::new_empty(stream.schema());
        let rows = keys.rows(&batch).map_err(failed)?;
        let mut cursor = Self { stream, keep, batch, rows, at: 0, held: None };
        Ok(cursor.advance(keys)?.then_some(cursor))
    }

    /// Goes on to the next batch that has rows; false if there is none.
    fn advance(&mut self, keys: &Keys) -> Result<bool, LakeError> {
        let n_rows = self.batch.num_rows();
        let last: Option<OwnedRow> = (n_rows > 0).then(|| self.rows.row(n_rows - 1).owned());
        while let Some(batch) = self.stream.next() {
            let failed = |error: ArrowError| LakeError::parquet(self.stream.place(), error.into());
            let batch = (self.keep)(batch?).map_err(failed)?;
            if batch.num_rows() == 0 {
                continue;
            }
            let rows = keys.rows(&batch).map_err(failed)?;
            let follows = last.as_ref().is_none_or(|last| last.row() < rows.row(0));
            if !follows || (1..rows.num_rows()).any(|row| rows.row(row - 1) >= rows.row(row)) {
                let what = "its rows are not sorted as its footer says".to_owned();
                return Err(LakeError::Damaged { path: self.stream.place().to_owned(), what });
            }
            (self.batch, self.rows, self.at, self.held) = (batch, rows, 0, None);
            return Ok(true);
        }
        Ok(false)
    }

    fn compare(&self, other: &Self) -> Ordering {
        self.rows.row(self.at).cmp(&other.rows.row(other.at))
    }

    /// The end of the rows that come before the other's.
    fn end_before(&self, other: &Self) -> usize {
        let (bound, mut low, mut high) = (other.rows.row(other.at), self.at, self.rows.num_rows());
        while low < high {
            let middle = low.midpoint(high);
            if self.rows.row(middle) < bound { low = middle + 1 } else { high = middle }
        }
        low
    }
}
