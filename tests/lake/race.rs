//! Writers that race on one lake, and are killed and started again: every game is there once, and every version is.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use saelake::lake::{Lake, verify};
use schemas::games;

use super::checksum::Expected;
use super::engines::{Engines, Globs};
use super::synthetic::{Random, Shape, batch, first_batch};
use super::{data_files, folder};

const SHAPE: Shape = Shape { layers: &[8], steps: 1, tokens: 8, top_k: 3, heads: 1, keys: 2 };
const ROOT: &str = "SAELAKE_TEST_RACE_ROOT";
const WRITER: &str = "SAELAKE_TEST_RACE_WRITER";
const PLAN: &str = "SAELAKE_TEST_RACE_PLAN";

/// What each of some writers appends.
#[derive(Clone, Copy)]
struct Plan {
    writers: i64,
    batches: i64,
    /// Games of a batch.
    games: i64,
}

impl Plan {
    fn keys(self, writer: i64, number: i64) -> Vec<i64> {
        let first = (writer * self.batches + number) * self.games;
        (first..first + self.games).map(|index| (index * 7_919) % 100_003 - 50_000).collect()
    }

    fn to_text(self) -> String {
        format!("{} {} {}", self.writers, self.batches, self.games)
    }

    fn of_text(text: &str) -> Self {
        let mut numbers = text.split(' ').map(|number| number.parse().unwrap());
        let mut next = || numbers.next().unwrap();
        Self { writers: next(), batches: next(), games: next() }
    }

    /// What the lake holds in the end. Which block a batch is in depends on who came first.
    fn expected(self, lake: &Lake) -> Expected {
        let blocks = blocks(lake);
        let places =
            (0..self.writers).flat_map(|writer| (0..self.batches).map(move |number| (writer, number)));
        let mut batches: Vec<Vec<i64>> = places.map(|(writer, number)| self.keys(writer, number)).collect();
        batches.sort_by_key(|keys| blocks[&keys[0]]);
        let mut expected = Expected::default();
        for (number, keys) in batches.iter().enumerate() {
            expected.add(&if number == 0 { first_batch(keys, SHAPE) } else { batch(keys, SHAPE) });
        }
        expected
    }
}

/// The block of every game.
fn blocks(lake: &Lake) -> BTreeMap<i64, i32> {
    let mut blocks = BTreeMap::new();
    for file in lake.files(&games::TABLE).unwrap() {
        let rows = games::Rows::from_values(lake.read(&games::TABLE, &file).unwrap()).unwrap();
        blocks.extend(rows.game.into_iter().zip(rows.game_block));
    }
    blocks
}

fn begin(root: &Path, plan: Plan, writer: i64) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["lake::race::child", "--exact", "--nocapture"])
        .env(ROOT, root)
        .env(WRITER, writer.to_string())
        .env(PLAN, plan.to_text())
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

/// A writer; without the variables there is nothing to do.
#[test]
fn child() {
    let Some(root) = std::env::var_os(ROOT) else { return };
    let writer: i64 = std::env::var(WRITER).unwrap().parse().unwrap();
    let plan = Plan::of_text(&std::env::var(PLAN).unwrap());
    let mut lake = Lake::create_or_open(root).unwrap();
    for number in 0..plan.batches {
        let keys = plan.keys(writer, number);
        lake.append_missing(first_batch(&keys, SHAPE)).unwrap();
    }
}

/// Runs the plan, killing and restarting writers at random times; how often one was killed.
fn race(root: &Path, plan: Plan, kills: usize, longest: Duration) -> usize {
    let mut random = Random(7);
    let mut children: Vec<Child> = (0..plan.writers).map(|writer| begin(root, plan, writer)).collect();
    let mut killed = 0;
    while killed < kills {
        std::thread::sleep(longest.mul_f64(random.below(1_000) as f64 / 1_000.0));
        let writer = random.below(children.len());
        children[writer].kill().unwrap();
        let was_at_work = children[writer].wait().unwrap().code().is_none();
        killed += usize::from(was_at_work);
        children[writer] = begin(root, plan, writer as i64);
        if !was_at_work && children.iter_mut().all(|child| child.try_wait().unwrap().is_some()) {
            break;
        }
    }
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    killed
}

/// Each table's entries are numbered from 0 without a gap; how many there are.
fn versions(root: &Path) -> usize {
    let entries = |table: &&schemas::Table| {
        let log = root.join(table.name).join("_delta_log");
        let names = fs::read_dir(log).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let numbers = names.filter_map(|name| name.strip_suffix(".json")?.parse::<usize>().ok());
        let numbers: BTreeSet<usize> = numbers.collect();
        assert!(numbers.iter().copied().eq(0..numbers.len()), "{}: {numbers:?}", table.name);
        numbers.len()
    };
    schemas::ALL.iter().map(entries).sum()
}

