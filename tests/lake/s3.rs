//! A lake on S3: the same appends, races and kills against a server on this machine, read by others' engines.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio, id};
use std::sync::LazyLock;
use std::thread;
use std::time::{Duration, Instant};

use saelake::lake::{Batch, Lake, LakeError, Receipt, Stage};

use super::checksum::Expected;
use super::folder;
use super::synthetic::{SMALL, Shape, batch, first_batch};
use crate::support::{python, repository, said};

const SHAPE: Shape = Shape { layers: &[8], ..SMALL };
const FIRST: [i64; 2] = [5, 3];
const SECOND: [i64; 3] = [4, -9, 8];
/// What must never be seen anywhere.
const KEY: &str = "AKIATHEKEYOFTHETESTS";
const SECRET: &str = "word-that-nobody-may-see";
/// What the process that a test starts is to do.
const DO: &str = "SAELAKE_TEST_S3_DO";
const PLACE: &str = "SAELAKE_TEST_S3_PLACE";
const LEASE: Duration = Duration::from_millis(1500);

/// A server that ends with the tests: its input is closed then.
struct Server {
    _process: Child,
    port: String,
}

fn server() -> &'static Server {
    static SERVER: LazyLock<Server> = LazyLock::new(Server::start);
    &SERVER
}

impl Server {
    fn start() -> Self {
        let mut process = Command::new(python())
            .arg(repository("tests/python/s3_server.py"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut port = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut port).unwrap();
        assert!(!port.trim().is_empty(), "the server has not begun");
        Self { _process: process, port: port.trim().to_owned() }
    }

    /// A command that knows the server and its key by the environment.
    fn with<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command
            .env("AWS_ENDPOINT_URL", format!("http://127.0.0.1:{}", self.port))
            .env("AWS_ALLOW_HTTP", "true")
            .env("AWS_REGION", "us-east-1")
            .env("AWS_ACCESS_KEY_ID", KEY)
            .env("AWS_SECRET_ACCESS_KEY", SECRET)
            .env("SAELAKE_LEASE_SECONDS", LEASE.as_secs_f64().to_string())
    }

    /// The process that does something to the lake at `place`.
    fn child(&self, place: &str, what: &str) -> Command {
        let mut child = Command::new(std::env::current_exe().unwrap());
        child.args(["lake::s3::child", "--exact", "--nocapture"]).env(DO, what).env(PLACE, place);
        self.with(&mut child).stdout(Stdio::piped()).stderr(Stdio::piped());
        child
    }

    fn run(&self, place: &str, what: &str) {
        let output = self.child(place, what).output().unwrap();
        assert_quiet(&output);
        assert!(output.status.success(), "{what}: {}{}", text(&output.stdout), text(&output.stderr));
        assert!(text(&output.stdout).contains("1 passed"));
    }

    /// Runs the program.
    fn program(&self, arguments: &[&str]) -> Output {
        let mut program = Command::new(env!("CARGO_BIN_EXE_saelake"));
        let output = self.with(program.args(arguments)).output().unwrap();
        assert_quiet(&output);
        output
    }

    /// What three engines in Python find in lakes, each compared with `expected`; the lakes, copied to one folder under
    /// the last parts of their URLs.
    fn check(&self, places: &[String], expected: &Expected) -> tempfile::TempDir {
        self.copy(places, &expected.to_json())
    }

    /// The same of the tables in `expected`.
    fn copy(&self, places: &[String], expected: &serde_json::Value) -> tempfile::TempDir {
        let copy = folder();
        let json = copy.path().join("expected.json");
        fs::write(&json, expected.to_string()).unwrap();
        let mut script = Command::new(python());
        script.arg(repository("tests/python/s3_readers.py"));
        script.arg(&json).arg(copy.path()).args(places.iter().map(|place| place.trim_start_matches("s3://")));
        let output = self.with(&mut script).output().unwrap();
        assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
        fs::remove_file(json).unwrap();
        copy
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn assert_quiet(output: &Output) {
    for said in [text(&output.stdout), text(&output.stderr)] {
        assert!(!said.contains(KEY) && !said.contains(SECRET), "a secret was said");
    }
}

/// Nothing below a folder holds a secret.
fn assert_holds_no_secret(folder: &Path) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            assert_holds_no_secret(&path);
        } else {
            let bytes = fs::read(&path).unwrap();
            let holds = |word: &str| bytes.windows(word.len()).any(|window| window == word.as_bytes());
            assert!(!holds(KEY) && !holds(SECRET), "{} holds a secret", path.display());
        }
    }
}

