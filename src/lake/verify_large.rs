//! Whether every step has its rows in the large tables, partition by partition.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use arrow::array::RecordBatch;
use schemas::{Table, attention, attention_rows, features, positions};

use super::layout::Folders;
use super::verify_cells::{floats, ints, longs};
use super::verify_finding::{Findings, Remedy};
use super::verify_index::{Game, Index, Step, Strays};
use super::verify_rollup;
use super::verify_sound::Sound;
use super::{Format, LakeError};

/// Weights are added up in another order than their sum was, and are rounded to single precision.
const MASS_TOLERANCE: f64 = 1e-5;

/// What a partition has of a step.
#[derive(Default)]
struct Sums {
    positions: i32,
    /// The features that its positions say they have kept.
    kept: i64,
    features: i64,
    attending: i64,
    mass: f64,
    weight: f64,
    weights: i64,
}

/// What a partition has.
#[derive(Default)]
struct Tally {
    steps: HashMap<(i64, i32), Sums>,
    /// Heads of the layer.
    heads: i32,
}

/// The partitions that there are or should be.
pub(super) fn partitions(sound: &Sound<'_>, index: &Index) -> BTreeSet<Folders> {
    let there = sound.0.iter().filter(|(log, _)| !log.table.partition.is_empty());
    let there = there.flat_map(|(_, files)| files.iter().map(|(file, _)| file.folders));
    let blocks: BTreeSet<i32> = index.games.values().map(|game| game.block).collect();
    let needed = blocks.into_iter().flat_map(|block| {
        index.layers.keys().map(move |layer| Folders { game_block: Some(block), layer: Some(*layer) })
    });
    there.chain(needed).collect()
}

/// Checks a partition.
pub(super) fn check(
    sound: &Sound<'_>,
    index: &Index,
    folders: Folders,
    format: Format,
) -> Result<Findings, LakeError> {
    let (mut findings, mut tally) = (Findings::default(), Tally::default());
    let layer = folders.layer.unwrap_or_default();
    let size = index.layers.get(&layer).copied();
    let run_k = |game: &Game| index.run_of(game).and_then(|run| run.top_k).unwrap_or(i32::MAX);
    let mut visit =
        |table: &'static Table, column: &str, take: &mut dyn FnMut(&mut Tally, &Game, Place<'_>)| {
            visit(sound, index, (table, folders, column), &mut tally, &mut findings, take)
        };
    visit(&positions::TABLE, "position", &mut |tally, game, place| {
        let (sums, k) = (tally.of(place), i64::from(run_k(game)));
        sums.positions += 1;
        sums.kept += i64::from(ints(place.batch, "l0")[place.row]).min(k);
    })?;
    let mut seen = Seen { size, ..Seen::default() };
    visit(&features::TABLE, "position", &mut |tally, _, place| {
        tally.of(place).features += 1;
        seen.take(place);
    })?;
    visit(&attention_rows::TABLE, "query", &mut |tally, _, place| {
        tally.heads = tally.heads.max(ints(place.batch, "head")[place.row] + 1);
        let sums = tally.of(place);
        sums.attending += 1;
        sums.mass += f64::from(floats(place.batch, "kept_mass")[place.row]);
    })?;
    visit(&attention::TABLE, "query", &mut |tally, _, place| {
        let sums = tally.of(place);
        sums.weights += 1;
        sums.weight += f64::from(floats(place.batch, "weight")[place.row]);
    })?;
    seen.tell(layer, &mut findings);
    tally.check(index, folders, &mut findings);
    if format >= Format::Two {
        verify_rollup::check(sound, index, folders, &mut findings)?;
    }
    Ok(findings)
}

/// What is wrong with the features of a partition by themselves.
#[derive(Default)]
struct Seen {
    /// Features of the dictionary, if it is known.
    size: Option<i32>,
    /// Games with a feature that the dictionary does not have, and with one twice at a position.
    odd: BTreeSet<i64>,
    twice: BTreeSet<i64>,
    /// A position with its features: in either order of a file, its rows lie together.
    position: Option<(i64, i32, i32)>,
    features: HashSet<i32>,
}

impl Seen {
    fn take(&mut self, place: Place<'_>) {
        let (game, step) = place.key;
        let cell = |name| ints(place.batch, name)[place.row];
        let (position, feature) = (Some((game, step, cell("position"))), cell("feature"));
        if self.position != position {
            self.position = position;
            self.features.clear();
        }
        if !self.features.insert(feature) {
            self.twice.insert(game);
        }
        if !(0..self.size.unwrap_or(i32::MAX)).contains(&feature) {
            self.odd.insert(game);
        }
    }

