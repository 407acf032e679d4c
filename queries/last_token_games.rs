//! What the last token does not show, over all games.

use std::{collections::BTreeMap, sync::Arc};

use polars::prelude::{
    DataFrame, DataType, IntoLazy as _, JoinArgs, JoinType, LazyFrame, PolarsResult, col, df,
};

use crate::{
    QueryError, Selection, Tables,
    highest::Highest,
    last_token::{LIMIT, Thresholds},
    layers,
    prompts::{Prompts, floats, ints},
    ranking::{By, first_of_each},
    walk::{Layer, Rows, captured, walk},
};

/// The ranked tokens of a step.
const RANKED: usize = 0;

/// Its decision position.
const DECISION: usize = 1;

/// The plan: layer, feature, `n_steps` (those of the layer), `n_seen` (those where the feature is strong), `n_missed`
/// (those of them where it is silent at the decision), share (of the second in the first). A row without a feature has
/// the sums over all features of the layer, shown or not.
///
/// Sorted by layer, the row without a feature first, then by `n_missed` from high to low, then feature.
///
/// # Errors
/// [`QueryError::NoSuchLayer`]; if the lake cannot be read.
pub(crate) fn plan(
    tables: &Tables,
    selection: &Selection,
    thresholds: Thresholds,
) -> Result<LazyFrame, QueryError> {
    let layer = selection.one_layer()?;
    layers::with_features(tables, layer)?;
    let prompts = Arc::new(Prompts::read(tables, selection.specials)?);
    let on = [col("layer")];
    let double = |name: &str| col(name).cast(DataType::Float64);
    let rows = seen(tables, selection, layer, &prompts, thresholds)?
        .group_by([col("layer"), col("feature")])
        .agg([col("n_seen").sum(), col("n_missed").sum()])
        .join(steps(tables, &prompts, layer)?, &on, &on, JoinArgs::new(JoinType::Inner))
        .with_columns([
            (double("n_missed") / double("n_seen")).cast(DataType::Float32).alias("share"),
            col("feature").is_not_null().alias("one"),
        ]);
    let order = [
        By::Rising(col("layer")),
        By::Rising(col("one")),
        By::Falling(col("n_missed")),
        By::Rising(col("feature")),
    ];
    // And the row of all features.
    let limit = selection.limit.unwrap_or(LIMIT).saturating_add(1);
    let columns = ["layer", "feature", "n_steps", "n_seen", "n_missed", "share"].map(col);
    Ok(first_of_each(rows, &["layer"], order, limit)?.select(columns))
}

/// How many steps there are at each layer: layer, `n_steps`.
fn steps(tables: &Tables, prompts: &Prompts, layer: Option<i32>) -> Result<LazyFrame, QueryError> {
    let mut counts = BTreeMap::<i32, i64>::new();
    for (_, layer) in captured(tables, prompts, layer)? {
        *counts.entry(layer).or_default() += 1;
    }
    let (layers, counts): (Vec<_>, Vec<_>) = counts.into_iter().unzip();
    Ok(df!("layer" => layers, "n_steps" => counts)?.lazy())
}

/// Of every feature that is strong in a step of a part, and of all of them together: layer, feature, `n_seen`,
/// `n_missed`.
fn seen(
    tables: &Tables,
    selection: &Selection,
    layer: Option<i32>,
    prompts: &Arc<Prompts>,
    thresholds: Thresholds,
) -> Result<LazyFrame, QueryError> {
    let schema = Arc::clone(Counts::default().rows()?.schema());
    let only = selection.feature.map(|name| name.feature);
    let fold = move |_: &Prompts, rows: &Rows<'_>| Counts::of(rows, only, thresholds)?.rows();
    let table = (&schemas::features::TABLE, &["position", "feature", "activation"][..]);
    walk(tables, table, layer, prompts, (schema, fold))
}

/// How many steps a feature is strong in, and in how many of them it is silent at the decision, by layer and feature;
/// without a feature, the sums over all.
#[derive(Default)]
struct Counts(BTreeMap<(i32, Option<i32>), (i64, i64)>);

impl Counts {
    fn of(rows: &Rows<'_>, only: Option<i32>, thresholds: Thresholds) -> PolarsResult<Self> {
        let (positions, features) = (ints(rows.frame, "position")?, ints(rows.frame, "feature")?);
        let activations = floats(rows.frame, "activation")?;
        let (mut counts, mut step) = (Self::default(), Highest::of(features));
        for (prompt, layers) in rows.by_step() {
            for layer in &layers {
                let wanted = Layer::rows(layer).filter(|row| only.is_none_or(|only| only == features[*row]));
                for row in wanted {
                    if prompt.is_ranked(positions[row]) {
                        step.raise(RANKED, features[row], activations[row]);
                    }
                    if positions[row] == prompt.decision_position {
                        step.raise(DECISION, features[row], activations[row]);
                    }
                }
                let strong = step.iter().filter(|(group, _, highest)| {
                    *group == RANKED && f64::from(*highest) > thresholds.threshold
                });
                for (_, feature, _) in strong {
                    let is_missed = f64::from(step.at(DECISION, feature)) < thresholds.silent;
                    for key in [None, Some(feature)] {
                        let (seen, missed) = counts.0.entry((layer.layer, key)).or_default();
                        (*seen, *missed) = (*seen + 1, *missed + i64::from(is_missed));
                    }
                }
                step.clear();
            }
        }
        Ok(counts)
    }

    fn rows(self) -> PolarsResult<DataFrame> {
        df!(
            "layer" => self.0.keys().map(|(layer, _)| *layer).collect::<Vec<_>>(),
            "feature" => self.0.keys().map(|(_, feature)| *feature).collect::<Vec<_>>(),
            "n_seen" => self.0.values().map(|(seen, _)| *seen).collect::<Vec<_>>(),
            "n_missed" => self.0.values().map(|(_, missed)| *missed).collect::<Vec<_>>(),
        )
    }
}
