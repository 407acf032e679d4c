//! Runs that lose their last game, and the dictionaries that they were the first to use.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{AsArray as _, RecordBatch, StringArray};
use arrow::error::ArrowError;
use schemas::{dictionaries, runs};

use super::compact::{Rewriting, Watch, replace};
use super::compact_keep::Kept;
use super::compact_rewrite::Rewrite;
use super::lock::Held;
use super::log::Log;
use super::verify_quarantine::Gone;
use super::{DataFile, Lake, LakeError};

/// Makes the first run that keeps a game the one that the dictionaries of others are of, so that a dictionary stays as
/// long as anybody has features of it.
pub(super) fn hand_on_dictionaries(
    lake: &mut Lake,
    games: &BTreeSet<i64>,
    lock: &Held,
    gone: &Gone,
    watch: &mut Watch<'_>,
) -> Result<(), LakeError> {
    let contents = &lake.contents;
    let staying = contents.games.iter().filter(|(game, _)| !games.contains(game)).map(|(_, run)| run.clone());
    let staying: BTreeSet<String> = staying.collect();
    let heir = contents.runs.iter().map(|row| &row.run).find(|run| staying.contains(*run)).cloned();
    let is_left = |row: &dictionaries::Row| !staying.contains(&row.run);
    let Some(heir) = heir.filter(|_| contents.dictionaries.iter().any(is_left)) else { return Ok(()) };
    let lost: BTreeSet<String> =
        contents.dictionaries.iter().filter(|row| is_left(row)).map(|row| row.run.clone()).collect();
    let table = &dictionaries::TABLE;
    let Some(log) = lake.logs.iter_mut().find(|log| log.table.name == table.name) else { return Ok(()) };
    rewrite_all(log, &|batch| hand_on(&batch, &lost, &heir), (lock, gone, watch))
}

/// Takes the rows of runs without games out of `runs` and `dictionaries`.
pub(super) fn drop_unused(
    lake: &mut Lake,
    lock: &Held,
    gone: &Gone,
    watch: &mut Watch<'_>,
) -> Result<(), LakeError> {
    let contents = &lake.contents;
    if !contents.has_waiting() {
        return Ok(());
    }
    for log in lake
        .logs
        .iter_mut()
        .filter(|log| [runs::TABLE.name, dictionaries::TABLE.name].contains(&log.table.name))
    {
        let kept = Kept::of(log.table, contents);
        rewrite_all(log, &|batch| kept.filter(batch), (lock, gone, &mut *watch))?;
    }
    Ok(())
}

/// Rewrites a small table as a whole.
fn rewrite_all(
    log: &mut Log,
    keep: &super::compact_merge::Keep<'_>,
    (lock, gone, watch): (&Held, &Gone, &mut Watch<'_>),
) -> Result<(), LakeError> {
    let files: Vec<DataFile> = log.files();
    if files.is_empty() {
        return Ok(());
    }
    let rewrite = Rewrite {
        store: &log.store.clone(),
        table: log.table,
        folders: files[0].folders,
        files: &files,
        sort: log.table.sort.to_vec(),
        keep,
        full: u64::MAX,
        must_be: false,
    };
    let staged = rewrite.write()?;
    watch(Rewriting::Staged(log.table.name));
    replace(log, lock, (files, staged), (false, gone), watch)
}

/// Names the heir where one of the lost runs is named.
fn hand_on(batch: &RecordBatch, lost: &BTreeSet<String>, heir: &str) -> Result<RecordBatch, ArrowError> {
    let column = batch.schema().index_of("run")?;
    let of_row = batch.column(column).as_string_opt::<i32>();
    let of_row = of_row.ok_or_else(|| ArrowError::SchemaError("column `run` is no text".to_owned()))?;
    let named = of_row.iter().map(|run| run.map(|run| if lost.contains(run) { heir } else { run }));
    let named: StringArray = named.collect();
    let mut columns = batch.columns().to_vec();
    columns[column] = Arc::new(named);
    RecordBatch::try_new(batch.schema(), columns)
}