    fn tell(self, layer: i32, findings: &mut Findings) {
        for game in self.twice {
            let what = format!("game {game} has a feature of layer {layer} twice at a position");
            findings.table(features::TABLE.name, Remedy::Game(game), what);
        }
        for game in self.odd {
            let what = format!("game {game} has a feature of layer {layer} that its dictionary has not");
            findings.table(features::TABLE.name, Remedy::Game(game), what);
        }
    }
}

/// A row of a step.
#[derive(Clone, Copy)]
struct Place<'a> {
    key: (i64, i32),
    batch: &'a RecordBatch,
    row: usize,
}

/// Hands on the rows of a table whose game, step and position are there.
fn visit(
    sound: &Sound<'_>,
    index: &Index,
    (table, folders, column): (&'static Table, Folders, &str),
    tally: &mut Tally,
    findings: &mut Findings,
    take: &mut dyn FnMut(&mut Tally, &Game, Place<'_>),
) -> Result<(), LakeError> {
    let (mut strays, mut outside) = (Strays::default(), BTreeMap::<i64, String>::new());
    sound.each_in(table, Some(folders), |path, batch| {
        let (keys, steps, places) = (longs(batch, "game"), ints(batch, "step"), ints(batch, column));
        let mut known: Option<(i64, i32, &Game, Option<&Step>)> = None;
        for row in 0..batch.num_rows() {
            let (key, number) = (keys[row], steps[row]);
            if known.is_none_or(|(game, step, ..)| (game, step) != (key, number)) {
                known = index.games.get(&key).map(|game| (key, number, game, game.step(number)));
            }
            let Some((.., game, step)) = known else {
                strays.add(path, key);
                continue;
            };
            let is_inside = step.is_some_and(|step| (0..step.n_tokens).contains(&places[row]));
            if game.block != folders.game_block.unwrap_or_default() {
                outside.entry(key).or_insert_with(|| {
                    format!("{path} has rows of game {key}, whose block is {}", game.block)
                });
            } else if is_inside {
                take(tally, game, Place { key: (key, number), batch, row });
            } else {
                let place = places[row];
                outside
                    .entry(key)
                    .or_insert_with(|| format!("game {key} has no position {place} of step {number}"));
            }
        }
    })?;
    strays.tell(table.name, findings);
    for (game, what) in outside {
        findings.table(table.name, Remedy::Game(game), what);
    }
    Ok(())
}

impl Tally {
    fn of(&mut self, place: Place<'_>) -> &mut Sums {
        self.steps.entry(place.key).or_default()
    }

    /// Says which games do not have their rows; one thing of each.
    fn check(&self, index: &Index, folders: Folders, findings: &mut Findings) {
        let layer = folders.layer.unwrap_or_default();
        let is_known = index.layers.contains_key(&layer);
        for (key, game) in index.games.iter().filter(|(_, game)| Some(game.block) == folders.game_block) {
            if !is_known {
                let what = format!("game {key} has rows of layer {layer}, whose dictionary is not known");
                findings.table(features::TABLE.name, Remedy::Game(*key), what);
                continue;
            }
            let missing = game.steps.iter().find_map(|step| self.missing(index, *key, game, step));
            if let Some((table, what)) = missing {
                let what = format!("layer {layer} of game {key}: {what}");
                findings.table(table.name, Remedy::Game(*key), what);
            }
        }
    }

    fn missing(&self, index: &Index, key: i64, game: &Game, step: &Step) -> Option<(&'static Table, String)> {
        let none = Sums::default();
        let sums = self.steps.get(&(key, step.number)).unwrap_or(&none);
        let number = step.number;
        if step.has_failed && [sums.features, sums.attending, sums.weights, sums.positions.into()] == [0; 4] {
            return None;
        }
        let is_last = index.run_of(game).is_some_and(|run| run.positions == "last");
        let stored = if is_last { step.n_tokens.min(1) } else { step.n_tokens - game.covered(number) };
        let wrong = |table, found: i64, expected: i64| {
            (found != expected).then(|| (table, format!("step {number} has {found} of its {expected} rows")))
        };
        let has_attention = index.run_of(game).is_none_or(|run| run.attention != "none");
        let attending = if has_attention { i64::from(stored) * i64::from(self.heads.max(1)) } else { 0 };
        let mass = || {
            let slack = MASS_TOLERANCE * (1.0 + sums.weights as f64);
            let what =
                format!("the weights of step {number} add up to {:.4}, not to {:.4}", sums.weight, sums.mass);
            ((sums.weight - sums.mass).abs() > slack).then_some((&attention::TABLE, what))
        };
        wrong(&positions::TABLE, sums.positions.into(), stored.into())
            .or_else(|| wrong(&features::TABLE, sums.features, sums.kept))
            .or_else(|| wrong(&attention_rows::TABLE, sums.attending, attending))
            .or_else(mass)
    }
}
