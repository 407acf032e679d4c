//! The rows of `feature_rollup`: where each feature of a game fired, over all its steps.

use std::collections::HashMap;

use rayon::prelude::*;
use schemas::{feature_rollup, features, steps, tokens};

use super::Batch;

/// Which positions of steps statistics count: those up to the decision but for position 0 and special tokens.
#[derive(Clone, Debug, Default)]
pub struct Counted {
    /// Whether a position counts, by game and step.
    by_step: HashMap<(i64, i32), Vec<bool>>,
}

impl Counted {
    /// What the rows of steps and of their tokens say; tokens of other steps do not count.
    pub fn of(steps: &steps::Rows, tokens: &tokens::Rows) -> Self {
        let places = steps.game.iter().copied().zip(steps.step.iter().copied());
        let lengths =
            steps.decision_position.iter().map(|last| usize::try_from(*last).map_or(0, |at| at + 1));
        let mut by_step: HashMap<_, _> = places.zip(lengths.map(|length| vec![false; length])).collect();
        let places = tokens.game.iter().copied().zip(tokens.step.iter().copied());
        let about = tokens.position.iter().copied().zip(tokens.is_special.iter().copied());
        for (place, (position, is_special)) in places.zip(about) {
            let cell = usize::try_from(position).ok().zip(by_step.get_mut(&place));
            if let Some(counts) = cell.and_then(|(position, counts)| counts.get_mut(position)) {
                *counts = position > 0 && !is_special;
            }
        }
        Self { by_step }
    }

    /// Whether each position of the step counts, as far as its decision.
    fn of_step(&self, place: (i64, i32)) -> &[bool] {
        self.by_step.get(&place).map_or(&[], Vec::as_slice)
    }
}

impl Batch {
    /// Makes the rows of `feature_rollup` of every layer that has none yet, from all rows of `features` that the batch has.
    ///
    /// A position counts in every step that has it, so this comes before rows of shared positions are dropped.
    pub fn roll_up(&mut self) {
        let layers = self.feature_layers().into_iter();
        let layers: Vec<i32> = layers.filter(|layer| !self.feature_rollup.contains_key(layer)).collect();
        if layers.is_empty() {
            return;
        }
        let counted = Counted::of(&self.steps, &self.tokens);
        let of_layer = |layer: i32| {
            let more = self.more.iter().filter_map(|more| more.features.get(&layer));
            let parts: Vec<&features::Rows> = self.features.get(&layer).into_iter().chain(more).collect();
            (layer, roll_up(&counted, &parts))
        };
        let made: Vec<(i32, feature_rollup::Rows)> = layers.into_par_iter().map(of_layer).collect();
        self.feature_rollup.extend(made);
    }
}

/// The rows of `feature_rollup` of one layer, in order, from all its rows of `features`, in as many parts as they come in.
pub fn roll_up(counted: &Counted, parts: &[&features::Rows]) -> feature_rollup::Rows {
    let mut found: Vec<Found> = parts.par_iter().flat_map_iter(|rows| of_part(counted, rows)).collect();
    // Sums of equal keys are of one game in several parts, which come in any order: their size decides.
    found.par_sort_unstable_by(|one, other| one.key().cmp(&other.key()).then(one.sum.total_cmp(&other.sum)));
    let mut rows = feature_rollup::Rows::default();
    for same in found.chunk_by(|one, next| one.key() == next.key()) {
        let mut all = same[0];
        same[1..].iter().for_each(|more| all.join(*more));
        rows.push(all.row());
    }
    rows
}

/// Where a feature of a game fired.
#[derive(Clone, Copy)]
struct Found {
    feature: i32,
    game: i64,
    count: i32,
    sum: f64,
    max: f32,
    step: i32,
    position: i32,
}

impl Found {
    const fn key(&self) -> (i32, i64) {
        (self.feature, self.game)
    }

    /// Takes in where else it fired.
    fn join(&mut self, other: Self) {
        self.count += other.count;
        self.sum += other.sum;
        let is_earlier = (other.step, other.position) < (self.step, self.position);
        if other.max > self.max || (other.max.to_bits() == self.max.to_bits() && is_earlier) {
            (self.max, self.step, self.position) = (other.max, other.step, other.position);
        }
    }

    fn row(self) -> feature_rollup::Row {
        feature_rollup::Row {
            game: self.game,
            feature: self.feature,
            count: self.count,
            sum: self.sum as f32,
            max: self.max,
            step: self.step,
            position: self.position,
        }
    }
}

/// What a part has of each game that its rows follow each other of.
fn of_part(counted: &Counted, rows: &features::Rows) -> Vec<Found> {
    let mut found = Vec::new();
    // Where a feature is in `found`, one more than its index; 0 if the game has not shown it yet.
    let last = rows.feature.iter().max().and_then(|last| usize::try_from(*last).ok());
    let mut places = vec![0_u32; last.map_or(0, |last| last + 1)];
    let mut start = 0;
    for of_game in rows.game.chunk_by(|one, next| one == next) {
        let end = start + of_game.len();
        let first = found.len();
        of_rows(counted, rows, start..end, (&mut found, &mut places));
        found[first..].iter().for_each(|known: &Found| places[known.feature as usize] = 0);
        start = end;
    }
    found
}

/// Adds what some rows of one game have.
fn of_rows(
    counted: &Counted,
    rows: &features::Rows,
    range: std::ops::Range<usize>,
    (found, places): (&mut Vec<Found>, &mut [u32]),
) {
    let mut start = range.start;
    for of_step in rows.step[range].chunk_by(|one, next| one == next) {
        let end = start + of_step.len();
        let (game, step) = (rows.game[start], of_step[0]);
        let counts = counted.of_step((game, step));
        for row in start..end {
            let (position, feature) = (rows.position[row], rows.feature[row]);
            // What is no position or feature is told when the batch is checked.
            if !counts.get(position as usize).copied().unwrap_or(false) || feature < 0 {
                continue;
            }
            let activation = rows.activation[row];
            let here =
                Found { feature, game, count: 1, sum: activation.into(), max: activation, step, position };
            match places[feature as usize] {
                0 => {
                    found.push(here);
                    places[feature as usize] = found.len() as u32;
                }
                known => found[known as usize - 1].join(here),
            }
        }
        start = end;
    }
}
