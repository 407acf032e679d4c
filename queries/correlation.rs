//! How two features go together from step to step.

use std::sync::Arc;

use polars::prelude::{
    DataFrame, Expr, IntoLazy as _, LazyFrame, NamedFrom as _, PolarsResult, Series, UnionArgs, col, concat,
    df, lit,
};

use crate::{
    QueryError, Tables,
    add_up::{self, add_up, features},
    prompts::{Prompts, floats, ints},
    run,
    trace_sums::{Sources, Targets, Ys, at_decisions},
    walk::{Layer, Rows},
};

/// What is left of the mean square of values that are all the same but for rounding: values whose variance is
/// below this share of it count as constant, and a constant goes together with nothing.
const ROUNDING: f64 = 1e-8;

/// Sums of the values of a source and of their squares.
#[derive(Clone, Copy)]
pub(crate) struct X {
    pub(crate) x: f64,
    pub(crate) xx: f64,
}

/// The same of a target.
#[derive(Clone, Copy, Default)]
pub(crate) struct Y {
    pub(crate) y: f64,
    pub(crate) yy: f64,
}

/// Pearson's correlation over `n` steps, from sums of the values and of their products; missing if one of the two is
/// constant.
pub(crate) fn pearson(n: f64, X { x, xx }: X, Y { y, yy }: Y, xy: f64) -> Option<f64> {
    let (spread_x, spread_y) = (xx - x * x / n, yy - y * y / n);
    let varies = spread_x > ROUNDING * xx && spread_y > ROUNDING * yy;
    varies.then(|| (xy - x * y / n) / (spread_x * spread_y).sqrt())
}

/// The correlation over the steps of `prompts` of each source in `pairs` (`from_layer`, `from_feature`, `to_feature`)
/// with each target there, a feature of `to_layer`: of the highest activation of the source among the tokens of a step
/// that may be sources, and the activation of the target at the decision; 0 where one does not fire. Returns
/// `from_layer`, `from_feature`, `to_feature`, correlation.
///
/// # Errors
/// If the lake cannot be read.
pub(crate) fn of_pairs(
    tables: &Tables,
    prompts: &Arc<Prompts>,
    to_layer: i32,
    pairs: &DataFrame,
) -> Result<LazyFrame, QueryError> {
    let decisions = run(at_decisions(tables, prompts, to_layer)?)?;
    let targets = Targets::of(to_layer, distinct(pairs, "to_feature")?, &decisions)?;
    let (_, ys) = targets.sums(tables, prompts)?;
    let (targets, ys) = (Arc::new(targets), Arc::new(ys));
    let features = features(tables)?;
    let nothing = Pairs::new(to_layer, &targets, &ys);
    let mut plans = vec![add_up::Sums::rows(nothing, prompts)?.lazy()];
    // A plan for each layer, since plans run at the same time and the layers of one do not.
    for (layer, sources) in by_layer(pairs)? {
        let (targets, ys) = (Arc::clone(&targets), Arc::clone(&ys));
        let new = move |layer| Pairs::new(layer, &targets, &ys);
        plans.push(add_up(prompts, &[layer], new, |part, layer| {
            Ok(features(part, layer).filter(one_of("feature", &sources)))
        })?);
    }
    Ok(concat(plans, UnionArgs::default())?)
}

/// What some sources of a layer add up to.
struct Pairs {
    layer: i32,
    targets: Arc<Targets>,
    ys: Arc<Ys>,
    sources: Sources,
}

impl Pairs {
    fn new(layer: i32, targets: &Arc<Targets>, ys: &Arc<Ys>) -> Self {
        Self { layer, targets: Arc::clone(targets), ys: Arc::clone(ys), sources: Sources::default() }
    }
}

impl add_up::Sums for Pairs {
    fn add(&mut self, rows: &Rows<'_>) -> PolarsResult<()> {
        let (positions, features) = (ints(rows.frame, "position")?, ints(rows.frame, "feature")?);
        let activations = floats(rows.frame, "activation")?;
        for (prompt, layers) in rows.by_step() {
            for row in layers.iter().flat_map(Layer::rows) {
                let position = positions[row];
                if prompt.is_ranked(position) || position == prompt.decision_position {
                    self.sources.see(features[row], activations[row]);
                }
            }
            self.sources.close_step(prompt, &self.targets);
        }
        Ok(())
    }

    fn rows(mut self, _: &Prompts) -> PolarsResult<DataFrame> {
        let (n, to) = (self.ys.n_steps as f64, &self.targets.features);
        let mut found = Vec::new();
        for (feature, source, products) in self.sources.take(to.len()) {
            let x = X { x: source.x, xx: source.xx };
            for ((to, y), xy) in to.iter().zip(&self.ys.sums).zip(products) {
                found.push((feature, *to, pearson(n, x, *y, *xy)));
            }
        }
        df!(
            "from_layer" => vec![self.layer; found.len()],
            "from_feature" => found.iter().map(|row| row.0).collect::<Vec<_>>(),
            "to_feature" => found.iter().map(|row| row.1).collect::<Vec<_>>(),
            "correlation" => found.iter().map(|row| row.2).collect::<Vec<_>>(),
        )
    }
}

/// Whether a column holds one of `values`.
fn one_of(column: &str, values: &[i32]) -> Expr {
    col(column).is_in(lit(Series::new("values".into(), values)).implode(false), false)
}

/// The sources of `pairs` by their layer.
fn by_layer(pairs: &DataFrame) -> Result<Vec<(i32, Vec<i32>)>, QueryError> {
    let layers = distinct(pairs, "from_layer")?;
    let of = |layer: i32| {
        let rows = pairs.column("from_layer")?.i32()?.iter().zip(pairs.column("from_feature")?.i32()?.iter());
        let mut features =
            rows.filter(|(found, _)| *found == Some(layer)).filter_map(|row| row.1).collect::<Vec<_>>();
        features.sort_unstable();
        features.dedup();
        Ok((layer, features))
    };
    layers.into_iter().map(of).collect::<Result<Vec<_>, _>>()
}

/// The values of a column of whole numbers, each once, ascending.
fn distinct(rows: &DataFrame, column: &str) -> Result<Vec<i32>, QueryError> {
    let mut values = rows.column(column)?.i32()?.iter().flatten().collect::<Vec<_>>();
    values.sort_unstable();
    values.dedup();
    Ok(values)
}
