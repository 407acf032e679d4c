//! Lakes that were damaged from outside: every command names what is wrong or gives the answer that it gave before, and a
//! repair leaves whole games alone.

use std::fs::{self, File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use saelake::lake::{Lake, LakeError, repair_lake, verify};

use super::checksum::Expected;
use super::engines::{Engines, Globs, is_soak};
use super::synthetic::{SMALL, Shape, batch, first_batch};
use super::{copy, folder};
use crate::support::{self, program};

const SHAPE: Shape = Shape { layers: &[8, 15], ..SMALL };
const FIRST: [i64; 2] = [5, 3];
const SECOND: [i64; 3] = [4, -9, 8];

/// What is done to a lake, what a check says of it, and how many games a repair leaves.
struct Fault {
    name: &'static str,
    damage: fn(&Path),
    said: &'static str,
    /// None if nothing can be done without a copy.
    left: Option<usize>,
    /// Whether a question must fail; bytes inside a page are not summed up for a question.
    is_seen: bool,
}

/// Three games lose what is damaged: their batch is the second.
const FAULTS: [Fault; 12] = [
    Fault {
        name: "a deleted file",
        damage: |root| fs::remove_file(file(root, "features")).unwrap(),
        said: "cannot be opened",
        left: Some(2),
        is_seen: true,
    },
    Fault {
        name: "a truncated file",
        damage: |root| cut(&file(root, "attention"), 100),
        said: "bytes, and its log says",
        left: Some(2),
        is_seen: true,
    },
    Fault {
        name: "a corrupt footer",
        damage: |root| flip(&file(root, "positions"), -12),
        said: "SHA-256",
        left: Some(2),
        is_seen: false,
    },
    Fault {
        name: "a flipped byte in a page",
        damage: |root| flip(&file(root, "features"), 200),
        said: "SHA-256",
        left: Some(2),
        is_seen: false,
    },
    Fault {
        name: "a flipped byte in a small table",
        damage: |root| flip(&file(root, "tokens"), 60),
        said: "SHA-256",
        left: Some(2),
        is_seen: false,
    },
    Fault {
        name: "a deleted rollup",
        damage: |root| fs::remove_file(file(root, "feature_rollup")).unwrap(),
        said: "cannot be opened",
        left: Some(2),
        is_seen: true,
    },
    Fault {
        name: "a deleted file of games",
        damage: |root| fs::remove_file(file(root, "games")).unwrap(),
        said: "cannot be opened",
        left: Some(2),
        is_seen: true,
    },
    Fault {
        name: "a foreign Parquet file",
        damage: put_copy,
        said: "not of this program",
        left: Some(5),
        is_seen: false,
    },
    Fault {
        name: "a foreign text",
        damage: |root| fs::write(root.join("games/notes.txt"), "mine").unwrap(),
        said: "not of this program",
        left: Some(5),
        is_seen: false,
    },
    Fault {
        name: "a torn last entry",
        damage: |root| cut(&entry(root, "features", 2), 300),
        said: "the last entry of the log is torn",
        left: Some(2),
        is_seen: true,
    },
    Fault {
        name: "an empty last entry of games",
        damage: |root| cut(&entry(root, "games", 2), 0),
        said: "the last entry of the log is torn",
        left: Some(2),
        is_seen: true,
    },
    Fault {
        name: "garbage in the middle of a log",
        damage: |root| fs::write(entry(root, "steps", 1), b"\x00\xff garbage").unwrap(),
        said: "in the middle of the log",
        left: None,
        is_seen: true,
    },
];

fn make(root: &Path) -> Expected {
    let mut lake = Lake::create_or_open(root).unwrap();
    lake.append(first_batch(&FIRST, SHAPE)).unwrap();
    lake.append(batch(&SECOND, SHAPE)).unwrap();
    Expected::of_lake(&lake)
}

/// The file of the second batch in a table, of layer 8 if it has layers.
fn file(root: &Path, table: &str) -> PathBuf {
    let folder = root.join(table);
    let layer = folder.join("game_block=0/layer=8");
    let folder = if layer.is_dir() { layer } else { folder };
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    files.into_iter().find(|path| path.to_string_lossy().contains(&format!("{:016x}", SECOND[1]))).unwrap()
}

fn entry(root: &Path, table: &str, version: u64) -> PathBuf {
    let path = root.join(format!("{table}/_delta_log/{version:020}.json"));
    assert!(path.exists(), "{}", path.display());
    path
}

/// A file of another program with rows that are there already.
fn put_copy(root: &Path) {
    fs::copy(file(root, "features"), root.join("features/game_block=0/layer=8/copy.parquet")).unwrap();
}

fn cut(path: &Path, bytes: u64) {
    OpenOptions::new().write(true).open(path).unwrap().set_len(bytes).unwrap();
}

/// Turns over the bits of a byte, counted from the end if it is negative.
fn flip(path: &Path, at: i64) {
    let mut file = File::options().read(true).write(true).open(path).unwrap();
    let from = if at < 0 { SeekFrom::End(at) } else { SeekFrom::Start(at as u64) };
    let place = file.seek(from).unwrap();
    let mut byte = [0];
    file.read_exact(&mut byte).unwrap();
    file.seek(SeekFrom::Start(place)).unwrap();
    file.write_all(&[!byte[0]]).unwrap();
}

#[test]
fn every_fault_is_named_and_repaired() {
    let work = folder();
    let whole = work.path().join("whole");
    let expected = make(&whole);
    let answers = answers(&whole);
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    let kept = folder();
    let mut engines = Engines::new(kept.path());
    for (number, fault) in FAULTS.iter().enumerate() {
        let root = work.path().join(format!("fault-{number}"));
        copy(&whole, &root);
        (fault.damage)(&root);
        let found = verify(&root).unwrap().findings;
        let said: Vec<&str> = found.iter().map(|finding| finding.what.as_str()).collect();
        assert!(said.iter().any(|what| what.contains(fault.said)), "{}: {said:?}", fault.name);
        check_commands(fault, &root, &answers);
        let repaired = repair_lake(&root).unwrap();
        let Some(left) = fault.left else {
            assert!(!repaired.after.findings.is_empty(), "{}", fault.name);
            continue;
        };
        assert_eq!(repaired.after.findings, [], "{}", fault.name);
        let mut lake = Lake::open(&root).unwrap();
        assert_eq!(lake.n_games(), left, "{}", fault.name);
        let lost: Vec<i64> = if left == 5 { Vec::new() } else { SECOND.to_vec() };
        let rest = Expected::of_lake_without(&Lake::open(&whole).unwrap(), &lost);
        Expected::of_lake(&lake).assert_same(&rest);
        if is_soak() || number % 4 == 1 {
            engines.keep(&root, &format!("repaired from {}", fault.name), &rest, Globs::Same);
        }
        assert!(root.join("_quarantine/1").is_dir(), "{}", fault.name);
        if left < 5 {
            // What was lost can be collected again.
            lake.append(batch(&SECOND, SHAPE)).unwrap();
        }
        Expected::of_lake(&Lake::open(&root).unwrap()).assert_same(&expected);
        assert_eq!(verify(&root).unwrap().findings, [], "{}", fault.name);
    }
    engines.read();
}

/// What questions answer, or what they say.
fn answers(root: &Path) -> [Result<Vec<u8>, String>; 3] {
    let lake = root.to_str().unwrap();
    [["games", lake, "--all"], ["overview", lake, "--all"], ["features", lake, "--all"]].map(|arguments| {
        let arguments = [&["query"], &arguments[..if arguments[0] == "features" { 3 } else { 2 }]].concat();
        let output = program(&[&arguments[..], &["--format", "json"]].concat());
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        if output.status.success() { Ok(output.stdout) } else { Err(said) }
    })
}

/// A question gives the answer of the whole lake, or says why it gives none; and so does whoever appends.
fn check_commands(fault: &Fault, root: &Path, answers: &[Result<Vec<u8>, String>; 3]) {
    let is_flipped = fault.said == "SHA-256";
    let found = self::answers(root);
    for (found, expected) in found.iter().zip(answers) {
        match found {
            // The bytes of a page are not summed up for a question: `verify` does.
            Ok(found) => assert!(is_flipped || Ok(found) == expected.as_ref(), "{}", fault.name),
            Err(said) => {
                assert!(said.contains("error: "), "{}: {said}", fault.name);
                assert!(!said.contains("panicked"), "{}: {said}", fault.name);
            }
        }
    }
    if fault.is_seen {
        assert!(found.iter().any(Result::is_err), "{}: no question was refused", fault.name);
    }
}

/// Log entries and files of a time that has not come yet.
#[test]
fn a_clock_that_goes_backwards_changes_nothing() {
    let folder = folder();
    let mut expected = make(folder.path());
    let later = SystemTime::now() + Duration::from_secs(40_000_000);
    for table in schemas::ALL {
        for version in 0..=2 {
            let path = folder.path().join(format!("{}/_delta_log/{version:020}.json", table.name));
            if !path.exists() {
                continue;
            }
            let text = fs::read_to_string(&path).unwrap();
            let text = text
                .replace("\"timestamp\":1", "\"timestamp\":9")
                .replace("\"modificationTime\":1", "\"modificationTime\":9");
            fs::write(&path, text).unwrap();
            File::options().append(true).open(&path).unwrap().set_modified(later).unwrap();
        }
    }
    for (path, _) in super::data_files(folder.path()) {
        File::options().append(true).open(folder.path().join(path)).unwrap().set_modified(later).unwrap();
    }
    let mut lake = Lake::open(folder.path()).unwrap();
    expected.add(&batch(&[70], SHAPE));
    lake.append(batch(&[70], SHAPE)).unwrap();
    let compaction = saelake::lake::Compaction { order: saelake::lake::Order::Game, target_bytes: 1 << 20 };
    lake.compact(compaction, &mut |_| {}).unwrap();
    Expected::of_lake(&Lake::open(folder.path()).unwrap()).assert_same(&expected);
    assert_eq!(verify(folder.path()).unwrap().findings, []);
}

/// A file system that is read-only refuses writers by name, and is read and checked all the same.
#[test]
fn a_read_only_lake_is_read_and_not_written() {
    let mount_point = folder();
    let place = mount_point.path().to_str().unwrap().to_owned();
    let mount =
        |options: &str| Command::new("mount").args(["-t", "tmpfs", "-o", options, "tmpfs", &place]).output();
    if !mount("size=64m").is_ok_and(|mounted| mounted.status.success()) {
        eprintln!("no permission to mount a disk: a read-only one is not tested");
        return;
    }
    let checked = std::panic::catch_unwind(|| {
        let root = mount_point.path().join("lake");
        let expected = make(&root);
        assert!(mount("remount,ro").unwrap().status.success());
        let mut lake = Lake::open(&root).unwrap();
        Expected::of_lake(&lake).assert_same(&expected);
        assert_eq!(verify(&root).unwrap().findings, []);
        let compaction =
            saelake::lake::Compaction { order: saelake::lake::Order::Game, target_bytes: 1 << 20 };
        let errors = [
            lake.append(batch(&[70], SHAPE)).unwrap_err(),
            lake.compact(compaction, &mut |_| {}).unwrap_err(),
            lake.drop_games(&[5].into(), &mut |_| {}).unwrap_err(),
            repair_lake(&root).unwrap_err(),
        ];
        for error in errors {
            assert!(matches!(error, LakeError::Denied { .. }), "{error}");
            assert_eq!(error.exit_code(), 3);
        }
        assert!(mount("remount,rw").unwrap().status.success());
        let mut lake = Lake::open(&root).unwrap();
        lake.compact(compaction, &mut |_| {}).unwrap();
        Expected::of_lake(&lake).assert_same(&expected);
    });
    assert!(Command::new("umount").arg(&place).status().unwrap().success());
    if let Err(panic) = checked {
        std::panic::resume_unwind(panic);
    }
}

#[test]
fn a_feature_twice_at_a_position_is_found() {
    let folder = folder();
    let mut lake = Lake::create_or_open(folder.path()).unwrap();
    let mut batch = first_batch(&FIRST, SHAPE);
    let features = batch.features.get_mut(&15).unwrap();
    assert_eq!((features.position[0], features.position[1]), (0, 0), "a position has several features");
    features.feature[1] = features.feature[0];
    let game = features.game[0];
    lake.append(batch).unwrap();
    let found = verify(folder.path()).unwrap().findings;
    let named = format!("game {game} has a feature of layer 15 twice at a position");
    assert!(found.iter().any(|finding| finding.what.contains(&named)), "{found:?}");
    let repaired = repair_lake(folder.path()).unwrap();
    assert_eq!(Lake::open(folder.path()).unwrap().n_games(), FIRST.len() - 1, "{repaired:?}");
}

#[test]
fn a_log_that_leads_out_of_the_lake_is_refused() {
    let work = folder();
    for table in ["features", "games", "runs"] {
        let root = work.path().join(table).join("lake");
        make(&root);
        let inside = file_of_first(&root, table);
        let outside = work.path().join("outside.parquet");
        fs::copy(root.join(table).join(&inside), &outside).unwrap();
        fs::remove_file(root.join(table).join(&inside)).unwrap();
        let log = entry(&root, table, 1);
        let text = fs::read_to_string(&log).unwrap();
        for path in [
            "../../../outside.parquet".to_owned(),
            outside.display().to_string(),
            format!("file://{}", outside.display()),
        ] {
            fs::write(&log, text.replace(&inside, &path)).unwrap();
            let error = Lake::open(&root).err().map(|error| error.to_string()).unwrap_or_default();
            assert!(error.contains("leads out of its table"), "{table}, {path}: {error}");
            let found = verify(&root);
            assert!(format!("{found:?}").contains("leads out of its table"), "{found:?}");
            let asked = program(&["query", "overview", root.to_str().unwrap()]);
            assert_eq!(asked.status.code(), Some(3), "{table}, {path}: {}", support::said(&asked));
        }
    }
}

/// The path of the first batch's file in its table, of layer 8 if it has layers.
fn file_of_first(root: &Path, table: &str) -> String {
    let log = fs::read_to_string(entry(root, table, 1)).unwrap();
    let paths = log.lines().filter_map(|line| {
        let action: serde_json::Value = serde_json::from_str(line).unwrap();
        Some(action.get("add")?.get("path")?.as_str()?.to_owned())
    });
    paths.into_iter().next().unwrap()
}
