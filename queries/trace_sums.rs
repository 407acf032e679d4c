//! What traces add up over steps: each source by itself, each target by itself, and each source with each target.

use std::sync::Arc;

use polars::prelude::{DataFrame, LazyFrame, PlHashMap, PolarsResult, df};

use crate::{
    QueryError, Tables,
    add_up::features,
    correlation::Y,
    prompts::{Prompt, Prompts, floats, ints},
    tally::Tally,
    walk::{Layer, Rows, captured, walk_parts},
};

/// The activations of some features of a layer at the decisions.
pub(crate) struct Targets {
    /// The layer.
    pub(crate) layer: i32,
    /// The features.
    pub(crate) features: Vec<i32>,
    /// Their activations by game and step, in the same order; 0 for a step that is not here.
    values: PlHashMap<(i64, i32), Vec<f64>>,
}

/// What the targets add up to over some steps.
#[derive(Clone)]
pub(crate) struct Ys {
    /// The steps.
    pub(crate) n_steps: i64,
    /// The sums of each target.
    pub(crate) sums: Vec<Y>,
}

impl Targets {
    /// Of `features` of `layer`, which are some of those in `decisions`, the rows of [`at_decisions`].
    ///
    /// # Errors
    /// If a column is missing.
    pub(crate) fn of(layer: i32, features: Vec<i32>, decisions: &DataFrame) -> PolarsResult<Self> {
        let games = decisions.column("game")?.i64()?.iter();
        let steps = decisions.column("step")?.i32()?.iter();
        let fire = decisions.column("feature")?.i32()?.iter().zip(decisions.column("y")?.f64()?.iter());
        let mut values = PlHashMap::<_, Vec<f64>>::default();
        for ((game, step), (feature, y)) in games.zip(steps).zip(fire) {
            if let (Some(game), Some(step), Some(feature), Some(y)) = (game, step, feature, y)
                && let Some(target) = features.iter().position(|known| *known == feature)
            {
                values.entry((game, step)).or_insert_with(|| vec![0.0; features.len()])[target] = y;
            }
        }
        Ok(Self { layer, features, values })
    }

    /// The activations at the decision of a step; nothing if all are 0.
    pub(crate) fn at(&self, prompt: &Prompt) -> Option<&[f64]> {
        self.values.get(&(prompt.game, prompt.step)).map(Vec::as_slice)
    }

    /// The sums over the steps that were read at the layer and have each span, by its number, and over all of them.
    ///
    /// # Errors
    /// If the lake cannot be read.
    pub(crate) fn sums(&self, tables: &Tables, prompts: &Prompts) -> Result<(Vec<Ys>, Ys), QueryError> {
        let mut of_all = Ys { n_steps: 0, sums: vec![Y::default(); self.features.len()] };
        let mut of_spans = vec![of_all.clone(); prompts.names().len()];
        for (prompt, _) in captured(tables, prompts, Some(self.layer))? {
            let targets = self.at(prompt).unwrap_or_default();
            of_all.add(targets);
            for span in &prompt.spans {
                of_spans[*span as usize].add(targets);
            }
        }
        Ok((of_spans, of_all))
    }
}

impl Ys {
    fn add(&mut self, targets: &[f64]) {
        self.n_steps += 1;
        for (sums, y) in self.sums.iter_mut().zip(targets) {
            *sums = Y { y: sums.y + y, yy: sums.yy + y * y };
        }
    }
}

/// What fires at the decisions at a layer: game, step, feature, y.
///
/// # Errors
/// If the plan cannot be made.
pub(crate) fn at_decisions(
    tables: &Tables,
    prompts: &Arc<Prompts>,
    layer: i32,
) -> Result<LazyFrame, QueryError> {
    let made = |rows: &[(i64, i32, i32, f64)]| {
        df!(
            "game" => rows.iter().map(|row| row.0).collect::<Vec<_>>(),
            "step" => rows.iter().map(|row| row.1).collect::<Vec<_>>(),
            "feature" => rows.iter().map(|row| row.2).collect::<Vec<_>>(),
            "y" => rows.iter().map(|row| row.3).collect::<Vec<_>>(),
        )
    };
    let fold = move |_: &Prompts, rows: &Rows<'_>| {
        let (positions, features) = (ints(rows.frame, "position")?, ints(rows.frame, "feature")?);
        let (activations, mut found) = (floats(rows.frame, "activation")?, Vec::new());
        for (prompt, layers) in rows.by_step() {
            for row in layers.iter().flat_map(Layer::rows) {
                if positions[row] == prompt.decision_position {
                    found.push((prompt.game, prompt.step, features[row], f64::from(activations[row])));
                }
            }
        }
        made(&found)
    };
    let features = features(tables)?;
    walk_parts((prompts, 1), (Arc::clone(made(&[])?.schema()), fold), |part| {
        Ok(features(part, layer).filter(part.near_decisions("position")))
    })
}

/// What the sources among some tokens of each step add up to. The value of a source in a step is its highest activation
/// among the tokens.
#[derive(Default)]
pub(crate) struct Sources {
    /// The values in the step that is being read.
    step: Tally<f32>,
    sums: Tally<Source>,
    /// Of each source with each target, in the order of their places.
    products: Vec<f64>,
}

/// The sums of a source by itself.
#[derive(Default)]
pub(crate) struct Source {
    /// The last game in which it fires.
    game: Option<i64>,
    /// In how many games it fires.
    pub(crate) support: i64,
    pub(crate) x: f64,
    pub(crate) xx: f64,
}

impl Sources {
    /// A token of a step at which a source fires.
    pub(crate) fn see(&mut self, feature: i32, activation: f32) {
        let highest = self.step.of(feature);
        *highest = highest.max(activation);
    }

    /// Adds the step that was read. Steps of a game come one after the other.
    pub(crate) fn close_step(&mut self, prompt: &Prompt, targets: &Targets) {
        let (width, values) = (targets.features.len(), targets.at(prompt));
        for (feature, x) in self.step.take() {
            let (place, x) = (self.sums.place(feature), f64::from(x));
            self.sums.at(place).add(prompt.game, x);
            if self.products.len() <= place * width {
                self.products.resize((place + 1) * width, 0.0);
            }
            let products = &mut self.products[place * width..];
            for (sum, y) in products.iter_mut().zip(values.unwrap_or_default()) {
                *sum += x * y;
            }
        }
    }

    /// Every source with its sums, and the sums of its products with each of `n_targets` targets.
    pub(crate) fn take(&mut self, n_targets: usize) -> impl Iterator<Item = (i32, Source, &[f64])> {
        let products = self.products.as_slice();
        let sums = self.sums.take().enumerate();
        sums.map(move |(place, (feature, source))| {
            (feature, source, &products[place * n_targets..(place + 1) * n_targets])
        })
    }
}

impl Source {
    fn add(&mut self, game: i64, x: f64) {
        self.support += i64::from(self.game.replace(game) != Some(game));
        (self.x, self.xx) = (self.x + x, self.xx + x * x);
    }
}
