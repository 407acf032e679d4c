//! The table `feature_rollup` of a lake that has none, made from its features.

use std::collections::BTreeSet;

use schemas::{feature_rollup, features, steps, tokens};

use super::commit::Change;
use super::compact::partitions;
use super::compact_read::Stream;
use super::compact_write::Writer;
use super::layout::{COMPACTED, Folders};
use super::lock::Held;
use super::log::Log;
use super::verify_cells::longs;
use super::{Counted, Lake, LakeError, columns, disk, roll_up};

/// Writes the rollup of every partition that has none. The features of a partition are in memory at a time.
pub(super) fn write(lake: &Lake, lock: &Held) -> Result<(), LakeError> {
    let mut rollup = Log::open(&lake.store, &feature_rollup::TABLE)?;
    let log = lake.log(&features::TABLE)?;
    for (folders, files) in partitions(log) {
        if rollup.files.values().any(|file| file.folders == folders) {
            continue;
        }
        let mut rows = features::Rows::default();
        for file in files {
            each(log, &file.path, |batch| {
                let values = columns::from_arrow(log.table, &batch).unwrap_or_default();
                rows.append(features::Rows::from_values(values).unwrap_or_default());
            })?;
        }
        let games: BTreeSet<i64> = rows.game.iter().copied().collect();
        let counted = Counted::of(&steps_of(lake, &games)?, &tokens_of(lake, &games)?);
        // Rows of games that are not in the lake are left out.
        let mut made = feature_rollup::Rows::default();
        for row in roll_up(&counted, &[&rows]).into_rows() {
            if lake.has_game(row.game) {
                made.push(row);
            }
        }
        lock.check()?;
        put(lake, &mut rollup, folders, made)?;
    }
    Ok(())
}

fn put(lake: &Lake, log: &mut Log, folders: Folders, rows: feature_rollup::Rows) -> Result<(), LakeError> {
    let staged = lake.store.staging()?.join("feature_rollup-new.parquet");
    let batch = columns::to_arrow(log.table, rows.into_values());
    let batch = batch.map_err(|error| LakeError::parquet(&staged, error.into()))?;
    let mut writer = Writer::create(log.table, log.table.sort, staged.clone())?;
    writer.push(batch)?;
    let (written, _) = writer.finish()?;
    if lake.store.objects().is_none() {
        disk::sync(&staged)?;
    }
    let name = format!("{COMPACTED}{:016x}.parquet", 0);
    let path = folders.path().join(name).to_string_lossy().into_owned();
    lake.store.put(&log.path(&path), &staged)?;
    let new = written.at(log.table, path, folders);
    log.commit(Change { add: vec![new], ..Change::default() })
}

fn each(log: &Log, path: &str, mut take: impl FnMut(arrow::array::RecordBatch)) -> Result<(), LakeError> {
    for batch in Stream::of(log.table, &log.store, &log.path(path))? {
        take(batch?);
    }
    Ok(())
}

fn steps_of(lake: &Lake, games: &BTreeSet<i64>) -> Result<steps::Rows, LakeError> {
    let (log, mut rows) = (lake.log(&steps::TABLE)?, steps::Rows::default());
    for file in log.files() {
        each(log, &file.path, |batch| {
            if longs(&batch, "game").iter().any(|game| games.contains(game)) {
                let values = columns::from_arrow(log.table, &batch).unwrap_or_default();
                rows.append(steps::Rows::from_values(values).unwrap_or_default());
            }
        })?;
    }
    Ok(rows)
}

fn tokens_of(lake: &Lake, games: &BTreeSet<i64>) -> Result<tokens::Rows, LakeError> {
    let (log, mut rows) = (lake.log(&tokens::TABLE)?, tokens::Rows::default());
    for file in log.files() {
        each(log, &file.path, |batch| {
            if longs(&batch, "game").iter().any(|game| games.contains(game)) {
                let values = columns::from_arrow(log.table, &batch).unwrap_or_default();
                rows.append(tokens::Rows::from_values(values).unwrap_or_default());
            }
        })?;
    }
    Ok(rows)
}
