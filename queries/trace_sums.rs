//! What the traces of all games add up: over steps, each source by itself and with each target.

use std::sync::Arc;

use polars::prelude::{
    Column, DataFrame, IntoLazy as _, LazyFrame, NamedFrom as _, PlHashMap, PolarsResult, Series, col, df,
    lit,
};

use crate::{
    QueryError, Tables,
    highest::Highest,
    prompts::{Prompt, Prompts, floats, ints},
    walk::{Layer, Rows, captured, walk},
};

/// The activations of some features of a layer at the decisions.
pub(crate) struct Targets {
    /// The features.
    pub(crate) features: Vec<i32>,
    /// Their activations by game and step, in the same order; 0 for a step that is not here.
    values: PlHashMap<(i64, i32), Vec<f64>>,
}

impl Targets {
    /// Of `features`, which are some of those in `decisions`, the rows of [`at_decisions`].
    ///
    /// # Errors
    /// If a column is missing.
    pub(crate) fn of(features: Vec<i32>, decisions: &DataFrame) -> PolarsResult<Self> {
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
        Ok(Self { features, values })
    }

    /// The activations at the decision of a step; nothing if all are 0.
    fn at(&self, prompt: &Prompt) -> Option<&[f64]> {
        self.values.get(&(prompt.game, prompt.step)).map(Vec::as_slice)
    }

    /// Sums over the steps of `layer` that have each span: `from_span`, `n_steps`, and for each target y and yy.
    ///
    /// # Errors
    /// If the lake cannot be read.
    pub(crate) fn sums(
        &self,
        tables: &Tables,
        prompts: &Prompts,
        layer: i32,
    ) -> Result<LazyFrame, QueryError> {
        let mut counts = vec![0_i64; prompts.names().len()];
        let mut sums = vec![vec![(0.0, 0.0); counts.len()]; self.features.len()];
        for (prompt, _) in captured(tables, prompts, Some(layer))? {
            for span in prompt.spans.iter().map(|span| *span as usize) {
                counts[span] += 1;
                for (sums, y) in sums.iter_mut().zip(self.at(prompt).unwrap_or_default()) {
                    sums[span] = (sums[span].0 + y, sums[span].1 + y * y);
                }
            }
        }
        let mut frame = df!("from_span" => prompts.names(), "n_steps" => counts)?;
        for (feature, sums) in self.features.iter().zip(sums) {
            let (sums, squares): (Vec<f64>, Vec<f64>) = sums.into_iter().unzip();
            frame.with_column(Column::new(y(*feature).into(), sums))?;
            frame.with_column(Column::new(yy(*feature).into(), squares))?;
        }
        Ok(frame.lazy().filter(col("n_steps").gt(lit(0))))
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
    let table = (&schemas::features::TABLE, &["position", "feature", "activation"][..]);
    walk(tables, table, Some(layer), prompts, (Arc::clone(made(&[])?.schema()), fold))
}

/// Sums over steps by span and feature of `layer`, part by part: `from_span`, `from_feature`, support (the games in
/// which it fires there), and of the highest activation in the span x, xx, and for each target xy.
///
/// # Errors
/// If the plan cannot be made.
pub(crate) fn of_sources(
    tables: &Tables,
    prompts: &Arc<Prompts>,
    layer: i32,
    span: Option<u32>,
    targets: &Arc<Targets>,
) -> Result<LazyFrame, QueryError> {
    let schema = Arc::clone(Sums::new(targets).rows(prompts)?.schema());
    let targets = Arc::clone(targets);
    let fold = move |prompts: &Prompts, rows: &Rows<'_>| {
        let mut sums = Sums::new(&targets);
        sums.add(rows, span)?;
        sums.rows(prompts)
    };
    let table = (&schemas::features::TABLE, &["position", "feature", "activation"][..]);
    walk(tables, table, Some(layer), prompts, (schema, fold))
}

