//! What a span holds that the other tokens of the same steps do not, over all games.

use std::{collections::BTreeMap, sync::Arc};

use polars::prelude::{
    DataFrame, DataType, Expr, IntoLazy as _, JoinArgs, JoinType, LazyFrame, NULL, PlHashMap, PolarsResult,
    SortMultipleOptions, col, df, lit, when,
};

use crate::{
    QueryError, Selection, Tables,
    layers::{self, check_feature},
    members,
    position::LIMIT_ALL,
    prompts::{Prompt, Prompts, floats, ints},
    walk::{Rows, captured, walk},
};

/// The plan: layer, feature, `n_steps` (steps that have the span), share (of the tokens of the span, those where the
/// feature fires), activation (mean over them, 0 where it does not fire), `elsewhere_share` and
/// `elsewhere_activation` (the same over the other ranked tokens of these steps), lift (share through
/// `elsewhere_share`; missing if that is 0), sorted by layer, share - `elsewhere_share` from high to low, activation
/// from high to low, feature. Of a layer there are the first features only, of those that fire in the span.
///
/// # Errors
/// A layer, span or feature that is not there; if the lake cannot be read.
pub(crate) fn plan(
    tables: &Tables,
    selection: &Selection,
    layer: Option<i32>,
    span: &str,
) -> Result<LazyFrame, QueryError> {
    if layers::with_features(tables, layer)?.is_empty() {
        return Err(QueryError::NoDictionaries);
    }
    members::check_span(tables, None, span)?;
    check_feature(&tables.features(), selection.feature)?;
    let prompts = Arc::new(Prompts::read(tables, selection.specials)?);
    let Some(span) = prompts.number(span) else { return Err(QueryError::NoGames) };
    let sizes = sizes(tables, &prompts, layer, span)?;
    let feature = selection.feature.map(|name| name.feature);
    let schema = Arc::clone(Sums::default().rows()?.schema());
    let fold = move |_: &Prompts, rows: &Rows<'_>| Sums::of(rows, span, feature)?.rows();
    let table = (&schemas::features::TABLE, &["position", "feature", "activation"][..]);
    let sums = walk(tables, table, layer, &prompts, (schema, fold))?
        .group_by(["layer", "feature"].map(col))
        .agg(["fires", "sum", "elsewhere_fires", "elsewhere_sum"].map(|name| col(name).sum()))
        .filter(col("fires").gt(lit(0)))
        .join(sizes, [col("layer")], [col("layer")], JoinArgs::new(JoinType::Inner));
    first(shares(sums), i64::from(selection.limit.unwrap_or(LIMIT_ALL)))
}

/// The columns of the answer in double precision.
fn shares(sums: LazyFrame) -> LazyFrame {
    let part = |sum: &str, size: &str| -> Expr {
        let size = || col(size).cast(DataType::Float64);
        when(size().gt(lit(0.0))).then(col(sum).cast(DataType::Float64) / size()).otherwise(lit(NULL))
    };
    sums.with_columns([
        part("fires", "n_here").alias("share"),
        part("sum", "n_here").alias("activation"),
        part("elsewhere_fires", "n_elsewhere").alias("elsewhere_share"),
        part("elsewhere_sum", "n_elsewhere").alias("elsewhere_activation"),
    ])
    .with_columns([
        (col("share") - col("elsewhere_share").fill_null(lit(0.0))).cast(DataType::Float32).alias("more"),
        when(col("elsewhere_share").gt(lit(0.0)))
            .then(col("share") / col("elsewhere_share"))
            .otherwise(lit(NULL))
            .alias("lift"),
        col("activation").cast(DataType::Float32),
    ])
}

/// The first features of each layer.
fn first(features: LazyFrame, limit: i64) -> Result<LazyFrame, QueryError> {
    let rank = col("more").cum_count(false).over([col("layer")])?.cast(DataType::Int64).alias("rank");
    let descending = SortMultipleOptions::default().with_order_descending_multi([false, true, true, false]);
    let order = ["layer", "more", "activation", "feature"];
    let single = |name: &str| col(name).cast(DataType::Float32);
    let ranks = features.sort(order, descending.clone()).with_columns([rank]);
    Ok(ranks.filter(col("rank").lt_eq(lit(limit))).sort(order, descending).select([
        col("layer"),
        col("feature"),
        col("n_steps"),
        single("share"),
        col("activation"),
        single("elsewhere_share"),
        single("elsewhere_activation"),
        single("lift"),
    ]))
}

