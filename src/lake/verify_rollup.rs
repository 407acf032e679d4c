//! Whether the rollup of a partition is what its features say.

use std::collections::{BTreeMap, HashMap};

use schemas::{feature_rollup, features};

use super::LakeError;
use super::layout::Folders;
use super::verify_cells::{floats, ints, longs};
use super::verify_finding::{Findings, Remedy};
use super::verify_index::{Game, Index};
use super::verify_sound::Sound;

/// How far a sum may be from one in another order, as a share.
const SUM_TOLERANCE: f64 = 1e-5;

/// Where a feature of a game fired.
#[derive(Clone, Copy)]
struct Fired {
    count: i32,
    sum: f64,
    max: f32,
    step: i32,
    position: i32,
}

impl Fired {
    fn add(&mut self, activation: f32, step: i32, position: i32) {
        self.count += 1;
        self.sum += f64::from(activation);
        let is_first =
            activation.to_bits() == self.max.to_bits() && (step, position) < (self.step, self.position);
        if activation > self.max || is_first {
            (self.max, self.step, self.position) = (activation, step, position);
        }
    }
}

/// Compares; what runs that keep the last position alone have cannot be recomputed.
pub(super) fn check(
    sound: &Sound<'_>,
    index: &Index,
    folders: Folders,
    findings: &mut Findings,
) -> Result<(), LakeError> {
    let is_told = |game: &Game| index.run_of(game).is_some_and(|run| run.positions != "last");
    let mut fired = add_up(sound, index, folders, &is_told)?;
    let mut wrong: BTreeMap<i64, String> = BTreeMap::new();
    sound.each_in(&feature_rollup::TABLE, Some(folders), |path, batch| {
        let (of_feature, counts) = (ints(batch, "feature"), ints(batch, "count"));
        let (steps, positions) = (ints(batch, "step"), ints(batch, "position"));
        let (sums, greatest) = (floats(batch, "sum"), floats(batch, "max"));
        for (row, key) in longs(batch, "game").iter().enumerate() {
            let Some(game) = index.games.get(key) else {
                wrong.insert(*key, format!("{path} has rows of game {key}, which is not in `games`"));
                continue;
            };
            if !is_told(game) {
                continue;
            }
            let feature = of_feature[row];
            let is_same = fired.remove(&(*key, feature)).is_some_and(|fired| {
                let slack = SUM_TOLERANCE * fired.sum.abs() + 1e-6;
                fired.count == counts[row]
                    && (fired.sum - f64::from(sums[row])).abs() <= slack
                    && fired.max.to_bits() == greatest[row].to_bits()
                    && (fired.step, fired.position) == (steps[row], positions[row])
            });
            if !is_same {
                wrong.entry(*key).or_insert_with(|| said(*key, feature, folders));
            }
        }
    })?;
    let mut missing: Vec<(i64, i32)> = fired.into_keys().collect();
    missing.sort_unstable();
    for (game, feature) in missing {
        wrong.entry(game).or_insert_with(|| said(game, feature, folders));
    }
    for (game, what) in wrong {
        let is_there = index.games.contains_key(&game);
        let remedy = if is_there { Remedy::Game(game) } else { Remedy::Strays([game].into()) };
        findings.table(feature_rollup::TABLE.name, remedy, what);
    }
    Ok(())
}

fn said(game: i64, feature: i32, folders: Folders) -> String {
    let layer = folders.layer.unwrap_or_default();
    format!("layer {layer} of game {game}: the row of feature {feature} is not what its features say")
}

/// The rows that the partition should have.
fn add_up(
    sound: &Sound<'_>,
    index: &Index,
    folders: Folders,
    is_told: &dyn Fn(&Game) -> bool,
) -> Result<HashMap<(i64, i32), Fired>, LakeError> {
    let mut fired: HashMap<(i64, i32), Fired> = HashMap::new();
    sound.each_in(&features::TABLE, Some(folders), |_, batch| {
        let (steps, positions) = (ints(batch, "step"), ints(batch, "position"));
        let (of_feature, activations) = (ints(batch, "feature"), floats(batch, "activation"));
        for (row, key) in longs(batch, "game").iter().enumerate() {
            let Some(game) = index.games.get(key).filter(|game| is_told(game)) else { continue };
            let position = positions[row];
            let shares = |prefix: &&(i32, i32, i32, i32)| {
                prefix.3 == steps[row] && (prefix.1..prefix.2).contains(&position)
            };
            let shared = game.prefixes.iter().filter(shares).map(|prefix| prefix.0);
            for number in std::iter::once(steps[row]).chain(shared) {
                if !game.step(number).is_some_and(|step| step.counts(position)) {
                    continue;
                }
                let none = Fired { count: 0, sum: 0.0, max: f32::NEG_INFINITY, step: number, position };
                let here = fired.entry((*key, of_feature[row])).or_insert(none);
                here.add(activations[row], number, position);
            }
        }
    })?;
    Ok(fired)
}