/// The columns of [`of_sources`] without a row.
///
/// # Errors
/// If the frame cannot be made.
pub(crate) fn no_sources(prompts: &Prompts, targets: &Targets) -> Result<LazyFrame, QueryError> {
    Ok(Sums::new(targets).rows(prompts)?.lazy())
}

/// The sums of a source.
struct Sum {
    /// The last game in which it fires, and how many those are.
    game: Option<i64>,
    support: i64,
    x: f64,
    xx: f64,
    xy: Vec<f64>,
}

/// By the number of the span, and feature.
struct Sums<'a> {
    targets: &'a Targets,
    sums: PlHashMap<(u32, i32), Sum>,
}

impl<'a> Sums<'a> {
    fn new(targets: &'a Targets) -> Self {
        Self { targets, sums: PlHashMap::default() }
    }

    fn add(&mut self, rows: &Rows<'_>, only: Option<u32>) -> PolarsResult<()> {
        let (positions, features) = (ints(rows.frame, "position")?, ints(rows.frame, "feature")?);
        let activations = floats(rows.frame, "activation")?;
        let mut step = Highest::of(features);
        for (prompt, layers) in rows.by_step() {
            for row in layers.iter().flat_map(Layer::rows) {
                for span in prompt.spans_at(positions[row]) {
                    step.raise(*span as usize, features[row], activations[row]);
                }
            }
            let targets = self.targets.at(prompt).unwrap_or_default();
            for (span, feature, x) in step.iter() {
                let span = prompt.spans[span];
                if only.is_none_or(|only| only == span) {
                    self.source(span, feature).add(prompt.game, f64::from(x), targets);
                }
            }
            step.clear();
        }
        Ok(())
    }

    fn source(&mut self, span: u32, feature: i32) -> &mut Sum {
        let width = self.targets.features.len();
        let new = || Sum { game: None, support: 0, x: 0.0, xx: 0.0, xy: vec![0.0; width] };
        self.sums.entry((span, feature)).or_insert_with(new)
    }

    fn rows(self, prompts: &Prompts) -> PolarsResult<DataFrame> {
        let mut sums = self.sums.into_iter().collect::<Vec<_>>();
        sums.sort_unstable_by_key(|(key, _)| *key);
        let mut frame = df!(
            "from_span" => sums.iter().map(|((span, _), _)| prompts.name(*span)).collect::<Vec<_>>(),
            "from_feature" => sums.iter().map(|((_, feature), _)| *feature).collect::<Vec<_>>(),
            "support" => sums.iter().map(|(_, sum)| sum.support).collect::<Vec<_>>(),
            "x" => sums.iter().map(|(_, sum)| sum.x).collect::<Vec<_>>(),
            "xx" => sums.iter().map(|(_, sum)| sum.xx).collect::<Vec<_>>(),
        )?;
        for (target, feature) in self.targets.features.iter().enumerate() {
            let products = sums.iter().map(|(_, sum)| sum.xy[target]).collect::<Vec<_>>();
            frame.with_column(Series::new(xy(*feature).into(), products).into())?;
        }
        Ok(frame)
    }
}

impl Sum {
    /// Takes in a step. Steps of a game come one after the other.
    fn add(&mut self, game: i64, x: f64, targets: &[f64]) {
        self.support += i64::from(self.game.replace(game) != Some(game));
        (self.x, self.xx) = (self.x + x, self.xx + x * x);
        for (sum, y) in self.xy.iter_mut().zip(targets) {
            *sum += x * y;
        }
    }
}

/// The name of the column with the sum of a target.
pub(crate) fn y(feature: i32) -> String {
    format!("y of {feature}")
}

/// The name of the column with the sum of its squares.
pub(crate) fn yy(feature: i32) -> String {
    format!("yy of {feature}")
}

/// The name of the column with the sum of its products with the source.
pub(crate) fn xy(feature: i32) -> String {
    format!("xy of {feature}")
}
