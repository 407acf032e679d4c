//! The lake that questions are timed on: made games of one long step, written once by the lake's own writer.

use std::{
    error::Error,
    fs,
    io::Write as _,
    path::{Path, PathBuf},
};

use saelake::lake::{Batch, Lake};
use schemas::spans;

use crate::synthetic::{self, SMALL, Shape};

/// Games in one append.
const BATCH: usize = 50;

/// 250 positions, three layers, the 64 strongest of 32,768 features, nine heads with their eight strongest keys.
const SHAPE: Shape = Shape { steps: 1, tokens: 250, layers: &[8, 15, 29], top_k: 64, heads: 9, keys: 8 };

/// Which lake to make.
#[derive(Clone, Copy)]
pub(crate) struct Size {
    pub(crate) games: usize,
    /// Whether games are as short as those of the tests.
    pub(crate) short: bool,
}

/// The lake below `folder`, made now if it is not there. What was interrupted is made anew.
///
/// Fifty games are made, and the others are the same under other keys.
pub(crate) fn lake(folder: &Path, size: Size) -> Result<PathBuf, Box<dyn Error>> {
    let root = folder.join(format!("{}-{}", if size.short { "short" } else { "long" }, size.games));
    let mut lake = Lake::create_or_open(&root)?;
    if lake.n_games() >= size.games {
        return Ok(root);
    }
    let shape = if size.short { Shape { steps: 1, tokens: 60, heads: SHAPE.heads, ..SMALL } } else { SHAPE };
    let keys = (0..BATCH as i64).collect::<Vec<_>>();
    let (left, right) = keys.split_at(keys.len() / 2);
    let (mut made, right) =
        rayon::join(|| synthetic::first_batch(left, shape), || synthetic::batch(right, shape));
    join(&mut made, right);
    for first in (0..size.games).step_by(BATCH).skip(lake.n_games().div_ceil(BATCH)) {
        lake.append(from_key(made.clone(), first as i64))?;
        write!(std::io::stderr(), "\rmaking the lake: {} of {} games", lake.n_games(), size.games)?;
    }
    writeln!(std::io::stderr())?;
    Ok(root)
}

/// The same games with keys from `first` on.
fn from_key(mut batch: Batch, first: i64) -> Batch {
    let mut keys = vec![&mut batch.games.game, &mut batch.steps.game, &mut batch.tokens.game];
    keys.extend(batch.features.values_mut().map(|rows| &mut rows.game));
    keys.extend(batch.positions.values_mut().map(|rows| &mut rows.game));
    keys.extend(batch.attention.values_mut().map(|rows| &mut rows.game));
    keys.extend(batch.attention_rows.values_mut().map(|rows| &mut rows.game));
    for game in keys.into_iter().flatten() {
        *game += first;
    }
    if first > 0 {
        (batch.run, batch.dictionaries) = (None, Vec::new());
    }
    played(batch)
}

/// Bytes of the files below `folder` whose path holds `part`.
pub(crate) fn bytes(folder: &Path, part: &str) -> std::io::Result<u64> {
    let mut sum = 0;
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            sum += bytes(&path, part)?;
        } else if path.to_string_lossy().contains(part) {
            sum += path.metadata()?.len();
        }
    }
    Ok(sum)
}

/// Games that bet and stop, with the spans of a slot machine's prompt.
fn played(mut batch: Batch) -> Batch {
    batch.spans = spans::Rows::default();
    for index in 0..batch.steps.game.len() {
        let (game, step) = (batch.steps.game[index], batch.steps.step[index]);
        batch.steps.decision[index] = Some(if game % 3 == 0 { "stop" } else { "bet" }.into());
        for (name, start, end) in places(batch.steps.n_tokens[index]) {
            batch.spans.push(spans::Row {
                game,
                step,
                name,
                byte_start: start,
                byte_end: end,
                position_start: start,
                position_end: end,
            });
        }
    }
    for (index, game) in batch.games.game.iter().enumerate() {
        let outcome = if game % 3 == 0 { "voluntary_stop" } else { "bankruptcy" };
        batch.games.outcome[index] = Some(outcome.into());
        batch.games.bet_type[index] = Some(if game % 2 == 0 { "fixed" } else { "variable" }.into());
    }
    batch
}

/// The spans of a step: most of its tokens are in one, those of the history in two.
fn places(n_tokens: i32) -> Vec<(String, i32, i32)> {
    const ROUNDS: i32 = 8;
    let at = |percent: i32| n_tokens * percent / 100;
    let mut places = [
        ("initial_funds", 4, 5),
        ("balance", 8, 10),
        ("goal", 11, 20),
        ("maximize", 20, 28),
        ("hints", 28, 38),
        ("question", 84, 86),
        ("bet_option", 87, 91),
        ("stop_option", 92, 96),
    ]
    .map(|(name, start, end)| (name.to_owned(), at(start), at(end)))
    .to_vec();
    let round = at(44) / ROUNDS;
    for i in 0..ROUNDS {
        let start = at(39) + i * round;
        places.push((format!("history[{i}]"), start, start + round));
        for (index, part) in (0..).zip(["bet", "result", "balance"]) {
            places.push((format!("history[{i}].{part}"), start + index, start + index + 1));
        }
    }
    places.retain(|(_, start, end)| start < end);
    places
}

fn join(batch: &mut Batch, other: Batch) {
    batch.games.append(other.games);
    batch.steps.append(other.steps);
    batch.tokens.append(other.tokens);
    batch.spans.append(other.spans);
    for (layer, rows) in other.features {
        batch.features.entry(layer).or_default().append(rows);
    }
    for (layer, rows) in other.positions {
        batch.positions.entry(layer).or_default().append(rows);
    }
    for (layer, rows) in other.attention {
        batch.attention.entry(layer).or_default().append(rows);
    }
    for (layer, rows) in other.attention_rows {
        batch.attention_rows.entry(layer).or_default().append(rows);
    }
}