fn of(keys: &[&[i64]]) -> Expected {
    let mut expected = Expected::default();
    for (index, keys) in keys.iter().enumerate() {
        expected.add(&if index == 0 { first_batch(keys, SHAPE) } else { batch(keys, SHAPE) });
    }
    expected
}

#[test]
fn what_is_appended_to_a_bucket_is_what_every_engine_reads() {
    let server = server();
    let place = "s3://lakes/some/lake";
    server.run(place, "append");
    let copy = server.check(&[place.into()], &of(&[&FIRST, &SECOND]));
    assert_holds_no_secret(copy.path());
    // A copy of it is a lake in a folder, and the same.
    Expected::of_lake(&Lake::open(copy.path().join("lake")).unwrap()).assert_same(&of(&[&FIRST, &SECOND]));
    let info = server.program(&["lake", "info", place]);
    assert!(text(&info.stdout).starts_with("format 2: 5 games, 10 steps,"), "{}", text(&info.stdout));
}

/// The commands that keep a lake work on a bucket, and every engine reads what they leave.
#[test]
fn a_bucket_is_kept_sound() {
    let server = server();
    let place = "s3://lakes/kept/lake";
    server.run(place, "append");
    let before = server.copy(&[place.into()], &serde_json::json!({}));
    let expected = Expected::of_lake_without(&Lake::open(before.path().join("lake")).unwrap(), &SECOND[1..2]);
    let game = SECOND[1].to_string();
    for (arguments, expected) in [
        (vec!["verify", place], "sound: 5 games"),
        (vec!["compact", place, "--order", "position"], "the same"),
        (vec!["verify", place], "sound: 5 games"),
        (vec!["drop-game", place, "--game", game.as_str()], "1 games dropped"),
        (vec!["vacuum", place, "--older-than", "0s"], "0 files deleted"),
        (vec!["verify", place, "--repair"], "sound: 4 games"),
    ] {
        let output = server.program(&[&["lake"], &arguments[..]].concat());
        assert_eq!(
            output.status.code(),
            Some(0),
            "{arguments:?}: {}{}",
            text(&output.stdout),
            text(&output.stderr)
        );
        assert!(text(&output.stderr).contains(expected), "{arguments:?}: {}", text(&output.stderr));
    }
    server.check(&[place.into()], &expected);
}

/// The stages of the second batch: every file staged, moved, and every table committed, `games` last.
#[test]
fn a_writer_killed_at_some_stages_leaves_the_bucket_whole() {
    kill_at(&[1, 19, LAST]);
}

/// The same at every stage.
#[test]
fn soak_a_writer_killed_at_every_stage_leaves_the_bucket_whole() {
    if std::env::var_os("SAELAKE_SOAK").is_none() {
        eprintln!("SAELAKE_SOAK is not set: some stages are tested, not all");
        return;
    }
    for stages in (0..=LAST).collect::<Vec<_>>().chunks(7) {
        kill_at(stages);
    }
}

