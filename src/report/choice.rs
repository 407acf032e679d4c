//! Which steps and layers a page holds.

use std::collections::BTreeSet;

use queries::{Layers, Place, QueryError, Scope, Selection, Tables, Weights, overview, surroundings, trace};
use rayon::prelude::*;
use serde_json::{Value, json};

use super::answers::{Row, integer, rows, text};
use super::asked::TRACED;
use super::sample::{self, Candidate, OF_A_GAME};
use super::trim::TARGETS;
use super::{Pair, ReportError, Settings};

/// How many steps times layers a page holds at most, so that it stays a file that a browser opens at once.
const MOST_LAYERS: usize = 240;

/// What a page holds, of what there is.
pub(super) struct Choice {
    /// The layers, ascending.
    pub(super) layers: Vec<i32>,
    /// The steps that the page holds, with what is known of them and their games.
    pub(super) shown: Vec<Row>,
    /// Every step.
    all: Vec<Row>,
    /// How many steps there is room for.
    room: usize,
    /// The layer asked for.
    layer: Option<i32>,
}

impl Choice {
    /// Chooses from the games that `tables` shows.
    ///
    /// # Errors
    /// [`ReportError::Empty`] if they have no step, [`QueryError::NoSuchLayer`].
    pub(super) fn of(tables: &Tables, settings: &Settings) -> Result<Self, ReportError> {
        let all = rows(overview::steps(tables))?;
        if all.is_empty() {
            return Err(ReportError::Empty);
        }
        let layers = layers(tables, settings.layer)?;
        let room = settings.steps.min(MOST_LAYERS / layers.len().max(1)).max(1);
        let chosen = sample::choose(&all.iter().map(candidate).collect::<Vec<_>>(), room);
        let shown = chosen.into_iter().map(|index| all[index].clone()).collect();
        Ok(Self { layers, shown, all, room, layer: settings.layer })
    }

    /// What is asked for the trace of a step.
    pub(super) fn traced(&self, step: &Row) -> Selection {
        let (game, step) = named(step);
        let scope = Scope::Step { game, step };
        Selection { scope, layer: self.layer, limit: Some(TRACED), ..Selection::default() }
    }

    /// How many steps there are.
    pub(super) fn of_steps(&self) -> usize {
        self.all.len()
    }

    /// The pairs of features whose couplings the traces of its steps can use, sorted.
    pub(super) fn pairs(&self, tables: &Tables) -> Result<Vec<Pair>, ReportError> {
        let pairs = self.shown.par_iter().map(|step| match pairs_of(tables, &self.traced(step)) {
            // A step that failed has nothing to trace.
            Err(ReportError::Query(error)) if error.exit_code() == 1 => Ok(Vec::new()),
            pairs => pairs,
        });
        let pairs = pairs.collect::<Result<Vec<_>, _>>()?;
        Ok(pairs.into_iter().flatten().collect::<BTreeSet<_>>().into_iter().collect())
    }

    /// What the page says of what it holds and what it leaves out.
    pub(super) fn sampled(&self, settings: &Settings, held: &str) -> Value {
        let games = |steps: &[Row]| {
            let mut games: Vec<_> = steps.iter().filter_map(|step| integer(step, "game")).collect();
            games.dedup();
            games.len()
        };
        let mut rules = Vec::new();
        if self.shown.len() < self.all.len() {
            rules.push(format!(
                "Of a game it holds {OF_A_GAME} steps at most, evenly spread, with the first and the last."
            ));
        }
        if self.room < settings.steps && self.shown.len() < self.all.len() {
            rules.push(format!(
                "It holds {MOST_LAYERS} steps times layers at most; --layer leaves room for more steps."
            ));
        }
        rules.push(held.to_owned());
        rules.push("Numbers are rounded to three digits; `saelake query` gives them whole.".to_owned());
        json!({
            "steps_total": self.all.len(), "steps_shown": self.shown.len(),
            "games_total": games(&self.all), "games_shown": games(&self.shown), "rules": rules,
        })
    }
}

/// The pairs of a trace that begins at the strongest features of the decision, which are those that a page keeps.
fn pairs_of(tables: &Tables, selection: &Selection) -> Result<Vec<Pair>, ReportError> {
    let Scope::Step { game, step } = selection.scope else { return Ok(Vec::new()) };
    let place = Place::find(tables, game, step, Layers::or(selection.layer, Layers::Last))?;
    let targets = rows(surroundings::at_decision(tables, &place, TARGETS))?;
    let targets: BTreeSet<i64> = targets.iter().filter_map(|row| integer(row, "feature")).collect();
    let pairs = trace::pairs(tables, selection, &Weights::default())?;
    Ok(pairs.into_iter().filter(|(.., target)| targets.contains(&i64::from(*target))).collect())
}

/// The game and the number of a step.
pub(super) fn named(step: &Row) -> (Option<i64>, Option<i32>) {
    (integer(step, "game"), integer(step, "step").and_then(|step| i32::try_from(step).ok()))
}

fn candidate(step: &Row) -> Candidate {
    let outcome = text(step, "outcome").unwrap_or_default().to_owned();
    Candidate { game: integer(step, "game").unwrap_or_default(), outcome }
}

/// The captured layers, ascending, or the one asked for.
fn layers(tables: &Tables, layer: Option<i32>) -> Result<Vec<i32>, ReportError> {
    let runs = rows(overview::runs(tables))?;
    let captured = runs.iter().filter_map(|run| text(run, "layers")).flat_map(|layers| layers.split(','));
    let mut layers: Vec<i32> = captured.filter_map(|layer| layer.trim().parse().ok()).collect();
    layers.sort_unstable();
    layers.dedup();
    match layer {
        Some(layer) if !layers.contains(&layer) => Err(QueryError::NoSuchLayer { layer, layers }.into()),
        Some(layer) => Ok(vec![layer]),
        None => Ok(layers),
    }
}
