//! Files that are not what they should be: whatever is in them, the program says what is wrong and ends as it says.
//!
//! A child process reads many cases, one after the other, with little memory to have: a panic ends it, and so does an
//! allocation of a length that a file only claims. Beside its folder lie pipes that nobody writes to, and the names in
//! the files lead there: who opens one waits for ever. A file that brought the program down stays in
//! `tests/fuzz/corpus`, by target and case, and is read in every run.

mod cells;
mod child;
mod keepers;
mod mutate;
mod targets;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use self::targets::{TARGETS, Target};
use crate::support::repository;

/// Address space of a child, in kB: what the program and the largest target need, and a third more. A length of four
/// bytes can claim as much by itself.
const MEMORY_KB: u64 = 1_500_000;

/// The longest time that a case may take; under load, the usual ones take some tens of milliseconds.
const PATIENCE: Duration = Duration::from_mins(1);

/// The pipes beside the folder.
const OUTSIDE: [&str; 3] = ["model.safetensors", "part.parquet", "passwd"];

/// What a child is told: the target, the first seed, how many cases and how many seconds; and its folder.
const CHILD: &str = "SAELAKE_FUZZ";
const FOLDER: &str = "SAELAKE_FUZZ_FOLDER";

fn target(name: &str) -> &'static Target {
    TARGETS.iter().find(|target| target.name == name).unwrap()
}

/// Every file of a folder, sorted, relative to it.
fn files(folder: &Path) -> Vec<PathBuf> {
    let (mut folders, mut found) = (vec![folder.to_owned()], Vec::new());
    while let Some(inner) = folders.pop() {
        for entry in fs::read_dir(inner).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.push(path.strip_prefix(folder).unwrap().to_owned());
            }
        }
    }
    found.sort();
    found
}

/// A folder with sound files and, beside it, what must not be opened.
fn prepare(target: &Target) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    let (folder, outside) = (root.path().join("folder"), root.path().join("outside"));
    fs::create_dir(&folder).unwrap();
    fs::create_dir(&outside).unwrap();
    for name in OUTSIDE {
        assert!(Command::new("mkfifo").arg(outside.join(name)).status().unwrap().success());
    }
    (target.make)(&folder);
    assert_eq!((target.read)(&folder), target.sound, "{}: the sound files", target.name);
    root
}

/// Begins a child with so much memory and no more.
fn spawn(root: &Path, told: &str) -> Child {
    let limited = format!("ulimit -v {MEMORY_KB}; exec \"$0\" --exact fuzz::child::reads_cases --nocapture");
    let program = std::env::current_exe().unwrap();
    let log = fs::File::create(root.join("log")).unwrap();
    Command::new("sh")
        .args(["-c", &limited])
        .arg(program)
        .env(CHILD, told)
        .env(FOLDER, root)
        // Each thread's own heap, and its stack, count as address space.
        .envs([
            ("MALLOC_ARENA_MAX", "1"),
            ("RAYON_NUM_THREADS", "2"),
            ("POLARS_MAX_THREADS", "2"),
            ("RUST_TEST_THREADS", "1"),
        ])
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .unwrap()
}

/// Waits for a child; what went wrong, and the seed that it went wrong with.
fn wait(root: &Path, child: &mut Child) -> Option<(u64, String)> {
    let case =
        || fs::read_to_string(root.join("case")).ok().and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
    let (mut last, mut since) = (case(), Instant::now());
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            let log = fs::read_to_string(root.join("log")).unwrap_or_default();
            return (!status.success()).then(|| (case(), format!("{status}\n{log}")));
        }
        if case() != last {
            (last, since) = (case(), Instant::now());
        }
        if since.elapsed() > PATIENCE {
            child.kill().unwrap();
            child.wait().unwrap();
            return Some((
                last,
                format!("nothing happened for {PATIENCE:?}: it may have opened what is outside"),
            ));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Reads cases of a target from the seed `first` on; how many, and what went wrong.
fn run(target: &Target, first: u64, cases: u64, seconds: u64) -> (u64, Vec<String>) {
    let (begun, mut next, mut read, mut wrong) = (Instant::now(), first, 0, Vec::new());
    while next < first + cases && begun.elapsed().as_secs() <= seconds && wrong.len() < 8 {
        let root = prepare(target);
        let left = seconds.saturating_sub(begun.elapsed().as_secs()).max(1);
        let told = format!("{},{next},{},{left}", target.name, first + cases - next);
        let failed = wait(root.path(), &mut spawn(root.path(), &told));
        let Some((seed, what)) = failed else {
            let said = fs::read_to_string(root.path().join("read")).unwrap();
            let count: u64 = said.split(' ').next().unwrap().parse().unwrap();
            eprintln!("{}: {said}", target.name);
            return (read + count, wrong);
        };
        read += seed + 1 - next;
        next = seed + 1;
        let kept = repository("target/fuzz").join(format!("{}-{seed}", target.name));
        let _ = fs::remove_dir_all(&kept);
        crate::lake::copy(&root.path().join("folder"), &kept);
        wrong.push(format!("{} with seed {seed}, files in {}: {what}", target.name, kept.display()));
    }
    (read, wrong)
}

#[test]
fn no_file_brings_the_program_down() {
    let mut wrong = Vec::new();
    for target in &TARGETS {
        let begun = Instant::now();
        let (read, failed) = run(target, 0, target.cases, 600);
        eprintln!(
            "{}: {read} cases in {:.1} s, {} failures",
            target.name,
            begun.elapsed().as_secs_f64(),
            failed.len()
        );
        assert!(read >= target.cases || !failed.is_empty());
        wrong.extend(failed);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

/// New cases, for as many seconds as `SAELAKE_SOAK` says.
#[test]
fn soak_of_files() {
    let Some(seconds) = std::env::var("SAELAKE_SOAK").ok().and_then(|text| text.parse::<u64>().ok()) else {
        eprintln!("SAELAKE_SOAK is not set: nothing is tried");
        return;
    };
    // Not those of another run: the seed is the time.
    let first = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs() << 24;
    let (mut wrong, each) = (Vec::new(), seconds.div_ceil(TARGETS.len() as u64));
    for target in &TARGETS {
        let (read, failed) = run(target, first, 1 << 24, each);
        eprintln!("{}: {read} cases from seed {first} on", target.name);
        wrong.extend(failed);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn what_once_brought_it_down_does_not() {
    let mut cases = 0;
    let corpus = repository("tests/fuzz/corpus");
    for of_target in fs::read_dir(corpus).unwrap().map(Result::unwrap) {
        let target = target(of_target.file_name().to_str().unwrap());
        for case in fs::read_dir(of_target.path()).unwrap().map(Result::unwrap) {
            let root = prepare(target);
            let folder = root.path().join("folder");
            for path in files(&case.path()) {
                fs::copy(case.path().join(&path), folder.join(&path)).unwrap();
            }
            // No case: as they are.
            let failed = wait(root.path(), &mut spawn(root.path(), &format!("{},0,0,60", target.name)));
            let (name, failed) = (case.path(), failed.map(|(_, what)| what).unwrap_or_default());
            assert!(failed.is_empty(), "{}: {failed}", name.display());
            assert_ne!((target.read)(&folder), target.sound, "{}: it is not refused", name.display());
            cases += 1;
        }
    }
    assert!(cases > 0);
}