/// How many steps have the span, and how many tokens it and the rest of them have: layer, `n_steps`, `n_here`,
/// `n_elsewhere`.
fn sizes(tables: &Tables, prompts: &Prompts, layer: Option<i32>, span: u32) -> Result<LazyFrame, QueryError> {
    let mut sizes = BTreeMap::<i32, (i64, i64, i64)>::new();
    for (prompt, layer) in captured(tables, prompts, layer)? {
        let Some(local) = local(prompt, span) else { continue };
        let sizes = sizes.entry(layer).or_default();
        sizes.0 += 1;
        for position in 0..=prompt.decision_position {
            match Place::of(prompt, local, position) {
                Place::Here => sizes.1 += 1,
                Place::Elsewhere => sizes.2 += 1,
                Place::Nowhere => {}
            }
        }
    }
    let column = |of: fn(&(i64, i64, i64)) -> i64| sizes.values().map(of).collect::<Vec<_>>();
    let sizes = df!(
        "layer" => sizes.keys().copied().collect::<Vec<_>>(),
        "n_steps" => column(|sizes| sizes.0),
        "n_here" => column(|sizes| sizes.1),
        "n_elsewhere" => column(|sizes| sizes.2),
    )?;
    Ok(sizes.lazy())
}

/// The index of the span among those of the step.
fn local(prompt: &Prompt, span: u32) -> Option<u32> {
    prompt.spans.iter().position(|known| *known == span).map(|local| local as u32)
}

/// Where a token counts.
#[derive(Clone, Copy)]
enum Place {
    Here,
    Elsewhere,
    Nowhere,
}

impl Place {
    fn of(prompt: &Prompt, local: u32, position: i32) -> Self {
        if prompt.spans_at(position).contains(&local) {
            Self::Here
        } else if prompt.is_ranked(position) {
            Self::Elsewhere
        } else {
            Self::Nowhere
        }
    }
}

/// How often and how strongly features fire in the span and elsewhere, by layer and feature.
#[derive(Default)]
struct Sums(PlHashMap<(i32, i32), Fires>);

#[derive(Clone, Copy, Default)]
struct Fires {
    here: i64,
    sum_here: f64,
    elsewhere: i64,
    sum_elsewhere: f64,
}

impl Sums {
    fn of(rows: &Rows<'_>, span: u32, only: Option<i32>) -> PolarsResult<Self> {
        let (positions, features) = (ints(rows.frame, "position")?, ints(rows.frame, "feature")?);
        let activations = floats(rows.frame, "activation")?;
        let mut sums = Self::default();
        for (prompt, layers) in rows.by_step() {
            let Some(local) = local(prompt, span) else { continue };
            for layer in layers {
                for row in layer.rows() {
                    if only.is_some_and(|only| only != features[row]) {
                        continue;
                    }
                    let place = Place::of(prompt, local, positions[row]);
                    sums.add(place, (layer.layer, features[row]), f64::from(activations[row]));
                }
            }
        }
        Ok(sums)
    }

    fn add(&mut self, place: Place, key: (i32, i32), activation: f64) {
        match place {
            Place::Here => {
                let fires = self.0.entry(key).or_default();
                (fires.here, fires.sum_here) = (fires.here + 1, fires.sum_here + activation);
            }
            Place::Elsewhere => {
                let fires = self.0.entry(key).or_default();
                (fires.elsewhere, fires.sum_elsewhere) =
                    (fires.elsewhere + 1, fires.sum_elsewhere + activation);
            }
            Place::Nowhere => {}
        }
    }

    fn rows(self) -> PolarsResult<DataFrame> {
        let mut sums = self.0.into_iter().collect::<Vec<_>>();
        sums.sort_unstable_by_key(|(key, _)| *key);
        df!(
            "layer" => sums.iter().map(|((layer, _), _)| *layer).collect::<Vec<_>>(),
            "feature" => sums.iter().map(|((_, feature), _)| *feature).collect::<Vec<_>>(),
            "fires" => sums.iter().map(|(_, fires)| fires.here).collect::<Vec<_>>(),
            "sum" => sums.iter().map(|(_, fires)| fires.sum_here).collect::<Vec<_>>(),
            "elsewhere_fires" => sums.iter().map(|(_, fires)| fires.elsewhere).collect::<Vec<_>>(),
            "elsewhere_sum" => sums.iter().map(|(_, fires)| fires.sum_elsewhere).collect::<Vec<_>>(),
        )
    }
}