/// The lake is whole; a copy of it is kept for the engines.
fn check(root: &Path, plan: Plan, engines: &mut Engines<'_>) {
    let mut lake = Lake::open(root).unwrap();
    assert_eq!(lake.n_games() as i64, plan.writers * plan.batches * plan.games);
    // Whoever was killed last left what the next writer clears away.
    lake.append_missing(first_batch(&plan.keys(0, 0), SHAPE)).unwrap();
    let expected = plan.expected(&lake);
    Expected::of_lake(&lake).assert_same(&expected);
    engines.keep(root, "when all was done", &expected, Globs::Same);
    let listed: usize = schemas::ALL.iter().map(|table| lake.files(table).unwrap().len()).sum();
    assert_eq!(data_files(root).len(), listed, "files that are in no log");
    assert_eq!(verify(root).unwrap().findings, []);
}

fn read_checked(root: &Path, plan: Plan) {
    let kept = folder();
    let mut engines = Engines::new(kept.path());
    check(root, plan, &mut engines);
    engines.read();
}

#[test]
fn three_writers_that_are_killed_lose_and_double_nothing() {
    let folder = folder();
    let root = folder.path().join("lake");
    let plan = Plan { writers: 3, batches: 6, games: 2 };
    race(&root, plan, 8, Duration::from_millis(120));
    versions(&root);
    read_checked(&root, plan);
}

#[test]
fn soak_eight_writers_of_two_hundred_games_each() {
    if std::env::var_os("SAELAKE_SOAK").is_none() {
        return;
    }
    let folder = folder();
    let root = folder.path().join("lake");
    let plan = Plan { writers: 8, batches: 50, games: 4 };
    let start = Instant::now();
    let killed = race(&root, plan, 100, Duration::from_millis(900));
    let seconds = start.elapsed().as_secs_f64();
    let versions = versions(&root);
    read_checked(&root, plan);
    println!("1600 games of 8 writers in {seconds:.0} s, {killed} kills, {versions} versions of all tables");
}

/// What the first batches of the one writer of a plan are in a lake.
fn first_batches(plan: Plan, batches: i64) -> Expected {
    let mut expected = Expected::default();
    for number in 0..batches {
        let keys = plan.keys(0, number);
        expected.add(&if number == 0 { first_batch(&keys, SHAPE) } else { batch(&keys, SHAPE) });
    }
    expected
}

/// One writer, killed at random times and started again, reads the same as one that nobody disturbed, by other engines
/// after every tenth kill.
fn killed_at_random(kills: usize, seed: u64) {
    let (folder, kept) = (folder(), folder());
    let mut engines = Engines::new(kept.path());
    let root = folder.path().join("lake");
    let plan = Plan { writers: 1, batches: 8, games: 2 };
    let whole = folder.path().join("whole");
    let start = Instant::now();
    assert!(begin(&whole, plan, 0).wait().unwrap().success());
    let duration = start.elapsed();
    let whole = Expected::of_lake(&Lake::open(&whole).unwrap());
    let mut random = Random(seed);
    let mut killed = 0;
    while killed < kills {
        let mut child = begin(&root, plan, 0);
        std::thread::sleep(duration.mul_f64(random.below(1_000) as f64 / 1_000.0));
        child.kill().unwrap();
        killed += 1;
        let was_at_work = child.wait().unwrap().code().is_none();
        if let Ok(lake) = Lake::open(&root) {
            // Whole batches in their order, and nothing else of them.
            let batches = lake.n_games() as i64 / plan.games;
            assert_eq!(lake.n_games() as i64 % plan.games, 0);
            let expected = first_batches(plan, batches);
            Expected::of_lake(&lake).assert_same(&expected);
            if killed % 10 == 1 {
                let next = first_batches(plan, (batches + 1).min(plan.batches));
                engines.keep(&root, &format!("after kill {killed}"), &expected, Globs::May(&next));
            }
        }
        if !was_at_work {
            Expected::of_lake(&Lake::open(&root).unwrap()).assert_same(&whole);
            check(&root, plan, &mut engines);
            fs::remove_dir_all(&root).unwrap();
        }
    }
    assert!(begin(&root, plan, 0).wait().unwrap().success());
    Expected::of_lake(&Lake::open(&root).unwrap()).assert_same(&whole);
    check(&root, plan, &mut engines);
    engines.read();
}

#[test]
fn killed_at_random_times_a_writer_goes_on_to_the_same_rows() {
    killed_at_random(12, 1);
}

#[test]
fn soak_a_hundred_kills_of_a_hundred_leave_a_whole_lake() {
    if std::env::var_os("SAELAKE_SOAK").is_some() {
        killed_at_random(100, 2);
    }
}
