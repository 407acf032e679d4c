//! Checking a lake: every file against its log, and every row against the others.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use rayon::prelude::*;

use super::layout::{FileName, Folders};
use super::log::Log;
use super::store::Store;
use super::verify_file::{self, Facts};
use super::verify_finding::{Findings, Remedy};
use super::verify_index::Index;
use super::verify_sound::Sound;
use super::{
    DataFile, Finding, Format, LakeError, verify_causal, verify_large, verify_log, verify_names,
    verify_tokens, verify_twice,
};

/// What a check found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verified {
    /// What is not as it should be; nothing if the lake is sound.
    pub findings: Vec<Finding>,
    /// Games that were found.
    pub games: u64,
    /// Files that were read.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Their rows.
    pub rows: u64,
    /// Files whose log has no checksum of them.
    pub unsummed: u64,
}

/// Whom a check tells how far it is: parts of the lake that are checked, of how many.
pub(super) type Watch<'a> = dyn Fn(u64, u64) + Sync + 'a;

/// Counts what is checked: each file by itself, and then each partition with the others.
struct Meter<'a> {
    watch: &'a Watch<'a>,
    done: AtomicU64,
    of: u64,
}

impl<'a> Meter<'a> {
    fn of(logs: &[Log], watch: &'a Watch<'a>) -> Self {
        let files = || logs.iter().flat_map(|log| log.files.values());
        let partitions: BTreeSet<Folders> = files().map(|file| file.folders).collect();
        let partitions = partitions.into_iter().filter(|folders| folders.layer.is_some()).count();
        Self { watch, done: AtomicU64::new(0), of: (files().count() + partitions) as u64 }
    }

    fn step(&self) {
        let done = self.done.fetch_add(1, Ordering::Relaxed) + 1;
        // Partitions that should be there and are not were not counted before.
        (self.watch)(done, self.of.max(done));
    }
}

/// Reads all of a lake and says what is wrong with it. Nothing is written, and no lock is taken: what a writer changes
/// meanwhile may be told as if it were wrong.
///
/// # Errors
/// If there is no lake, its format is a later one, or the disk or the network fails.
pub fn verify(place: impl AsRef<Path>) -> Result<Verified, LakeError> {
    verify_watched(place, &|_, _| {})
}

/// The same, and says how far it is.
///
/// # Errors
/// As [`verify`].
pub fn verify_watched(place: impl AsRef<Path>, watch: &Watch<'_>) -> Result<Verified, LakeError> {
    let store = super::open::place_of_lake(place.as_ref())?;
    check(&store, watch)
}

/// The same, of a lake that is known to be there.
pub(super) fn check(store: &Store, watch: &Watch<'_>) -> Result<Verified, LakeError> {
    let (mut findings, mut verified) = (Findings::default(), Verified::default());
    let Some((logs, format)) = open_logs(store, &mut findings)? else {
        verified.findings = findings.0;
        return Ok(verified);
    };
    for log in &logs {
        unlisted(log, &mut findings)?;
    }
    let meter = Meter::of(&logs, watch);
    let mut sound = Sound(Vec::new());
    for log in &logs {
        let files = log.files();
        verified.files += files.len() as u64;
        verified.unsummed += files.iter().filter(|file| file.sha256.is_none()).count() as u64;
        let files = sound_files(log, files, format, (&meter, &mut findings))?;
        verified.rows += files.iter().map(|(_, facts)| facts.rows).sum::<u64>();
        verified.bytes += files.iter().map(|(file, _)| file.bytes).sum::<u64>();
        sound.0.push((log, files));
    }
    let mut index = Index::read(&sound, &mut findings)?;
    for (log, files) in &mut sound.0 {
        files.retain(|(file, facts)| {
            let wrong = verify_names::wrong(file, facts, &index);
            if let Some(what) = &wrong {
                findings.file(log.table.name, &log.path(&file.path), Remedy::File, what.as_str());
            }
            wrong.is_none()
        });
    }
    verify_tokens::check(&sound, &mut index, &mut findings)?;
    let partitions: Vec<_> = verify_large::partitions(&sound, &index).into_iter().collect();
    let of_partitions = partitions.into_par_iter();
    let found = of_partitions.map(|folders| {
        let found = verify_large::check(&sound, &index, folders, format);
        meter.step();
        found
    });
    for found in found.collect::<Result<Vec<_>, _>>()? {
        findings.0.extend(found.0);
    }
    verify_causal::check(&sound, &index, &mut findings)?;
    verified.games = index.games.len() as u64;
    findings.0.sort();
    findings.0.dedup();
    verified.findings = findings.0;
    Ok(verified)
}