fn kill_at(stages: &[usize]) {
    let server = server();
    let round = format!("s3://lakes/killed-{}", stages.len() * 100 + stages[0]);
    let places: Vec<String> = stages.iter().map(|at| format!("{round}/at-{at}")).collect();
    thread::scope(|scope| {
        for (at, place) in stages.iter().zip(&places) {
            scope.spawn(move || {
                server.run(place, "append first");
                let killed = server.child(place, &format!("die {at}")).output().unwrap();
                let signal = std::os::unix::process::ExitStatusExt::signal(&killed.status);
                assert_eq!(signal, Some(9), "{}", text(&killed.stderr));
                server.run(place, if *at == LAST { "know second" } else { "append second" });
            });
        }
    });
    let copies = server.check(&places, &of(&[&FIRST, &SECOND]));
    for at in stages {
        let lake = Lake::open(copies.path().join(format!("at-{at}"))).unwrap();
        Expected::of_lake(&lake).assert_same(&of(&[&FIRST, &SECOND]));
        assert_eq!(lake.info().unwrap().tables.iter().map(|table| table.orphans).sum::<u64>(), 0);
    }
}

/// The stage after the last commit: ten tables get a file each.
const LAST: usize = 20;

/// Four writers of two games each, two of which are killed now and then: all games are there once, and no version of a
/// log is missing.
#[test]
fn writers_race_and_die_and_every_game_is_there_once() {
    let server = server();
    let place = "s3://lakes/race";
    server.run(place, "append first");
    thread::scope(|scope| {
        for writer in 0..4_u64 {
            scope.spawn(move || {
                let what = format!("append each {writer}");
                for kill in (0..2).filter(|_| writer % 2 == 0) {
                    let mut child = server.child(place, &what).spawn().unwrap();
                    thread::sleep(Duration::from_millis(250 + 170 * writer + 410 * kill));
                    child.kill().unwrap();
                    child.wait().unwrap();
                }
                server.run(place, &what);
            });
        }
    });
    let keys: Vec<i64> = (100..108).collect();
    let copy = server.check(&[place.into()], &of(&[&FIRST, &keys]));
    let copy = copy.path().join("race");
    let lake = Lake::open(&copy).unwrap();
    assert_eq!(lake.n_games(), FIRST.len() + keys.len());
    for table in schemas::ALL {
        let log = copy.join(table.name).join("_delta_log");
        let mut versions: Vec<u64> = fs::read_dir(log)
            .unwrap()
            .filter_map(|entry| entry.unwrap().file_name().to_str()?.strip_suffix(".json")?.parse().ok())
            .collect();
        versions.sort_unstable();
        assert_eq!(versions, (0..versions.len() as u64).collect::<Vec<_>>(), "{}", table.name);
    }
}

/// A writer that stands still for longer than a lease finds its lock taken over, and does no harm.
#[test]
fn a_writer_that_stood_still_is_overtaken() {
    let server = server();
    let place = "s3://lakes/late";
    server.run(place, "append first");
    let late = server.child(place, "stand still").spawn().unwrap();
    let stop = |signal: &str| {
        assert!(Command::new("kill").args([signal, &late.id().to_string()]).status().unwrap().success());
    };
    // It stops itself when half of its tables are committed.
    let began = Instant::now();
    while !fs::read_to_string(format!("/proc/{}/stat", late.id())).unwrap().contains(") T ") {
        assert!(began.elapsed() < Duration::from_secs(20), "it never stood still");
        thread::sleep(Duration::from_millis(20));
    }
    server.run(place, "append other");
    stop("-CONT");
    let output = late.wait_with_output().unwrap();
    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
    server.run(place, "find first and other");
}

/// A writer that is stopped for longer than a lease now and then goes on by itself, with what is missing.
#[test]
fn a_writer_that_lost_its_lock_begins_again() {
    let server = server();
    let place = "s3://lakes/again";
    server.run(place, "append first");
    let mut late = server.child(place, "append on").spawn().unwrap();
    let mut others = Vec::new();
    let mut was_overtaken = false;
    for other in 0..12 {
        thread::sleep(Duration::from_millis(300 + 50 * other));
        assert!(late.try_wait().unwrap().is_none(), "it was through before it was overtaken");
        crate::resume::interrupt(&late, "-STOP");
        let key = 500 + other.cast_signed();
        let began = Instant::now();
        server.run(place, &format!("append one {key}"));
        others.push(key);
        was_overtaken = began.elapsed() >= LEASE;
        crate::resume::interrupt(&late, "-CONT");
        if was_overtaken {
            break;
        }
    }
    let output = late.wait_with_output().unwrap();
    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
    assert!(was_overtaken, "it never had the lock when it was stopped");
    let copy = server.copy(&[place.into()], &serde_json::json!({}));
    let lake = Lake::open(copy.path().join("again")).unwrap();
    Expected::of_lake(&lake).assert_same(&of(&[&FIRST, &ON.collect::<Vec<_>>(), &others]));
    assert_eq!(lake.info().unwrap().tables.iter().map(|table| table.orphans).sum::<u64>(), 0);
}

