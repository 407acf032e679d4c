//! How attention flows from span to span over all games: [`crate::flow`] as the mean over steps.

use std::{collections::BTreeMap, sync::Arc};

use polars::prelude::{
    DataFrame, DataType, Expr, LazyFrame, NULL, PolarsError, PolarsResult, SortMultipleOptions, col, df, lit,
    when,
};

use crate::{
    DECISION, QueryError, Selection, Tables,
    flow::{Heads, MEAN, NOT_KEPT, OTHER, ROLLOUT, not_kept, wants_rollout},
    layers, members,
    prompts::{Decision, Prompt, Prompts, floats, ints},
    walk::{Layer, Rows, walk},
};

/// The plan: layer, head, `from_span`, `to_span`, bet, stop (means over the bet steps and the stop steps that have
/// both spans), difference, `n_bet`, `n_stop` (how many steps those are), sorted by layer, head and the two spans.
/// A mean over no step is missing. Pairs of spans without any weight have no row, but [`NOT_KEPT`] always has one.
///
/// # Errors
/// A layer without attention, a span that is not there; if the lake cannot be read.
pub(crate) fn plan(tables: &Tables, selection: &Selection, heads: Heads) -> Result<LazyFrame, QueryError> {
    layers::with_attention(tables, selection.layer)?;
    if let Some(span) = &selection.span {
        members::check_span(tables, None, span)?;
    }
    let prompts = Arc::new(Prompts::read(tables, selection.specials)?);
    let asked = Asked {
        from: selection.span.as_deref().and_then(|span| prompts.number(span)),
        heads,
        rollout: wants_rollout(selection),
    };
    let schema = Arc::clone(Flows::default().rows(&prompts)?.schema());
    let fold = move |prompts: &Prompts, rows: &Rows<'_>| asked.sum(prompts, rows)?.rows(prompts);
    let table = (&schemas::attention::TABLE, &["head", "query", "key", "weight"][..]);
    let sums = walk(tables, table, selection.layer, &prompts, (schema, fold))?;
    let keys = ["layer", "head", "from_span", "to_span"];
    Ok(sums
        .group_by(keys.map(col))
        .agg(["bet", "stop", "n_bet", "n_stop"].map(|name| col(name).sum()))
        .filter((col("bet") + col("stop")).gt(lit(0.0)).or(col("to_span").eq(lit(NOT_KEPT))))
        .with_columns([mean("bet", "n_bet"), mean("stop", "n_stop")])
        .select([
            col("layer"),
            col("head"),
            col("from_span"),
            col("to_span"),
            col("bet").cast(DataType::Float32),
            col("stop").cast(DataType::Float32),
            (col("bet") - col("stop")).cast(DataType::Float32).alias("difference"),
            col("n_bet"),
            col("n_stop"),
        ])
        .sort(keys, SortMultipleOptions::default()))
}

fn mean(sum: &str, count: &str) -> Expr {
    when(col(count).gt(lit(0)))
        .then(col(sum) / col(count).cast(DataType::Float64))
        .otherwise(lit(NULL))
        .alias(sum)
}

/// What is summed.
#[derive(Clone, Copy)]
struct Asked {
    /// The only span that looks, by its number.
    from: Option<u32>,
    heads: Heads,
    rollout: bool,
}

/// Where weights go to.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum To {
    NotKept,
    Other,
    Span(u32),
}

/// Sums over steps by layer, head, and the two spans.
#[derive(Default)]
struct Flows(BTreeMap<(i32, i32, u32, To), Sums>);

/// Sums over the bet steps and the stop steps, and how many those are.
#[derive(Clone, Copy, Default)]
struct Sums {
    bet: f64,
    stop: f64,
    n_bet: i64,
    n_stop: i64,
}

/// The columns of rows of attention.
struct Pattern<'a> {
    heads: &'a [i32],
    queries: &'a [i32],
    keys: &'a [i32],
    weights: &'a [f32],
}

impl Asked {
    fn sum(self, prompts: &Prompts, rows: &Rows<'_>) -> PolarsResult<Flows> {
        let pattern = Pattern {
            heads: ints(rows.frame, "head")?,
            queries: ints(rows.frame, "query")?,
            keys: ints(rows.frame, "key")?,
            weights: floats(rows.frame, "weight")?,
        };
        let decision = prompts.number(DECISION);
        let mut flows = Flows::default();
        for (prompt, layers) in rows.by_step() {
            if prompt.decision.is_none() {
                continue;
            }
            for layer in &layers {
                self.add(&mut flows, prompt, layer, &pattern)?;
            }
            if let Some(decision) = decision.filter(|_| self.rollout) {
                flows.add_rollout(prompt, decision, &pattern.rollout(prompt, &layers));
            }
        }
        Ok(flows)
    }

    /// Adds one layer of a step.
    fn add(
        self,
        flows: &mut Flows,
        prompt: &Prompt,
        layer: &Layer<'_>,
        pattern: &Pattern<'_>,
    ) -> PolarsResult<()> {
        let n_heads = usize::try_from(prompt.n_heads).unwrap_or_default();
        let shown = if self.heads == Heads::Each { n_heads } else { 0 };
        let mut mean = Looks::new(prompt);
        let mut heads = (0..shown).map(|_| Looks::new(prompt)).collect::<Vec<_>>();
        for row in layer.rows() {
            let (query, key) = (pattern.queries[row], pattern.keys[row]);
            let (from, to) = (prompt.spans_at(query), prompt.spans_at(key));
            let weight = f64::from(pattern.weights[row]);
            mean.add(from, to, weight);
            if shown > 0 {
                let head = pattern.heads[row];
                let Some(looks) = heads.get_mut(head as usize) else {
                    let reason = format!("layer {} of game {} has a head {head}", layer.layer, prompt.game);
                    return Err(PolarsError::ComputeError(reason.into()));
                };
                looks.add(from, to, weight);
            }
        }
        flows.add(prompt, (layer.layer, MEAN), &mean, (f64::from(prompt.n_heads), self.from));
        for (head, looks) in heads.iter().enumerate() {
            flows.add(prompt, (layer.layer, head as i32), looks, (1.0, self.from));
        }
        Ok(())
    }
}