/// The logs of all tables, if all can be opened.
fn open_logs(store: &Store, findings: &mut Findings) -> Result<Option<(Vec<Log>, Format)>, LakeError> {
    let (mut logs, mut can_open) = (Vec::new(), true);
    for table in schemas::every() {
        if Log::is_there(store, table)? {
            can_open &= verify_log::check(store, table, findings)?;
        }
    }
    if !can_open {
        return Ok(None);
    }
    for table in schemas::every() {
        if Log::is_there(store, table)? {
            logs.push(Log::open(store, table)?);
        }
    }
    let runs = logs.iter().find(|log| log.table.name == schemas::runs::TABLE.name);
    let format = runs.map(Format::of_columns).transpose()?.unwrap_or(Format::LAST);
    for table in schemas::ALL.into_iter().filter(|table| format.has(table)) {
        if !logs.iter().any(|log| log.table.name == table.name) {
            findings.table(table.name, Remedy::Copy, "the table is not there");
            can_open = false;
        }
    }
    for log in &logs {
        if let Err(error) = log.check_columns(format) {
            findings.table(log.table.name, Remedy::Copy, error.to_string());
            can_open = false;
        }
    }
    Ok(can_open.then_some((logs, format)))
}

/// Files of a table's folder that are in no log.
fn unlisted(log: &Log, findings: &mut Findings) -> Result<(), LakeError> {
    for file in log.store.list(log.table.name)? {
        let of_table = file.path.strip_prefix(log.table.name).and_then(|path| path.strip_prefix('/'));
        let of_table = of_table.unwrap_or(&file.path);
        if log.files.contains_key(of_table) {
            continue;
        }
        let name = of_table.rsplit('/').next().unwrap_or_default();
        let what = if FileName::is_ours(name) {
            "it is in no log, as a crash leaves files"
        } else {
            "it is in no log, and not of this program"
        };
        findings.file(log.table.name, &file.path, Remedy::Foreign, what);
    }
    Ok(())
}

/// The files of a table that are sound by themselves and have no row of another.
fn sound_files(
    log: &Log,
    files: Vec<DataFile>,
    format: Format,
    (meter, findings): (&Meter<'_>, &mut Findings),
) -> Result<Vec<(DataFile, Facts)>, LakeError> {
    let checked: Vec<(DataFile, Result<Facts, String>)> = files
        .into_par_iter()
        .map(|file| {
            let checked = verify_file::check(log, &file, format);
            meter.step();
            (file, checked)
        })
        .collect();
    let mut sound = Vec::new();
    for (file, checked) in checked {
        match checked {
            Ok(facts) => sound.push((file, facts)),
            Err(what) => findings.file(log.table.name, &log.path(&file.path), Remedy::File, what),
        }
    }
    let twice: BTreeSet<String> = verify_twice::find(log, &sound)?
        .into_iter()
        .map(|(file, earlier)| {
            let what = format!("it has a row that {} has too", earlier.path);
            findings.file(log.table.name, &log.path(&file.path), Remedy::File, what);
            file.path.clone()
        })
        .collect();
    sound.retain(|(file, _)| !twice.contains(&file.path));
    Ok(sound)
}
