//! What must hold of a batch before anything of it is written.

use std::collections::BTreeMap;

use arrow::array::{Array, AsArray as _, Int32Array, RecordBatch, StringArray};
use arrow::datatypes::Float32Type;
use rayon::prelude::*;
use schemas::{Table, games, steps, tokens};

use super::batch::Frame;
use super::{BatchError, order};

/// The columns that hold a position of a step, with what is added to the step's length to bound them.
const POSITIONS: [(&str, i32); 5] =
    [("position", 0), ("query", 0), ("key", 0), ("position_start", 0), ("position_end", 1)];

/// What is not known of games that were imported: there it is NaN in every row. A capture has numbers in all of them.
const UNKNOWN: [(&str, &str); 5] = [
    ("positions", "residual_norm"),
    ("positions", "reconstruction_error"),
    ("dictionaries", "input_scale"),
    ("dictionaries", "output_scale"),
    ("dictionaries", "measured_explained_variance"),
];

/// Checks that numbers are finite and that every row belongs to a game, a step and a position of the batch.
pub(crate) fn validate(frames: &[Frame]) -> Result<(), BatchError> {
    let steps = step_lengths(frames);
    let games = said_steps(frames);
    count_steps(&games, &steps)?;
    let checked = frames.par_iter().map(|frame| finite(frame).and_then(|()| placed(frame, &games, &steps)));
    // All of them, so that of several errors the first is told, whichever was found first.
    checked.collect::<Vec<_>>().into_iter().collect::<Result<(), _>>()?;
    count_tokens(frames)
}

/// The number of tokens of every step, by game and step.
fn step_lengths(frames: &[Frame]) -> BTreeMap<(i64, i32), i32> {
    let rows = frames.iter().filter(|frame| frame.table.name == steps::TABLE.name);
    let lengths = rows.filter_map(|frame| {
        let (games, steps) = (frame.games()?.values(), int32(frame, "step")?);
        Some(games.iter().copied().zip(steps.iter().copied()).zip(int32(frame, "n_tokens")?.iter().copied()))
    });
    lengths.flatten().collect()
}

/// How many steps every game says it has.
fn said_steps(frames: &[Frame]) -> BTreeMap<i64, i32> {
    let rows = frames.iter().filter(|frame| frame.table.name == games::TABLE.name);
    let said = rows.filter_map(|frame| {
        Some(frame.games()?.values().iter().copied().zip(int32(frame, "n_steps")?.iter().copied()))
    });
    said.flatten().collect()
}

fn count_steps(games: &BTreeMap<i64, i32>, steps: &BTreeMap<(i64, i32), i32>) -> Result<(), BatchError> {
    let mut counts: BTreeMap<i64, i32> = BTreeMap::new();
    for (game, _) in steps.keys() {
        *counts.entry(*game).or_default() += 1;
    }
    for (game, said) in games {
        let found = counts.get(game).copied().unwrap_or(0);
        if found != *said {
            return Err(BatchError::StepsMissing { game: *game, said: *said, found });
        }
    }
    Ok(())
}

/// A step that was run has all its tokens; one that failed need not have been tokenized.
fn count_tokens(frames: &[Frame]) -> Result<(), BatchError> {
    let of = |table: &'static str| frames.iter().filter(move |frame| frame.table.name == table);
    let mut counts: BTreeMap<(i64, i32), i32> = BTreeMap::new();
    for frame in of(tokens::TABLE.name) {
        let (Some(games), Some(steps)) = (frame.games(), int32(frame, "step")) else { continue };
        for place in games.values().iter().copied().zip(steps.iter().copied()) {
            *counts.entry(place).or_default() += 1;
        }
    }
    for frame in of(steps::TABLE.name) {
        let status = frame.rows.column_by_name("status").and_then(|array| array.as_any().downcast_ref());
        let (Some(games), Some(steps), Some(lengths)) =
            (frame.games(), int32(frame, "step"), int32(frame, "n_tokens"))
        else {
            continue;
        };
        for (row, (game, step)) in games.values().iter().copied().zip(steps.iter().copied()).enumerate() {
            let failed = status.is_some_and(|status: &StringArray| status.value(row) == "error");
            let (said, found) = (lengths[row], counts.get(&(game, step)).copied().unwrap_or(0));
            if said != found && !(failed && found == 0) {
                return Err(BatchError::TokensMissing { game, step, said, found });
            }
        }
    }
    Ok(())
}

pub(super) fn finite(frame: &Frame) -> Result<(), BatchError> {
    odd_number(frame.table, &frame.rows).map_or(Ok(()), |(column, row, value)| {
        let (table, key) = (frame.table.name, order::name(frame.table, &frame.rows, row));
        Err(BatchError::NotFinite { table, column, value, key })
    })
}

/// The first number that is not finite, with its column and row, but for what is not known in any row.
pub(super) fn odd_number(table: &Table, rows: &RecordBatch) -> Option<(&'static str, usize, f32)> {
    table.columns.iter().zip(rows.columns()).find_map(|(column, cells)| {
        let cells = cells.as_primitive_opt::<Float32Type>()?;
        if UNKNOWN.contains(&(table.name, column.name)) && cells.values().iter().all(|value| value.is_nan()) {
            return None;
        }
        let row = (0..cells.len()).find(|row| cells.is_valid(*row) && !cells.value(*row).is_finite())?;
        Some((column.name, row, cells.value(row)))
    })
}

/// Checks a frame's games, steps and positions. The rows are sorted, so a step is looked up once.
fn placed(
    frame: &Frame,
    known_games: &BTreeMap<i64, i32>,
    known_steps: &BTreeMap<(i64, i32), i32>,
) -> Result<(), BatchError> {
    let table = frame.table.name;
    let Some(games) = frame.games() else { return Ok(()) };
    if let Some(game) = games.values().iter().find(|game| !known_games.contains_key(game)) {
        return Err(BatchError::UnknownGame { table, game: *game });
    }
    let Some(steps) = int32(frame, "step") else { return Ok(()) };
    let positions: Vec<_> = POSITIONS
        .iter()
        .filter_map(|(name, slack)| Some((frame.table.column(name)?.name, int32(frame, name)?, *slack)))
        .collect();
    let mut current = None;
    let mut n_tokens = 0;
    for (row, (game, step)) in games.values().iter().copied().zip(steps.iter().copied()).enumerate() {
        if current != Some((game, step)) {
            let known = known_steps.get(&(game, step));
            n_tokens = *known.ok_or(BatchError::UnknownStep { table, game, step })?;
            current = Some((game, step));
        }
        for (column, cells, slack) in &positions {
            let value = cells[row];
            if value < 0 || value >= n_tokens + slack {
                return Err(BatchError::OutsideStep { table, column, value, game, step, n_tokens });
            }
        }
    }
    Ok(())
}

fn int32<'a>(frame: &'a Frame, name: &str) -> Option<&'a [i32]> {
    Some(frame.rows.column_by_name(name)?.as_any().downcast_ref::<Int32Array>()?.values())
}
