//! Which named spans the decisions of all games look at: [`crate::attribution`] with spans in the place of tokens.
//!
//! What a token is given there is added up over the tokens of a span, so that the shares of a step's importance
//! can be compared between prompts of any length. Spans overlap, so the shares of all spans may add up to more
//! than 1. A decision position that is not ranked has attention and no importance.

use std::{collections::BTreeMap, sync::Arc};

use polars::prelude::{DataFrame, DataType, Expr, LazyFrame, PolarsResult, col, df};

use crate::{
    QueryError, Selection, Tables, layers,
    looks::{self, Columns, Numbers},
    members,
    place::filtered,
    prompts::{Prompt, Prompts},
    ranking::{By, first_of_each, sorted},
    walk::Rows,
};

/// The plan: layer, span, `n_games` and `n_steps` (those that have the span), `n_tokens` (its tokens in all),
/// importance and attention (the mean over these steps of the sum over the tokens of the span), `feature_norm` (the
/// mean over the tokens). Sums are in double precision and shown in single.
///
/// Sorted by layer, importance from high to low, span; at most the selection's limit of a layer.
///
/// # Errors
/// [`QueryError::NoSuchLayer`] and [`QueryError::UnknownSpan`] if there is no such thing; if the lake cannot be read.
pub(crate) fn plan(tables: &Tables, selection: &Selection) -> Result<LazyFrame, QueryError> {
    let layer = selection.one_layer()?;
    layers::with_attention(tables, layer)?;
    if let Some(span) = &selection.span {
        members::check_span(tables, None, span)?;
    }
    let prompts = Arc::new(Prompts::read(tables, selection.specials)?);
    let schema = Arc::clone(Sums::default().rows(&prompts)?.schema());
    let fold = |prompts: &Prompts, rows: &Rows<'_>| Sums::of(rows)?.rows(prompts);
    let norms = Numbers { table: &schemas::positions::TABLE, feature: None, value: "feature_norm" };
    let sums = looks::walk(tables, &norms, layer, &prompts, (schema, fold))?;
    let mean = |name: &str, of: &str| {
        (col(name).sum() / col(of).sum().cast(DataType::Float64)).cast(DataType::Float32).alias(name)
    };
    let spans = filtered(sums, "span", selection.span.clone()).group_by([col("layer"), col("span")]).agg([
        col("n_games").sum(),
        mean("importance", "n_steps"),
        mean("attention", "n_steps"),
        mean("feature_norm", "n_tokens"),
        col("n_steps").sum(),
        col("n_tokens").sum(),
    ]);
    let keys = || [By::Rising(col("layer")), By::Falling(col("importance")), By::Rising(col("span"))];
    let first = match selection.limit {
        Some(limit) => first_of_each(spans, &["layer"], keys(), limit)?,
        None => sorted(spans, keys()),
    };
    Ok(first.select(columns()))
}

fn columns() -> [Expr; 8] {
    ["layer", "span", "n_games", "n_steps", "n_tokens", "importance", "attention", "feature_norm"].map(col)
}

/// Sums over steps by layer and span.
#[derive(Default)]
struct Sums(BTreeMap<(i32, u32), Sum>);

#[derive(Clone, Copy, Default)]
struct Sum {
    last_game: Option<i64>,
    games: i64,
    steps: i64,
    of: Share,
}

/// What the tokens of a span add up to.
#[derive(Clone, Copy, Default)]
struct Share {
    tokens: i64,
    importance: f64,
    attention: f64,
    norm: f64,
}

impl Sums {
    fn of(rows: &Rows<'_>) -> PolarsResult<Self> {
        let columns = Columns::of(rows)?;
        let mut sums = Self::default();
        for (prompt, layers) in rows.by_step() {
            for layer in layers {
                let attention = columns.attention(prompt, layer.ranges);
                let shares = shares(prompt, &attention, &columns.tokens(layer.ranges));
                sums.add(prompt, layer.layer, &shares);
            }
        }
        Ok(sums)
    }

    fn add(&mut self, prompt: &Prompt, layer: i32, shares: &[Share]) {
        for (span, share) in prompt.spans.iter().zip(shares).filter(|(_, share)| share.tokens > 0) {
            let sum = self.0.entry((layer, *span)).or_default();
            // Steps come game by game.
            sum.games += i64::from(sum.last_game != Some(prompt.game));
            sum.last_game = Some(prompt.game);
            sum.steps += 1;
            sum.of.tokens += share.tokens;
            sum.of.importance += share.importance;
            sum.of.attention += share.attention;
            sum.of.norm += share.norm;
        }
    }

    fn rows(self, prompts: &Prompts) -> PolarsResult<DataFrame> {
        let sums = self.0.into_iter().collect::<Vec<_>>();
        let column = |value: fn(&Sum) -> i64| sums.iter().map(|(_, sum)| value(sum)).collect::<Vec<_>>();
        let real = |value: fn(&Share) -> f64| sums.iter().map(|(_, sum)| value(&sum.of)).collect::<Vec<_>>();
        df!(
            "layer" => sums.iter().map(|((layer, _), _)| *layer).collect::<Vec<_>>(),
            "span" => sums.iter().map(|((_, span), _)| prompts.name(*span)).collect::<Vec<_>>(),
            "n_games" => column(|sum| sum.games),
            "n_steps" => column(|sum| sum.steps),
            "n_tokens" => column(|sum| sum.of.tokens),
            "importance" => real(|share| share.importance),
            "attention" => real(|share| share.attention),
            "feature_norm" => real(|share| share.norm),
        )
    }
}

/// What each span of a step is given, in the order of its spans.
fn shares(prompt: &Prompt, attention: &[f64], norms: &[(i32, f64)]) -> Vec<Share> {
    let paid = |position: i32| attention.get(position as usize).copied().unwrap_or_default();
    let weight = |position: i32, norm: f64| {
        if prompt.is_ranked(position) { paid(position) * norm } else { 0.0 }
    };
    let total = norms.iter().map(|(position, norm)| weight(*position, *norm)).sum::<f64>();
    let mut shares = vec![Share::default(); prompt.spans.len()];
    for (position, norm) in norms {
        for span in prompt.spans_at(*position) {
            let share = &mut shares[*span as usize];
            share.tokens += 1;
            share.importance += if total > 0.0 { weight(*position, *norm) / total } else { 0.0 };
            share.attention += paid(*position);
            share.norm += norm;
        }
    }
    shares
}