/// What a writer appends one by one.
const ON: std::ops::Range<i64> = 200..216;

#[test]
fn what_cannot_be_is_said_in_one_line_without_a_secret() {
    let server = server();
    let url = format!("s3://{KEY}:{SECRET}@lakes/lake");
    let token = format!("s3://lakes/lake?token={SECRET}");
    let cases: [(&[&str], i32, &str); 9] = [
        (&["lake", "info", &url], 2, "holds a user or a key"),
        (&["query", "games", &url], 2, "holds a user or a key"),
        (&["collect", "--lake", &token], 2, "holds more than a bucket and a path"),
        (&["lake", "info", "s3://lakes/nothing"], 2, "there is no lake at s3://lakes/nothing"),
        (&["lake", "info", "s3://closed/lake"], 3, "no permission for s3://closed/lake"),
        (&["lake", "info", "gs://lakes/lake"], 2, "without the feature `gcp`"),
        (&["query", "games", "s3://lakes/nothing"], 2, "there is no lake at s3://lakes/nothing"),
        (&["query", "games", "s3://closed/lake"], 3, "no permission for s3://closed/lake"),
        (&["report", "s3://lakes/nothing"], 2, "there is no lake at s3://lakes/nothing"),
    ];
    for (arguments, code, message) in cases {
        let output = server.program(arguments);
        let said = said(&output);
        assert_eq!(output.status.code(), Some(code), "{said}");
        assert!(said.contains(message), "{said}");
        let errors = said.lines().filter(|line| line.starts_with("error: ")).count();
        assert!(errors == 1 && said.lines().count() <= 2, "{said}");
    }
    let mut program = Command::new(env!("CARGO_BIN_EXE_saelake"));
    program.args(["lake", "info", "s3://lakes/lake"]).env_remove("AWS_ACCESS_KEY_ID");
    let output = program.output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(said(&output).contains("no credentials for s3://lakes"), "{}", said(&output));
}

