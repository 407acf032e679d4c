//! Whether a row is in two files.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use super::compact_keep::of_games;
use super::compact_order::Keys;
use super::compact_read::Stream;
use super::log::Log;
use super::verify_file::Facts;
use super::{DataFile, LakeError, columns};

/// The files that have a row of a file before them, which is named too.
///
/// Only files with rows of the same game are compared, and of those only the rows of such games are remembered.
pub(super) fn find<'a>(
    log: &Log,
    files: &'a [(DataFile, Facts)],
) -> Result<Vec<(&'a DataFile, &'a DataFile)>, LakeError> {
    let mut found: Vec<(&DataFile, &DataFile)> = Vec::new();
    for ((one, other), games) in sharing(files) {
        let ((earlier, of_earlier), (later, of_later)) = (&files[one], &files[other]);
        if are_apart(of_earlier, of_later) || found.iter().any(|(twice, _)| *twice == later) {
            continue;
        }
        if have_common_row(log, (earlier, later), &games)? {
            found.push((later, earlier));
        }
    }
    Ok(found)
}

/// The pairs of files of a partition with rows of the same games. Tables without games are compared as a whole.
fn sharing(files: &[(DataFile, Facts)]) -> BTreeMap<(usize, usize), BTreeSet<i64>> {
    let mut by_game: BTreeMap<(super::Folders, i64), Vec<usize>> = BTreeMap::new();
    for (index, (file, facts)) in files.iter().enumerate() {
        for game in &facts.games {
            by_game.entry((file.folders, *game)).or_default().push(index);
        }
        if facts.games.is_empty() && facts.rows > 0 {
            by_game.entry((file.folders, 0)).or_default().push(index);
        }
    }
    let mut pairs: BTreeMap<(usize, usize), BTreeSet<i64>> = BTreeMap::new();
    for ((_, game), indices) in by_game {
        for (at, one) in indices.iter().enumerate() {
            for other in &indices[at + 1..] {
                pairs.entry((*one, *other)).or_default().insert(game);
            }
        }
    }
    pairs
}

/// Whether all rows of one file come before all of the other.
fn are_apart(one: &Facts, other: &Facts) -> bool {
    let (Some((first, last)), Some((other_first, other_last))) = (&one.ends, &other.ends) else {
        return true;
    };
    one.sort == other.sort && (last < other_first || other_last < first)
}

fn have_common_row(
    log: &Log,
    (one, other): (&DataFile, &DataFile),
    games: &BTreeSet<i64>,
) -> Result<bool, LakeError> {
    let place = log.store.place(log.table.name);
    let failed = |error: arrow::error::ArrowError| LakeError::parquet(&place, error.into());
    let keys = Keys::of(&columns::schema(log.table), log.table.sort).map_err(failed)?;
    let has_games = log.table.column("game").is_some();
    let mut seen: HashSet<Box<[u8]>> = HashSet::new();
    for (file, is_first) in [(one, true), (other, false)] {
        for batch in Stream::of(log.table, &log.store, &log.path(&file.path))? {
            let mut batch = batch?;
            if has_games {
                batch = of_games(batch, |game| games.contains(&game)).map_err(failed)?;
            }
            for row in &keys.rows(&batch).map_err(failed)? {
                if is_first {
                    seen.insert(row.as_ref().into());
                } else if seen.contains(row.as_ref()) {
                    return Ok(true);
                }
            }
        }
    }
    Ok(false)
}
