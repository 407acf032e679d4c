//! Which features the decisions of all games attend to in each named span: [`crate::features`] over the tokens of a
//! span, and the mean over the steps that have it.

use std::{collections::BTreeMap, sync::Arc};

use polars::prelude::{DataFrame, LazyFrame, PlHashMap, PolarsResult, col, df};

use crate::{
    Given, QueryError, Selection, Tables,
    add_up::{self, BySpan, add_up},
    features::LIMIT,
    layers::{self, check_feature},
    looks::{Columns, Numbers, both},
    members,
    prompts::Prompts,
    ranking::{By, keep_first, sorted},
    tally::{Chosen, Tally, Token},
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
    let layers = layers::chosen(tables, layer)?;
    if let Some(span) = &selection.span {
        members::check_span(tables, None, span)?;
    }
    check_feature(&tables.features(), selection.feature)?;
    let prompts = Arc::new(Prompts::read(tables, selection.specials)?);
    let chosen = Chosen {
        span: selection.span.as_deref().and_then(|span| prompts.number(span)),
        feature: selection.feature.map(|name| name.feature),
    };
    let sizes = Arc::new(sizes(tables, &prompts, layer)?);
    let importance = Arc::new(importance.map(Given::by_name).transpose()?);
    let limit = selection.limit.unwrap_or(LIMIT);
    let new = move |layer: i32| Sums {
        layer,
        chosen,
        limit,
        sizes: Arc::clone(&sizes),
        importance: Arc::clone(&importance),
        n_steps: 0,
        spans: BySpan::default(),
    };
    let numbers = Numbers { table: &schemas::features::TABLE, feature: Some("feature"), value: "activation" };
    let both = both(tables, &numbers)?;
    let rows = add_up(&prompts, &layers, new, |part, layer| both(part, Some(layer)))?;
    let keys = [
        By::Rising(col("layer")),
        By::Rising(col("span")),
        By::Falling(col("score").abs()),
        By::Rising(col("feature")),
    ];
    Ok(sorted(rows, keys))
}

/// How many steps and games with rows at a layer have each span, by layer and number of the span.
type Sizes = BTreeMap<(i32, u32), Size>;

#[derive(Clone, Copy, Default)]
struct Size {
    n_steps: i64,
    n_games: i64,
}

fn sizes(tables: &Tables, prompts: &Prompts, layer: Option<i32>) -> Result<Sizes, QueryError> {
    let mut counts = BTreeMap::<(i32, u32), PlHashMap<i64, i64>>::new();
    for (prompt, layer) in captured(tables, prompts, layer)? {
        for span in &prompt.spans {
            *counts.entry((layer, *span)).or_default().entry(prompt.game).or_default() += 1;
        }
    }
    let size = |games: PlHashMap<i64, i64>| Size {
        n_steps: games.values().sum::<i64>(),
        n_games: games.len() as i64,
    };
    Ok(counts.into_iter().map(|(of, games)| (of, size(games))).collect::<Sizes>())
}

/// The sums of a layer.
struct Sums {
    layer: i32,
    chosen: Chosen,
    limit: u32,
    sizes: Arc<Sizes>,
    /// By layer and feature.
    importance: Arc<Option<PlHashMap<[i32; 2], f64>>>,
    /// The steps that were read.
    n_steps: usize,
    spans: BySpan<Tally<Sum>>,
}

#[derive(Clone, Copy, Default)]
struct Sum {
    score: f64,
    activation: f64,
    /// At how many tokens it fires.
    tokens: u32,
    /// In how many steps it fires.
    steps: u32,
    /// One more than the last of them.
    last: usize,
}

/// A feature of a span.
struct Row {
    span: u32,
    feature: i32,
    size: Size,
    score: f32,
    activation: f32,
    share: f32,
}

impl add_up::Sums for Sums {
    fn add(&mut self, rows: &Rows<'_>) -> PolarsResult<()> {
        let columns = Columns::of(rows)?;
        let steps = rows.by_step().collect::<Vec<_>>();
        let attention = steps.iter().map(|(prompt, layers)| {
            let ranges = layers.iter().flat_map(|layer| layer.ranges).cloned().collect::<Vec<_>>();
            columns.attention(prompt, &ranges)
        });
        let attention = attention.collect::<Vec<_>>();
        let before = self.n_steps + 1;
        self.spans.add(&columns.by_span(&steps, self.chosen), |_, sums, tokens| {
            for Token { step, position, rows } in tokens {
                let paid = attention[*step][*position as usize];
                for (feature, activation) in columns.numbers(rows.clone()) {
                    if self.chosen.has(feature) {
                        sums.of(feature).see(before + step, paid, activation);
                    }
                }
            }
        });
        self.n_steps += steps.len();
        Ok(())
    }

    fn rows(self, prompts: &Prompts) -> PolarsResult<DataFrame> {
        let Self { layer, limit, sizes, importance, spans, .. } = self;
        let rows = spans.rows(|span, mut sums| {
            let size = sizes.get(&(layer, span)).copied().unwrap_or_default();
            let row = |(feature, sum): (i32, Sum)| {
                let importance = match importance.as_ref() {
                    Some(given) => *given.get(&[layer, feature])?,
                    None => 1.0,
                };
                Some(sum.row((span, feature), size, importance))
            };
            let mut rows = sums.take().filter_map(row).collect::<Vec<_>>();
            keep_first(&mut rows, limit, |one, other| {
                other.score.abs().total_cmp(&one.score.abs()).then(one.feature.cmp(&other.feature))
            });
            rows
        });
        df!(
            "layer" => vec![layer; rows.len()],
            "span" => rows.iter().map(|row| prompts.name(row.span)).collect::<Vec<_>>(),
            "feature" => rows.iter().map(|row| row.feature).collect::<Vec<_>>(),
            "n_steps" => rows.iter().map(|row| row.size.n_steps).collect::<Vec<_>>(),
            "n_games" => rows.iter().map(|row| row.size.n_games).collect::<Vec<_>>(),
            "score" => rows.iter().map(|row| row.score).collect::<Vec<_>>(),
            "activation" => rows.iter().map(|row| row.activation).collect::<Vec<_>>(),
            "share" => rows.iter().map(|row| row.share).collect::<Vec<_>>(),
        )
    }
}

impl Sum {
    /// A token of a step at which the feature fires.
    fn see(&mut self, step: usize, attention: f64, activation: f64) {
        self.score += attention * activation;
        self.activation += activation;
        self.tokens += 1;
        self.steps += u32::from(self.last != step);
        self.last = step;
    }

    fn row(self, (span, feature): (u32, i32), size: Size, importance: f64) -> Row {
        let n_steps = size.n_steps as f64;
        Row {
            span,
            feature,
            size,
            score: (self.score / n_steps * importance) as f32,
            activation: (self.activation / f64::from(self.tokens)) as f32,
            share: (f64::from(self.steps) / n_steps) as f32,
        }
    }
}
