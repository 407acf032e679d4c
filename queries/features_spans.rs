//! Which features the decisions of all games attend to in each named span: [`crate::features`] over the tokens of a
//! span, and the mean over the steps that have it.

use std::{collections::BTreeMap, sync::Arc};

use polars::prelude::{
    DataFrame, DataType, IntoLazy as _, JoinArgs, JoinType, LazyFrame, PlHashMap, PolarsResult, col, df,
};

use crate::{
    Given, QueryError, Selection, Tables,
    features::{LIMIT, with_importance},
    layers::{self, check_feature},
    looks::{self, Columns, Numbers},
    members,
    prompts::Prompts,
    ranking::{By, first_of_each},
    tally::{Chosen, Step, Tally, Token},
    walk::{Rows, captured},
};

/// The plan: layer, span, feature, `n_steps` and `n_games` (those that have the span), score (mean over these steps of
/// the sum over the tokens of the span), activation (mean over the tokens where it fires), share (of the steps, those
/// in which it fires in the span). Sums are in double precision and shown in single.
///
/// Of each layer and span the features with the largest scores, sorted by layer, span, size of the score from high to
/// low, feature.
///
/// # Errors
/// A layer, span or feature that is not there; if the lake cannot be read.
pub(crate) fn plan(
    tables: &Tables,
    selection: &Selection,
    importance: Option<&Given>,
) -> Result<LazyFrame, QueryError> {
    let layer = selection.one_layer()?;
    layers::with_features(tables, layer)?;
    if let Some(span) = &selection.span {
        members::check_span(tables, None, span)?;
    }
    check_feature(&tables.features(), selection.feature)?;
    let prompts = Arc::new(Prompts::read(tables, selection.specials)?);
    let chosen = Chosen {
        span: selection.span.as_deref().and_then(|span| prompts.number(span)),
        feature: selection.feature.map(|name| name.feature),
    };
    let on = ["layer", "span"].map(col);
    let real = |name: &str| col(name).sum().cast(DataType::Float64);
    let n_steps = || col("n_steps").cast(DataType::Float64);
    let sums = sums(tables, &prompts, layer, chosen)?
        .group_by(["layer", "span", "feature"].map(col))
        .agg([col("score").sum(), real("activation") / real("cells"), real("fires").alias("share")])
        .join(sizes(tables, &prompts, layer)?, &on, &on, JoinArgs::new(JoinType::Inner));
    let scores = with_importance(sums, importance).with_columns([
        (col("score") / n_steps() * col("importance")).cast(DataType::Float32),
        col("activation").cast(DataType::Float32),
        (col("share") / n_steps()).cast(DataType::Float32),
    ]);
    let keys = [
        By::Rising(col("layer")),
        By::Rising(col("span")),
        By::Falling(col("score").abs()),
        By::Rising(col("feature")),
    ];
    let limit = selection.limit.unwrap_or(LIMIT);
    let columns = ["layer", "span", "feature", "n_steps", "n_games", "score", "activation", "share"];
    Ok(first_of_each(scores, &["layer", "span"], keys, limit)?.select(columns.map(col)))
}

/// How many steps and games with rows at a layer have each span: layer, span, `n_steps`, `n_games`.
fn sizes(tables: &Tables, prompts: &Prompts, layer: Option<i32>) -> Result<LazyFrame, QueryError> {
    let mut counts = BTreeMap::<(i32, u32), PlHashMap<i64, i64>>::new();
    for (prompt, layer) in captured(tables, prompts, layer)? {
        for span in &prompt.spans {
            *counts.entry((layer, *span)).or_default().entry(prompt.game).or_default() += 1;
        }
    }
    let counts = counts.into_iter().collect::<Vec<_>>();
    let sizes = df!(
        "layer" => counts.iter().map(|((layer, _), _)| *layer).collect::<Vec<_>>(),
        "span" => counts.iter().map(|((_, span), _)| prompts.name(*span)).collect::<Vec<_>>(),
        "n_steps" => counts.iter().map(|(_, games)| games.values().sum::<i64>()).collect::<Vec<_>>(),
        "n_games" => counts.iter().map(|(_, games)| games.len() as i64).collect::<Vec<_>>(),
    )?;
    Ok(sizes.lazy())
}

