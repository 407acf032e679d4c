//! Which features come and go over the spans of all games: [`crate::heatmap`] with spans in the place of tokens.

use std::sync::Arc;

use polars::prelude::{
    DataFrame, DataType, IntoLazy as _, JoinArgs, JoinType, LazyFrame, PlHashMap, PolarsResult,
    SortMultipleOptions, col, df, lit,
};

use crate::{
    QueryError, Selection, Tables,
    heatmap::{sum, sum_of_squares, varying},
    layers::{self, check_feature},
    members,
    place::filtered,
    prompts::{Prompts, floats, ints},
    walk::{Layer, Rows, captured, walk},
};

/// The plan: layer, span, feature, `n_steps` (steps that have the span), share (of them, those in which the feature
/// fires in the span), activation (mean over them of its maximum in the span), sorted by span and feature. Of one
/// layer, the features with the largest variance of that mean over all spans; equal ones go by their mean and their
/// number. A span where a feature never fires has no row.
///
/// # Errors
/// A layer, span or feature that is not there; if the lake cannot be read.
pub(crate) fn plan(
    tables: &Tables,
    selection: &Selection,
    layer: Option<i32>,
) -> Result<LazyFrame, QueryError> {
    let known = layers::with_features(tables, layer)?;
    let layer = layer.or(known.last().copied()).ok_or(QueryError::NoDictionaries)?;
    if let Some(span) = &selection.span {
        members::check_span(tables, None, span)?;
    }
    check_feature(&tables.features(), selection.feature)?;
    let prompts = Arc::new(Prompts::read(tables, selection.specials)?);
    let sizes = sizes(tables, &prompts, layer)?;
    let feature = selection.feature.map(|name| name.feature);
    let n_steps = || col("n_steps").cast(DataType::Float64);
    let on = |name: &str| [col(name)];
    let cells = strongest(tables, &prompts, layer, feature)?
        .group_by(["span", "feature"].map(col))
        .agg([col("activation").sum(), col("fires").sum()])
        .join(sizes.clone(), on("span"), on("span"), JoinArgs::new(JoinType::Inner))
        .with_columns([
            col("activation") / n_steps(),
            (col("fires").cast(DataType::Float64) / n_steps()).alias("share"),
        ]);
    let moments = cells
        .clone()
        .group_by([col("feature")])
        .agg([sum(col("activation")), sum_of_squares(col("activation"))])
        .cross_join(sizes.select([col("span").count().alias("n")]), None);
    Ok(filtered(cells, "span", selection.span.clone())
        .join(varying(moments, selection), on("feature"), on("feature"), JoinArgs::new(JoinType::Semi))
        .select([
            lit(layer).alias("layer"),
            col("span"),
            col("feature"),
            col("n_steps"),
            col("share").cast(DataType::Float32),
            col("activation").cast(DataType::Float32),
        ])
        .sort(["span", "feature"], SortMultipleOptions::default()))
}

/// How many steps with rows at the layer have each span: span, `n_steps`.
fn sizes(tables: &Tables, prompts: &Prompts, layer: i32) -> Result<LazyFrame, QueryError> {
    let mut counts = vec![0_i64; prompts.names().len()];
    for (prompt, _) in captured(tables, prompts, Some(layer))? {
        for span in &prompt.spans {
            counts[*span as usize] += 1;
        }
    }
    let sizes = df!("span" => prompts.names(), "n_steps" => counts)?;
    Ok(sizes.lazy().filter(col("n_steps").gt(lit(0))))
}

/// Sums over steps by span and feature of the maximum in the span: span, feature, activation, fires (how many steps).
fn strongest(
    tables: &Tables,
    prompts: &Arc<Prompts>,
    layer: i32,
    feature: Option<i32>,
) -> Result<LazyFrame, QueryError> {
    let schema = Arc::clone(Cells::default().rows(prompts)?.schema());
    let fold = move |prompts: &Prompts, rows: &Rows<'_>| Cells::sum(rows, feature)?.rows(prompts);
    let table = (&schemas::features::TABLE, &["position", "feature", "activation"][..]);
    walk(tables, table, Some(layer), prompts, (schema, fold))
}

/// Sums over steps of the maximum in a span, and how many steps those are, by span and feature.
#[derive(Default)]
struct Cells(PlHashMap<(u32, i32), (f64, i64)>);

impl Cells {
    fn sum(rows: &Rows<'_>, only: Option<i32>) -> PolarsResult<Self> {
        let (positions, features) = (ints(rows.frame, "position")?, ints(rows.frame, "feature")?);
        let activations = floats(rows.frame, "activation")?;
        let (mut cells, mut step) = (Self::default(), PlHashMap::<(u32, i32), f32>::default());
        for (prompt, layers) in rows.by_step() {
            for row in layers.iter().flat_map(Layer::rows) {
                if only.is_some_and(|only| only != features[row]) {
                    continue;
                }
                for span in prompt.spans_at(positions[row]) {
                    let strongest = step.entry((*span, features[row])).or_default();
                    *strongest = strongest.max(activations[row]);
                }
            }
            step.drain().for_each(|((span, feature), strongest)| {
                let (sum, fires) = cells.0.entry((prompt.spans[span as usize], feature)).or_default();
                (*sum, *fires) = (*sum + f64::from(strongest), *fires + 1);
            });
        }
        Ok(cells)
    }

    fn rows(self, prompts: &Prompts) -> PolarsResult<DataFrame> {
        let mut cells = self.0.into_iter().collect::<Vec<_>>();
        cells.sort_unstable_by_key(|(key, _)| *key);
        df!(
            "span" => cells.iter().map(|((span, _), _)| prompts.name(*span)).collect::<Vec<_>>(),
            "feature" => cells.iter().map(|((_, feature), _)| *feature).collect::<Vec<_>>(),
            "activation" => cells.iter().map(|(_, (sum, _))| *sum).collect::<Vec<_>>(),
            "fires" => cells.iter().map(|(_, (_, fires))| *fires).collect::<Vec<_>>(),
        )
    }
}
