//! Rows of games in the causal tables, whose files keep their names: an analysis that is done again takes their place.

use std::collections::BTreeSet;

use super::commit::Change;
use super::compact::{Rewriting, Watch};
use super::compact_keep::of_games;
use super::compact_rewrite::{Rewrite, Staged};
use super::drop::{Dropped, holds};
use super::lock::Held;
use super::log::Log;
use super::verify_quarantine::Gone;
use super::{LakeError, disk, file};

/// Rewrites the files of a table that hold rows of the games.
pub(super) fn drop_rows(
    log: &mut Log,
    games: &BTreeSet<i64>,
    lock: &Held,
    gone: &Gone,
    watch: &mut Watch<'_>,
    done: &mut Dropped,
) -> Result<(), LakeError> {
    if log.table.column("game").is_none() {
        return Ok(());
    }
    for file in log.files() {
        let (path, store) = (log.path(&file.path), log.store.clone());
        // A file that was put in place without its commit is not as the log says.
        let is_as_said = store.size(&path)? == file.bytes;
        if is_as_said && !holds(log, &file, games)? {
            continue;
        }
        let footer = file::footer(&store, &path)?;
        let rewrite = Rewrite {
            store: &store,
            table: log.table,
            folders: file.folders,
            files: std::slice::from_ref(&file),
            sort: Rewrite::sort_of(log.table, &footer),
            keep: &|batch| of_games(batch, |game| !games.contains(&game)),
            full: u64::MAX,
            must_be: false,
        };
        let mut staged = rewrite.write()?;
        watch(Rewriting::Staged(log.table.name));
        done.count(&footer, &staged);
        lock.check()?;
        let Some(Staged { place, mut new }) = staged.pop() else {
            log.remove(vec![file])?;
            gone.take(lock, &store, &path)?;
            continue;
        };
        if store.objects().is_none() {
            disk::sync(&place)?;
        }
        new.file.path.clone_from(&file.path);
        store.put(&path, &place)?;
        watch(Rewriting::Moved(log.table.name));
        log.commit(Change { add: vec![new], ..Change::default() })?;
        watch(Rewriting::Committed(log.table.name));
    }
    Ok(())
}
