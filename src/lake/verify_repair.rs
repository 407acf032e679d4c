//! Setting aside what does not belong to a lake, and dropping games that are no longer whole.

use std::collections::BTreeSet;
use std::path::Path;

use super::drop::drop_rows;
use super::lock::{Held, Left};
use super::verify::{Verified, Watch, check};
use super::verify_finding::Remedy;
use super::verify_quarantine::Gone;
use super::{DataFile, Finding, Lake, LakeError, drop, drop_runs};

/// Repairs one after the other until nothing is left to do; each may show what was hidden.
const MOST_ROUNDS: usize = 6;

/// What a repair did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Repaired {
    /// What was wrong, in the order in which it was found.
    pub findings: Vec<Finding>,
    /// Games that were whole no longer, and are dropped.
    pub dropped: BTreeSet<i64>,
    /// Files that were set aside.
    pub set_aside: u64,
    /// What a check says afterwards.
    pub after: Verified,
}

/// Sets aside what does not belong, below `_quarantine` in the lake, and drops games that are no longer whole. Nothing is
/// deleted.
///
/// Waits while another process writes to the lake.
///
/// # Errors
/// If something cannot be read or written.
pub fn repair(place: impl AsRef<Path>) -> Result<Repaired, LakeError> {
    repair_watched(place, &|_, _| {})
}

/// The same, and says how far each of its checks is.
///
/// # Errors
/// As [`repair`].
pub fn repair_watched(place: impl AsRef<Path>, watch: &Watch<'_>) -> Result<Repaired, LakeError> {
    let store = super::open::place_of_lake(place.as_ref())?;
    let lock = Held::take(&store)?;
    let gone = Gone::to_quarantine(&store)?;
    let mut done = Repaired::default();
    for _ in 0..MOST_ROUNDS {
        done.after = check(&store, watch)?;
        let new = done.after.findings.iter().filter(|finding| !done.findings.contains(finding));
        let new: Vec<Finding> = new.cloned().collect();
        if !new.iter().any(Finding::is_repairable) {
            break;
        }
        round(&store, &lock, &gone, &new, &mut done)?;
        done.findings.extend(new);
    }
    let is_sound = done.after.findings.is_empty();
    lock.end(is_sound);
    Ok(done)
}

fn round(
    store: &super::store::Store,
    lock: &Held,
    gone: &Gone,
    findings: &[Finding],
    done: &mut Repaired,
) -> Result<(), LakeError> {
    let (mut bad, mut games): (Vec<&str>, BTreeSet<i64>) = (Vec::new(), BTreeSet::new());
    for finding in findings {
        match (&finding.remedy, &finding.path) {
            (Remedy::Foreign, Some(path)) => {
                lock.check()?;
                gone.take(lock, store, path)?;
                done.set_aside += 1;
            }
            (Remedy::File, Some(path)) => bad.push(path),
            (Remedy::Game(game), _) => {
                games.insert(*game);
                done.dropped.insert(*game);
            }
            (Remedy::Strays(strays), _) => games.extend(strays),
            _ => {}
        }
    }
    let is_of_runs = findings.iter().any(|finding| finding.remedy == Remedy::Runs);
    if bad.is_empty() && games.is_empty() && !is_of_runs {
        return Ok(());
    }
    let mut lake = Lake::open_bare(store)?;
    if let Left::Running(takeover) = lock.left {
        lake.logs.iter_mut().chain(&mut lake.causal).try_for_each(|log| log.fence(takeover))?;
    }
    done.set_aside += set_aside(&mut lake, lock, gone, (&bad, &games))?;
    if is_of_runs {
        drop_runs::drop_unused(&mut lake, lock, gone, &mut |_| {})?;
    }
    Ok(())
}

/// Takes games out of `games` first, then bad files out of their tables, then the games' rows out of the others.
fn set_aside(
    lake: &mut Lake,
    lock: &Held,
    gone: &Gone,
    (bad, games): (&[&str], &BTreeSet<i64>),
) -> Result<u64, LakeError> {
    lake.mark_anyway(games)?;
    let is_bad = |table: &str, file: &DataFile| bad.contains(&format!("{table}/{}", file.path).as_str());
    let mut counted = drop::Dropped::default();
    for log in lake.logs.iter_mut().filter(|log| log.table.name == schemas::games::TABLE.name) {
        if !log.files().iter().any(|file| is_bad(log.table.name, file)) {
            drop_rows(log, games, lock, gone, &mut |_| {}, &mut counted)?;
        }
    }
    for log in lake.logs.iter_mut().rev().chain(&mut lake.causal) {
        let files: Vec<DataFile> =
            log.files().into_iter().filter(|file| is_bad(log.table.name, file)).collect();
        if files.is_empty() {
            continue;
        }
        lock.check()?;
        let paths: Vec<String> = files.iter().map(|file| log.path(&file.path)).collect();
        counted.files += files.len() as u64;
        log.remove(files)?;
        for path in paths {
            gone.take(lock, &log.store, &path)?;
        }
    }
    lake.contents = super::contents::Contents::read(&lake.logs)?;
    let done = lake.finish_drops(lock, gone, &mut |_| {})?;
    Ok(counted.files + done.files)
}