/// A prompt goes from the program into a bucket, and a second call adds nothing.
#[test]
fn collect_and_plan_know_a_bucket() {
    let server = server();
    let work = folder();
    let prompts = work.path().join("prompts.jsonl");
    fs::write(&prompts, r#"{"game": "a", "text": "The coin shows"}"#).unwrap();
    let place = "s3://lakes/collected";
    let options =
        ["--lake", place, "--prompts", prompts.to_str().unwrap(), "--layers", "8", "--device", "cpu"];
    let plan = server.program(&[&["plan"], &options[..]].concat());
    assert!(plan.status.success(), "{}", said(&plan));
    let mut program = Command::new(env!("CARGO_BIN_EXE_saelake"));
    let odd = server.with(program.arg("collect").args(options)).env("SAELAKE_LEASE_SECONDS", "30s").output();
    let odd = odd.unwrap();
    assert_eq!(odd.status.code(), Some(2));
    assert!(said(&odd).contains("SAELAKE_LEASE_SECONDS is `30s`"), "{}", said(&odd));
    assert_eq!(server.program(&["lake", "info", place]).status.code(), Some(2), "nothing was made");
    let made = server.program(&[&["collect"], &options[..]].concat());
    assert!(made.status.success(), "{}", said(&made));
    assert!(said(&made).contains("1 games, 1 steps"), "{}", said(&made));
    let again = server.program(&[&["collect"], &options[..]].concat());
    assert!(said(&again).contains("in the lake already"), "{}", said(&again));
    let info = server.program(&["lake", "info", place]);
    assert!(text(&info.stdout).contains("1 games, 1 steps"), "{}", text(&info.stdout));
    let copy = server.copy(&[place.into()], &serde_json::json!({}));
    assert_holds_no_secret(copy.path());
}

/// Questions and reports of a lake in a bucket are those of a copy of it in a folder.
#[test]
fn questions_of_a_bucket_are_those_of_a_folder() {
    let server = server();
    let place = "s3://lakes/asked/lake";
    server.run(place, "make small");
    let copy = server.copy(&[place.into()], &serde_json::json!({}));
    let folder = copy.path().join("lake");
    let lake = Lake::open(&folder).unwrap();
    let of_features = &lake.files(&schemas::features::TABLE).unwrap()[0];
    let rows = lake.read(&schemas::features::TABLE, of_features).unwrap();
    let feature = schemas::features::Rows::from_values(rows).unwrap().feature[0];
    let feature = format!("L8-{feature}");
    let everywhere = [&["--all"][..], &[]];
    for (question, about) in [
        ("games", everywhere[1]),
        ("overview", everywhere[1]),
        ("attribution", everywhere[0]),
        ("features", everywhere[1]),
        ("feature", &["--feature", &feature]),
        ("flow", everywhere[0]),
        ("position", &["--position", "1"]),
        ("heatmap", everywhere[1]),
        ("trace", &["--no-couplings"]),
        ("last-token", everywhere[1]),
    ] {
        let ask =
            |lake: &str| server.program(&[&["query", question, lake, "--format", "json"], about].concat());
        let (found, expected) = (ask(place), ask(folder.to_str().unwrap()));
        assert_eq!(found.status.code(), expected.status.code(), "{question}: {}", said(&found));
        assert_eq!(text(&found.stdout), text(&expected.stdout), "{question}");
        assert!(question == "last-token" || !found.stdout.is_empty(), "{question}: {}", said(&found));
    }
    let report = |lake: &str, name: &str| {
        let page = copy.path().join(name);
        let output = server.program(&["report", lake, "--output", page.to_str().unwrap()]);
        assert!(output.status.success(), "{}", said(&output));
        fs::read(page).unwrap()
    };
    assert!(report(place, "one.html") == report(folder.to_str().unwrap(), "other.html"));
}

/// The process that works on a bucket; without the variables there is nothing to do.
#[test]
fn child() {
    let (Ok(what), Ok(place)) = (std::env::var(DO), std::env::var(PLACE)) else { return };
    let words: Vec<&str> = what.split(' ').collect();
    let open = || Lake::create_or_open(&place).unwrap();
    match words.as_slice() {
        ["append"] => {
            let mut lake = open();
            append(&mut lake, &first_batch(&FIRST, SHAPE));
            append(&mut lake, &batch(&SECOND, SHAPE));
            Expected::of_lake(&lake).assert_same(&of(&[&FIRST, &SECOND]));
            Expected::of_lake(&Lake::open(&place).unwrap()).assert_same(&of(&[&FIRST, &SECOND]));
        }
        ["append", "on"] => {
            let mut lake = open();
            for key in ON {
                assert_eq!(lake.append_missing(batch(&[key], SHAPE)).unwrap().games, 1);
            }
        }
        ["append", "one", key] => append(&mut open(), &batch(&[key.parse().unwrap()], SHAPE)),
        ["make", "small"] => super::make_small(Path::new(&place)),
        ["append", "first"] => append(&mut open(), &first_batch(&FIRST, SHAPE)),
        ["append", "second"] => append(&mut open(), &batch(&SECOND, SHAPE)),
        ["append", "other"] => append(&mut open(), &batch(&SECOND[..1], SHAPE)),
        ["find", "first", "and", "other"] => {
            Expected::of_lake(&open()).assert_same(&of(&[&FIRST, &SECOND[..1]]));
            assert_eq!(open().info().unwrap().tables.iter().map(|table| table.orphans).sum::<u64>(), 0);
        }
        ["know", "second"] => assert_eq!(open().append(batch(&SECOND, SHAPE)).unwrap(), Receipt::default()),
        ["append", "each", writer] => {
            let writer: i64 = writer.parse().unwrap();
            let mut lake = open();
            for key in [100 + 2 * writer, 101 + 2 * writer] {
                lake.refresh().unwrap();
                if !lake.has_game(key) {
                    append(&mut lake, &batch(&[key], SHAPE));
                }
            }
        }
        ["die", at] => at_stage(&place, at.parse().unwrap(), "-9"),
        ["stand", "still"] => at_stage(&place, 15, "-STOP"),
        _ => panic!("nobody knows how to {what}"),
    }
}

/// Appends as whoever runs the program again after it was overtaken: a busy machine may hold a writer up for a lease.
fn append(lake: &mut Lake, batch: &Batch) {
    while let Err(error) = lake.append(batch.clone()) {
        assert!(matches!(error, LakeError::LockLost { .. } | LakeError::Overtaken { .. }), "{error}");
    }
}

/// Appends the second batch, and sends a signal to itself after a stage.
fn at_stage(place: &str, at: usize, signal: &str) {
    let mut lake = Lake::open(place).unwrap();
    let mut stage = 0;
    let appended = lake.append_watched(batch(&SECOND, SHAPE), &mut |_: Stage| {
        if stage == at {
            Command::new("kill").args([signal, &id().to_string()]).status().unwrap();
            // Time for the signal to come.
            thread::sleep(Duration::from_millis(100));
        }
        stage += 1;
    });
    let error = appended.unwrap_err();
    assert!(matches!(error, LakeError::LockLost { .. } | LakeError::Overtaken { .. }), "{error}");
    assert_eq!(error.exit_code(), 3);
    assert!(!lake.has_game(SECOND[1]), "a game of a writer that was overtaken");
}

/// A collection into a bucket that is killed and asked for again, and a compaction of it that is killed, give the rows of
/// a collection into a folder that nobody disturbed.
#[test]
fn a_collection_killed_in_a_bucket_goes_on_to_the_same_rows() {
    let server = server();
    let work = folder();
    let (place, whole) = ("s3://lakes/resumed/lake", work.path().join("whole"));
    let options =
        ["--total-games", "3", "--commit-games", "1", "--layers", "15", "--device", "cpu", "--seed", "7"];
    let collect = |lake: &str| {
        let mut program = Command::new(env!("CARGO_BIN_EXE_saelake"));
        server.with(program.args(["collect", "--lake", lake]).args(options)).stderr(Stdio::null());
        program
    };
    assert!(collect(whole.to_str().unwrap()).status().unwrap().success());
    let games = || {
        let info = text(&server.program(&["lake", "info", place]).stdout);
        info.split(' ').nth(2).and_then(|games| games.parse::<u32>().ok()).unwrap_or(0)
    };
    let mut child = collect(place).spawn().unwrap();
    while games() == 0 {
        assert!(child.try_wait().unwrap().is_none(), "it was through before it was killed");
    }
    child.kill().unwrap();
    assert_eq!(child.wait().unwrap().code(), None);
    let before = games();
    assert!((1..3).contains(&before), "{before}");
    assert!(collect(place).status().unwrap().success());
    let copied = || {
        let copy = server.copy(&[place.into()], &serde_json::json!({}));
        crate::resume::assert_same(&whole, &copy.path().join("lake"));
    };
    copied();
    let compact = || {
        let mut program = Command::new(env!("CARGO_BIN_EXE_saelake"));
        server.with(program.args(["lake", "compact", place])).stderr(Stdio::null());
        program
    };
    for wait in [0.3, 0.9, 1.8] {
        let mut child = compact().spawn().unwrap();
        thread::sleep(Duration::from_secs_f64(wait));
        child.kill().unwrap();
        child.wait().unwrap();
    }
    assert!(compact().status().unwrap().success());
    copied();
    let verified = server.program(&["lake", "verify", place]);
    assert!(verified.status.success(), "{}", text(&verified.stdout));
}
