//! The process that reads cases, and may not survive it.

use std::backtrace::Backtrace;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::mutate::Mutator;
use super::targets::Target;
use super::{CHILD, FOLDER, OUTSIDE, files, target};

/// The files of a target as they are sound, relative to their folder.
type Sound = BTreeMap<PathBuf, Vec<u8>>;

/// Does nothing unless a parent says what to do.
#[test]
fn reads_cases() {
    let Ok(told) = std::env::var(CHILD) else { return };
    let told: Vec<&str> = told.split(',').collect();
    let [name, first, cases, seconds] = told[..] else { panic!("{told:?}") };
    let (target, root) = (target(name), PathBuf::from(std::env::var_os(FOLDER).unwrap()));
    let (first, cases): (u64, u64) = (first.parse().unwrap(), cases.parse().unwrap());
    end_with_a_panic();
    let folder = root.join("folder");
    if cases == 0 {
        (target.read)(&folder);
        return;
    }
    let read = |path: PathBuf| (path.clone(), fs::read(folder.join(path)).unwrap());
    let sound: Sound = files(&folder).into_iter().map(read).collect();
    let (begun, end) = (Instant::now(), Duration::from_secs(seconds.parse().unwrap()));
    let (mut codes, mut read): (BTreeMap<u8, u64>, u64) = (BTreeMap::new(), 0);
    for seed in first..first + cases {
        if begun.elapsed() > end {
            break;
        }
        fs::write(root.join("case"), seed.to_string()).unwrap();
        for code in read_case(target, &folder, &sound, Mutator::new(seed, outside(&root))) {
            *codes.entry(code).or_default() += 1;
        }
        read += 1;
    }
    assert!(codes.keys().all(|code| (1..=6).contains(code)), "{codes:?}");
    fs::write(root.join("read"), format!("{read} cases, by exit code {codes:?}")).unwrap();
}

/// Ends the process where something panics, also where somebody would catch it; but what polars and tokenizers panic at
/// becomes an error on purpose.
fn end_with_a_panic() {
    std::panic::set_hook(Box::new(|panic| {
        let is_caught = |file: &str| file.contains("polars-") || file.contains("tokenizers-");
        if !panic.location().is_some_and(|place| is_caught(place.file())) {
            eprintln!("{panic}");
            eprintln!("{}", Backtrace::force_capture());
            std::process::abort();
        }
    }));
}

/// Names that lead out of the folder.
fn outside(root: &Path) -> Vec<String> {
    let names = OUTSIDE.iter().flat_map(|name| {
        let path = root.join("outside").join(name);
        let (path, relative) = (path.display(), format!("../outside/{name}"));
        [path.to_string(), format!("file://{path}"), format!("../{relative}"), relative]
    });
    names.collect()
}

/// Makes one or two files wrong, reads them all, and puts the sound ones back.
fn read_case(target: &Target, folder: &Path, sound: &Sound, mut mutator: Mutator) -> Vec<u8> {
    let mut changed = Vec::new();
    for _ in 0..=mutator.below(2) {
        let (path, bytes) = sound.iter().nth(mutator.below(sound.len())).unwrap();
        fs::write(folder.join(path), mutator.mutate(bytes)).unwrap();
        changed.push((path, bytes));
    }
    let codes = (target.read)(folder);
    for (path, bytes) in changed {
        fs::write(folder.join(path), bytes).unwrap();
    }
    codes
}
