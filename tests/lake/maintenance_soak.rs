//! Maintenance of a large lake: how long it takes to open, compact and check one of 100,000 games.

use std::time::{Duration, Instant};

use saelake::lake::{Compaction, Lake, Order, verify};

use super::folder;
use super::synthetic::{Shape, batch, first_batch};

const GAMES: i64 = 100_000;
const GAMES_PER_BATCH: i64 = 500;
const SHAPE: Shape = Shape { steps: 1, tokens: 8, layers: &[8], top_k: 4, heads: 1, keys: 1 };

#[test]
fn a_compacted_lake_of_100_000_games_opens_within_a_second() {
    if std::env::var_os("SAELAKE_SOAK").is_none() {
        eprintln!("SAELAKE_SOAK is not set: nothing is tried");
        return;
    }
    let folder = folder();
    let mut lake = Lake::create_or_open(folder.path()).unwrap();
    let begun = Instant::now();
    for first in (0..GAMES).step_by(GAMES_PER_BATCH as usize) {
        let keys: Vec<i64> = (first..first + GAMES_PER_BATCH).collect();
        lake.append(if first == 0 { first_batch(&keys, SHAPE) } else { batch(&keys, SHAPE) }).unwrap();
    }
    let appended = begun.elapsed();
    let before = time(|| assert_eq!(Lake::open(folder.path()).unwrap().n_games() as i64, GAMES));
    let mut done = None;
    let compaction = Compaction { order: Order::Game, target_bytes: 128 << 20 };
    let compacted = time(|| done = Some(lake.compact(compaction, &mut |_| {}).unwrap()));
    let after = time(|| assert_eq!(Lake::open(folder.path()).unwrap().n_games() as i64, GAMES));
    let checked = time(|| assert_eq!(verify(folder.path()).unwrap().findings, []));
    eprintln!(
        "appended in {appended:?}, opened in {before:?}, compacted in {compacted:?} ({done:?}), opened in {after:?}, checked in {checked:?}"
    );
    assert!(after < Duration::from_secs(1), "{after:?}");
}

fn time(work: impl FnOnce()) -> Duration {
    let begun = Instant::now();
    work();
    begun.elapsed()
}
