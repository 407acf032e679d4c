//! Opening a lake of a hundred thousand games.

use std::path::Path;
use std::time::Instant;

use saelake::lake::{Compaction, Lake, Order};

use crate::synthetic::{Shape, batch, first_batch};
use crate::{Result, middle, say};

const GAMES: i64 = 100_000;

/// Games of an append.
const BATCHES: [i64; 2] = [1_000, 100];

/// As little as a game can have: it is their number that counts.
const SHAPE: Shape = Shape { steps: 1, tokens: 8, layers: &[8], top_k: 2, heads: 1, keys: 1 };

pub(crate) fn run() -> Result<()> {
    BATCHES.into_iter().try_for_each(of_batches)
}

fn of_batches(size: i64) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let begun = Instant::now();
    let mut lake = Lake::create_or_open(folder.path())?;
    for first in (0..GAMES).step_by(size as usize) {
        let keys = (first..first + size).collect::<Vec<_>>();
        lake.append(if first == 0 { first_batch(&keys, SHAPE) } else { batch(&keys, SHAPE) })?;
    }
    say(&format!("\n| a lake of {GAMES} games in {} appends | seconds |", GAMES / size))?;
    say("|---|--:|")?;
    say(&format!("| appending them | {:.1} |", begun.elapsed().as_secs_f64()))?;
    say(&format!("| opening it | {:.2} |", open(folder.path())?))?;
    let begun = Instant::now();
    lake.compact(Compaction { order: Order::Game, target_bytes: 128 << 20 }, &mut |_| ())?;
    say(&format!("| compacting it | {:.1} |", begun.elapsed().as_secs_f64()))?;
    say(&format!("| opening it then | {:.2} |", open(folder.path())?))
}

/// The seconds of the middle one of three openings.
fn open(root: &Path) -> Result<f64> {
    let mut times = Vec::new();
    for _ in 0..3 {
        let begun = Instant::now();
        assert_eq!(Lake::open(root)?.n_games() as i64, GAMES);
        times.push(begun.elapsed().as_secs_f64());
    }
    Ok(middle(times))
}