/// Sums over steps by layer, span and feature, part by part: layer, span, feature, score, activation, cells (how many
/// tokens it fires at), fires (in how many steps).
fn sums(
    tables: &Tables,
    prompts: &Arc<Prompts>,
    layer: Option<i32>,
    chosen: Chosen,
) -> Result<LazyFrame, QueryError> {
    let schema = Arc::clone(Sums::default().rows(prompts)?.schema());
    let fold = move |prompts: &Prompts, rows: &Rows<'_>| Sums::of(rows, chosen)?.rows(prompts);
    let numbers = Numbers { table: &schemas::features::TABLE, feature: Some("feature"), value: "activation" };
    looks::walk(tables, &numbers, layer, prompts, (schema, fold))
}

/// By layer and number of the span, by feature.
#[derive(Default)]
struct Sums(BTreeMap<(i32, u32), PlHashMap<i32, Sum>>);

#[derive(Clone, Copy, Default)]
struct Sum {
    score: f64,
    activation: f64,
    cells: i64,
    fires: i64,
    /// The last step that was counted.
    last: Option<usize>,
}

impl Sums {
    fn of(rows: &Rows<'_>, chosen: Chosen) -> PolarsResult<Self> {
        let columns = Columns::of(rows)?;
        let (mut sums, mut tally) = (Self::default(), Tally::<Sum>::default());
        for steps in rows.by_step().collect::<Vec<_>>().chunk_by(|one, next| one.0.game == next.0.game) {
            let attention = attention(steps, &columns);
            for ((layer, span), tokens) in columns.by_span(steps, chosen) {
                for Token { step, position, rows } in tokens {
                    let paid = attention[&(step, layer)][position as usize];
                    for (feature, activation) in columns.numbers(rows) {
                        if chosen.has(feature) {
                            tally.of(feature).see(step, paid, activation);
                        }
                    }
                }
                let sums = sums.0.entry((layer, span)).or_default();
                tally.take().for_each(|(feature, sum)| sums.entry(feature).or_default().add(sum));
            }
        }
        Ok(sums)
    }

    fn rows(self, prompts: &Prompts) -> PolarsResult<DataFrame> {
        let spans = self.0.into_iter();
        let mut sums = spans
            .flat_map(|(of, sums)| sums.into_iter().map(move |(feature, sum)| (of, feature, sum)))
            .collect::<Vec<_>>();
        sums.sort_unstable_by_key(|(of, feature, _)| (*of, *feature));
        df!(
            "layer" => sums.iter().map(|((layer, _), _, _)| *layer).collect::<Vec<_>>(),
            "span" => sums.iter().map(|((_, span), _, _)| prompts.name(*span)).collect::<Vec<_>>(),
            "feature" => sums.iter().map(|(_, feature, _)| *feature).collect::<Vec<_>>(),
            "score" => sums.iter().map(|(_, _, sum)| sum.score).collect::<Vec<_>>(),
            "activation" => sums.iter().map(|(_, _, sum)| sum.activation).collect::<Vec<_>>(),
            "cells" => sums.iter().map(|(_, _, sum)| sum.cells).collect::<Vec<_>>(),
            "fires" => sums.iter().map(|(_, _, sum)| sum.fires).collect::<Vec<_>>(),
        )
    }
}

impl Sum {
    /// A token of a step at which the feature fires.
    fn see(&mut self, step: usize, attention: f64, activation: f64) {
        self.score += attention * activation;
        self.activation += activation;
        self.cells += 1;
        self.fires += i64::from(self.last != Some(step));
        self.last = Some(step);
    }

    fn add(&mut self, of_game: Self) {
        self.score += of_game.score;
        self.activation += of_game.activation;
        self.cells += of_game.cells;
        self.fires += of_game.fires;
    }
}

/// What the decisions of a game pay to each position, by the place of the step and the layer.
fn attention(steps: &[Step<'_>], columns: &Columns<'_>) -> BTreeMap<(usize, i32), Vec<f64>> {
    let mut found = BTreeMap::new();
    for (step, (prompt, layers)) in steps.iter().enumerate() {
        for layer in layers {
            found.insert((step, layer.layer), columns.attention(prompt, layer.ranges));
        }
    }
    found
}
