//! What the small tables say of every game and step: what the other tables are held against.

use std::collections::{BTreeMap, BTreeSet};

use arrow::array::RecordBatch;
use schemas::{dictionaries, games, runs, steps};

use super::LakeError;
use super::verify_cells::{ints, longs, texts};
use super::verify_finding::{Findings, Remedy};
use super::verify_sound::Sound;

/// The games, some fifty bytes a step.
#[derive(Default)]
pub(super) struct Index {
    pub(super) games: BTreeMap<i64, Game>,
    pub(super) runs: Vec<runs::Row>,
    /// The number of features of each layer's dictionary.
    pub(super) layers: BTreeMap<i32, i32>,
}

/// A game.
#[derive(Default)]
pub(super) struct Game {
    /// Its run, as an index; none if it is unknown.
    pub(super) run: Option<usize>,
    pub(super) block: i32,
    n_steps: i32,
    /// By their number.
    pub(super) steps: Vec<Step>,
    /// Runs of positions that are stored with another step: step, first, end, the other step.
    pub(super) prefixes: Vec<(i32, i32, i32, i32)>,
}

/// A step.
pub(super) struct Step {
    pub(super) number: i32,
    pub(super) n_tokens: i32,
    decision: i32,
    /// It failed, and need not have been run.
    pub(super) has_failed: bool,
    /// Its tokens that were found.
    pub(super) n_found: i32,
    /// The positions after the first of special tokens.
    pub(super) special: Vec<i32>,
}

impl Game {
    pub(super) fn step(&self, number: i32) -> Option<&Step> {
        let place = self.steps.binary_search_by_key(&number, |step| step.number);
        place.ok().map(|place| &self.steps[place])
    }

    pub(super) fn step_mut(&mut self, number: i32) -> Option<&mut Step> {
        let place = self.steps.binary_search_by_key(&number, |step| step.number);
        place.ok().map(|place| &mut self.steps[place])
    }

    /// Positions of a step that are stored with others.
    pub(super) fn covered(&self, step: i32) -> i32 {
        self.prefixes.iter().filter(|prefix| prefix.0 == step).map(|(_, start, end, _)| end - start).sum()
    }
}

impl Step {
    /// Whether statistics count a position.
    pub(super) fn counts(&self, position: i32) -> bool {
        position > 0 && position <= self.decision && !self.special.contains(&position)
    }
}

impl Index {
    /// Reads runs, dictionaries, games and steps, and checks that each is of the other.
    pub(super) fn read(sound: &Sound<'_>, findings: &mut Findings) -> Result<Self, LakeError> {
        let mut index = Self::default();
        index.read_runs(sound)?;
        index.read_games(sound, findings)?;
        index.read_dictionaries(sound, findings)?;
        index.read_steps(sound, findings)?;
        for (key, game) in &index.games {
            let found = game.steps.len() as i32;
            if found != game.n_steps {
                let what = format!("game {key} has {found} of its {} steps", game.n_steps);
                findings.table(steps::TABLE.name, Remedy::Game(*key), what);
            }
        }
        Ok(index)
    }

    /// The run of a game.
    pub(super) fn run_of(&self, game: &Game) -> Option<&runs::Row> {
        game.run.map(|run| &self.runs[run])
    }

    fn read_runs(&mut self, sound: &Sound<'_>) -> Result<(), LakeError> {
        sound.each(&runs::TABLE, |_, batch| {
            let values = super::columns::from_arrow(&runs::TABLE, batch).unwrap_or_default();
            self.runs.extend(runs::Rows::from_values(values).unwrap_or_default().into_rows());
        })
    }

    fn read_games(&mut self, sound: &Sound<'_>, findings: &mut Findings) -> Result<(), LakeError> {
        sound.each(&games::TABLE, |_, batch| {
            let (keys, blocks, lengths) =
                (longs(batch, "game"), ints(batch, "game_block"), ints(batch, "n_steps"));
            for (row, name) in texts(batch, "run").into_iter().enumerate() {
                let run = self.runs.iter().position(|run| run.run == name);
                if run.is_none() {
                    let what = format!("game {} is of run `{name}`, which is not in `runs`", keys[row]);
                    findings.table(games::TABLE.name, Remedy::Game(keys[row]), what);
                }
                let game = Game { run, block: blocks[row], n_steps: lengths[row], ..Game::default() };
                self.games.insert(keys[row], game);
            }
        })?;
        let used: BTreeSet<usize> = self.games.values().filter_map(|game| game.run).collect();
        for (_, run) in self.runs.iter().enumerate().filter(|(index, _)| !used.contains(index)) {
            findings.table(runs::TABLE.name, Remedy::Runs, format!("run `{}` has no games", run.run));
        }
        Ok(())
    }

    fn read_dictionaries(&mut self, sound: &Sound<'_>, findings: &mut Findings) -> Result<(), LakeError> {
        sound.each(&dictionaries::TABLE, |_, batch| {
            let (layers, sizes) = (ints(batch, "layer"), ints(batch, "d_sae"));
            for (row, run) in texts(batch, "run").into_iter().enumerate() {
                let of_run = self.runs.iter().position(|row| row.run == run);
                let has_games = self.games.values().any(|game| game.run.is_some() && game.run == of_run);
                if has_games {
                    self.layers.insert(layers[row], sizes[row]);
                } else {
                    let what = format!(
                        "the dictionary of layer {} is of run `{run}`, which has no games",
                        layers[row]
                    );
                    findings.table(dictionaries::TABLE.name, Remedy::Runs, what);
                }
            }
        })
    }

    fn read_steps(&mut self, sound: &Sound<'_>, findings: &mut Findings) -> Result<(), LakeError> {
        let mut strays = Strays::default();
        sound.each(&steps::TABLE, |path, batch| {
            let (keys, status) = (longs(batch, "game"), texts(batch, "status"));
            for (row, key) in keys.iter().enumerate() {
                match self.games.get_mut(key) {
                    Some(game) => game.steps.push(step(batch, row, status[row])),
                    None => strays.add(path, *key),
                }
            }
        })?;
        strays.tell(steps::TABLE.name, findings);
        self.games.values_mut().for_each(|game| game.steps.sort_by_key(|step| step.number));
        Ok(())
    }
}

fn step(batch: &RecordBatch, row: usize, status: &str) -> Step {
    Step {
        number: ints(batch, "step")[row],
        n_tokens: ints(batch, "n_tokens")[row],
        decision: ints(batch, "decision_position")[row],
        has_failed: status == "error",
        n_found: 0,
        special: Vec::new(),
    }
}

/// Games that are not in `games`, by the file that has rows of them.
#[derive(Default)]
pub(super) struct Strays(BTreeMap<String, BTreeSet<i64>>);

impl Strays {
    pub(super) fn add(&mut self, path: &str, game: i64) {
        if let Some(games) = self.0.get_mut(path) {
            games.insert(game);
        } else {
            self.0.insert(path.to_owned(), BTreeSet::from([game]));
        }
    }

    pub(super) fn tell(self, table: &'static str, findings: &mut Findings) {
        for (path, games) in self.0 {
            let what = format!(
                "it has rows of {} games that are not in `games`, such as {}",
                games.len(),
                games.first().copied().unwrap_or_default()
            );
            findings.file(table, &path, Remedy::Strays(games), what);
        }
    }
}