/// Sums of weights from each span of a step to each, to tokens of none, and to all.
struct Looks {
    n_spans: usize,
    sums: Vec<f64>,
}

impl Looks {
    fn new(prompt: &Prompt) -> Self {
        let n_spans = prompt.spans.len();
        Self { n_spans, sums: vec![0.0; n_spans * (n_spans + 2)] }
    }

    fn add(&mut self, from: &[u32], to: &[u32], weight: f64) {
        for from in from {
            let sums = self.row_mut(*from as usize);
            let (n_spans, end) = (sums.len() - 2, sums.len() - 1);
            sums[end] += weight;
            if to.is_empty() {
                sums[n_spans] += weight;
            }
            for to in to {
                sums[*to as usize] += weight;
            }
        }
    }

    fn row_mut(&mut self, from: usize) -> &mut [f64] {
        let width = self.n_spans + 2;
        &mut self.sums[from * width..(from + 1) * width]
    }

    fn row(&self, from: usize) -> &[f64] {
        let width = self.n_spans + 2;
        &self.sums[from * width..(from + 1) * width]
    }
}

impl Pattern<'_> {
    /// How much of the decision comes from each position, by the mean pattern of `layers`, ascending.
    fn rollout(&self, prompt: &Prompt, layers: &[Layer<'_>]) -> Vec<f64> {
        let decision = usize::try_from(prompt.decision_position).unwrap_or_default();
        let mut reached = vec![0.0; decision + 1];
        reached[decision] = 1.0;
        for layer in layers.iter().rev() {
            let mut next = reached.iter().map(|stays| stays / 2.0).collect::<Vec<_>>();
            for row in layer.rows() {
                let (query, key) = (self.queries[row] as usize, self.keys[row] as usize);
                if let (Some(moves), Some(next)) = (reached.get(query), next.get_mut(key)) {
                    *next += moves / 2.0 * f64::from(self.weights[row]) / f64::from(prompt.n_heads);
                }
            }
            reached = next;
        }
        reached
    }
}

impl Flows {
    /// Adds the sums of a step, as means over `n_heads` heads and the tokens of each span.
    fn add(
        &mut self,
        prompt: &Prompt,
        (layer, head): (i32, i32),
        looks: &Looks,
        (n_heads, only): (f64, Option<u32>),
    ) {
        for (from, span) in prompt.spans.iter().enumerate() {
            if only.is_some_and(|only| only != *span) {
                continue;
            }
            let size = n_heads * f64::from(prompt.sizes[from]);
            let row = looks.row(from);
            let (kept, other) = (row[looks.n_spans + 1] / size, row[looks.n_spans] / size);
            for (to, weight) in prompt.spans.iter().zip(row) {
                self.count(prompt, (layer, head, *span, To::Span(*to)), weight / size);
            }
            self.count(prompt, (layer, head, *span, To::Other), other);
            self.count(prompt, (layer, head, *span, To::NotKept), not_kept(kept));
        }
    }

    fn add_rollout(&mut self, prompt: &Prompt, decision: u32, reached: &[f64]) {
        let mut looks = Looks::new(prompt);
        let Some(from) = prompt.spans.iter().position(|span| *span == decision) else { return };
        for (position, weight) in reached.iter().enumerate() {
            looks.add(&[from as u32], prompt.spans_at(position as i32), *weight);
        }
        // A rollout starts at one token, so that sums are means even if the lake names another one like it.
        let one = 1.0 / f64::from(prompt.sizes[from]);
        self.add(prompt, (ROLLOUT, MEAN), &looks, (one, Some(decision)));
    }

    fn count(&mut self, prompt: &Prompt, key: (i32, i32, u32, To), weight: f64) {
        let sums = self.0.entry(key).or_default();
        match prompt.decision {
            Some(Decision::Bet) => (sums.bet, sums.n_bet) = (sums.bet + weight, sums.n_bet + 1),
            Some(Decision::Stop) => (sums.stop, sums.n_stop) = (sums.stop + weight, sums.n_stop + 1),
            None => {}
        }
    }

    fn rows(&self, prompts: &Prompts) -> PolarsResult<DataFrame> {
        let to_span = |to: To| match to {
            To::NotKept => NOT_KEPT,
            To::Other => OTHER,
            To::Span(span) => prompts.name(span),
        };
        let keys = || self.0.keys();
        let sums = || self.0.values();
        df!(
            "layer" => keys().map(|key| key.0).collect::<Vec<_>>(),
            "head" => keys().map(|key| key.1).collect::<Vec<_>>(),
            "from_span" => keys().map(|key| prompts.name(key.2)).collect::<Vec<_>>(),
            "to_span" => keys().map(|key| to_span(key.3)).collect::<Vec<_>>(),
            "bet" => sums().map(|sums| sums.bet).collect::<Vec<_>>(),
            "stop" => sums().map(|sums| sums.stop).collect::<Vec<_>>(),
            "n_bet" => sums().map(|sums| sums.n_bet).collect::<Vec<_>>(),
            "n_stop" => sums().map(|sums| sums.n_stop).collect::<Vec<_>>(),
        )
    }
}
