//! Asks everything that a page shows.

use queries::{
    Layers, Place, Scope, Selection, Tables, Weights, causal_trace, effects, overview, surroundings, trace,
};
use rayon::prelude::*;
use serde_json::{Map, Value, json};

use super::answers::{Answer, Row, answer, integer, planned, rows};
use super::asked::{EDGES, EFFECTS, OF_GAMES, OF_GAMES_AND_LAYERS, OF_LAYERS};
use super::choice::{Choice, named};
use super::pack::pack;
use super::trim::{MOST_CELLS, MOST_WEIGHTS, few_cells, few_edges, heaviest};
use super::{ReportError, Settings};

/// The heaviest keys that are kept of a position's attention.
const KEYS: u32 = 3;

/// Everything that a page shows, as it holds it.
pub(super) struct Gathered {
    /// What is about all games, and what the page is about.
    pub(super) report: Value,
    /// The steps.
    pub(super) steps: Vec<Value>,
}

/// Asks about the games that `tables` shows. `name` is the lake's name for people.
pub(super) fn gather(
    tables: &Tables,
    (name, settings): (&str, &Settings),
    choice: &Choice,
    weights: &Weights,
    progress: impl Fn() + Sync,
) -> Result<Gathered, ReportError> {
    let steps = choice.shown.par_iter().map(|step| {
        let held = of_step(tables, step, choice, weights);
        progress();
        held
    });
    let steps = steps.collect::<Result<Vec<_>, _>>()?;
    let report = json!({
        "version": env!("CARGO_PKG_VERSION"),
        "lake": name,
        "where": settings.games.sql(),
        "layers": choice.layers,
        "coupled": weights.couplings.is_some(),
        "runs": pack(&rows(overview::runs(tables))?, &[]),
        "dictionaries": pack(&rows(overview::dictionaries(tables))?, &[]),
        "sample": choice.sampled(settings, &held()),
        "all": of_games(tables, settings.layer, &choice.layers)?,
        "steps": choice.shown,
    });
    Ok(Gathered { report, steps })
}

/// What is held of a step and layer, for people.
fn held() -> String {
    format!(
        "Of a step and layer it holds the features that vary most (50 at most, {MOST_CELLS} cells), the {KEYS} heaviest keys \
         of each token ({MOST_WEIGHTS} weights at most), the whole attention of the decision, and of its trace the \
         strongest edges."
    )
}

/// The answers about all games.
fn of_games(tables: &Tables, layer: Option<i32>, layers: &[i32]) -> Result<Value, ReportError> {
    let mut answers = Map::new();
    for question in OF_GAMES_AND_LAYERS {
        let mut all = Vec::new();
        for layer in layers {
            let selection = Selection {
                scope: Scope::AllGames,
                layer: Some(*layer),
                limit: Some(question.limit),
                ..Selection::default()
            };
            if let Answer::Rows(rows) = answer((question.ask)(tables, &selection))? {
                all.extend(rows);
            }
        }
        answers.insert(question.key.to_owned(), pack(&all, question.without));
    }
    for question in OF_GAMES {
        let selection =
            Selection { scope: Scope::AllGames, layer, limit: Some(question.limit), ..Selection::default() };
        let found = answer((question.ask)(tables, &selection))?;
        answers.insert(question.key.to_owned(), found.packed(question.without));
    }
    Ok(Value::Object(answers))
}

/// Everything about one step. A step that failed has tokens at most.
fn of_step(tables: &Tables, step: &Row, choice: &Choice, weights: &Weights) -> Result<Value, ReportError> {
    let (game, number) = named(step);
    let place = Place::find(tables, game, number, Layers::Each)?;
    let scope = Scope::Step { game, step: number };
    let patterns = Answer::Rows(rows(surroundings::pattern(tables, &place, KEYS)?)?);
    let positions = Answer::Rows(rows(surroundings::positions(tables, &place))?);
    let mut at_layers = Map::new();
    for layer in choice.layers.iter().copied() {
        let selection = Selection { scope, layer: Some(layer), ..Selection::default() };
        let here = at_layer(tables, &place, &selection, &patterns, &positions)?;
        at_layers.insert(layer.to_string(), here);
    }
    let mut held = Map::from_iter([
        ("tokens".to_owned(), pack(&rows(surroundings::tokens(tables, &place))?, &[])),
        ("spans".to_owned(), pack(&rows(surroundings::spans(tables, &place))?, &[])),
        ("layers".to_owned(), Value::Object(at_layers)),
    ]);
    let traced = few_edges(answer(trace::ask(tables, &choice.traced(step), weights))?);
    held.insert("trace".to_owned(), traced.packed(&["game", "step", "from_token", "to_token"]));
    let changed = Selection { scope, limit: Some(EFFECTS), ..Selection::default() };
    let changes = answer(effects::ask(tables, &changed))?;
    held.insert("effects".to_owned(), changes.packed(&["game", "step", "token"]));
    let added = Selection { limit: Some(EDGES), ..changed };
    let edges = answer(causal_trace::ask(tables, &added))?;
    held.insert("edges".to_owned(), edges.packed(&["game", "step", "target_token", "source_token"]));
    Ok(Value::Object(held))
}

/// The answers about one step at one layer.
fn at_layer(
    tables: &Tables,
    place: &Place,
    selection: &Selection,
    patterns: &Answer,
    positions: &Answer,
) -> Result<Value, ReportError> {
    let layer = selection.layer.map(i64::from);
    let own = |answer: &Answer| {
        answer.rows().iter().filter(|row| integer(row, "layer") == layer).cloned().collect::<Vec<_>>()
    };
    let place = Place { layer: selection.layer, ..*place };
    let mut held = Map::new();
    for question in OF_LAYERS {
        let selection = Selection { limit: Some(question.limit), ..selection.clone() };
        let mut found = planned((question.ask)(tables, &place, &selection))?;
        if question.key == "heatmap" {
            found = few_cells(found);
        }
        held.insert(question.key.to_owned(), found.packed(question.without));
    }
    held.insert("pattern".to_owned(), pack(&heaviest(own(patterns)), &["layer"]));
    held.insert("positions".to_owned(), pack(&own(positions), &["layer"]));
    Ok(Value::Object(held))
}
