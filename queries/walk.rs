//! The rows of a large table, step by step, for questions over all games.
//!
//! The plan is the union of its parts: of one block, the rows of some games, which a function turns into a few. Rows
//! of games that are not in `games`, or are in another block than theirs, belong to no step and are passed over.

use std::{collections::BTreeMap, ops::Range, sync::Arc};

use polars::prelude::{
    AllowedOptimizations, DataFrame, Expr, IntoLazy as _, LazyFrame, PolarsResult, Schema, SchemaRef,
    UnionArgs, col, concat, lit,
};
use schemas::Table;

use crate::{
    QueryError, Tables, layers,
    place::{equals, filtered},
    prompts::{Prompt, Prompts, ints, longs, rows},
    run,
};

/// How many tokens are read at once, each at every layer. It bounds the memory: a token of a layer has 64 rows of
/// features and, of nine heads, 72 of attention, each some 30 bytes.
const TOKENS_AT_ONCE: usize = 150_000;

/// The rows of the steps of a part.
pub(crate) struct Rows<'a> {
    /// The columns, each in one piece.
    pub(crate) frame: &'a DataFrame,
    prompts: &'a Prompts,
    steps: BTreeMap<usize, Layers>,
}

/// Where the rows of each layer of a step are.
type Layers = BTreeMap<i32, Vec<Range<usize>>>;

/// Where the rows of one layer of a step are.
pub(crate) struct Layer<'a> {
    pub(crate) layer: i32,
    /// Where they are; files are sorted, so that there are few ranges.
    pub(crate) ranges: &'a [Range<usize>],
}

impl Rows<'_> {
    /// What `then` makes of a part that was read, of games of `block`.
    ///
    /// # Errors
    /// If a column is missing.
    pub(crate) fn of<T>(
        frame: DataFrame,
        prompts: &Prompts,
        block: i32,
        then: impl FnOnce(&Rows<'_>) -> PolarsResult<T>,
    ) -> PolarsResult<T> {
        let frame = rows(frame);
        let steps = by_step(&frame, prompts, block)?;
        then(&Rows { frame: &frame, prompts, steps })
    }

    /// The steps, by block, game and step, each with its layers, ascending.
    pub(crate) fn by_step(&self) -> impl Iterator<Item = (&Prompt, Vec<Layer<'_>>)> {
        self.steps.iter().map(|(index, layers)| {
            let layers = layers.iter().map(|(layer, ranges)| Layer { layer: *layer, ranges });
            (&self.prompts.steps()[*index], layers.collect::<Vec<_>>())
        })
    }
}

impl Layer<'_> {
    /// The numbers of the rows.
    pub(crate) fn rows(&self) -> impl Iterator<Item = usize> {
        self.ranges.iter().cloned().flatten()
    }
}

/// The steps that have rows at a layer, or at each: those of which `positions` has the first token, or the decision where
/// that is all a run kept. A step that failed has none.
///
/// # Errors
/// If the lake cannot be read.
pub(crate) fn captured<'a>(
    tables: &Tables,
    prompts: &'a Prompts,
    layer: Option<i32>,
) -> Result<Vec<(&'a Prompt, i32)>, QueryError> {
    let rows_of_steps = tables.unjoined(&schemas::positions::TABLE)?;
    let one = if tables.keeps_decisions() { lit(true) } else { equals("position", 0) };
    let first = rows_of_steps.filter(one);
    let first = filtered(first, "game_block", prompts.block);
    let columns = ["game", "step", "layer", "game_block"].map(col);
    let frame = rows(run(filtered(first, "layer", layer).select(columns))?);
    let (games, steps) = (longs(&frame, "game")?, ints(&frame, "step")?);
    let (layers, blocks) = (ints(&frame, "layer")?, ints(&frame, "game_block")?);
    let found = (0..games.len()).filter_map(|row| {
        let prompt = &prompts.steps()[prompts.index(games[row], steps[row])?];
        (prompt.game_block == blocks[row]).then_some((prompt, layers[row]))
    });
    Ok(found.collect::<Vec<_>>())
}

/// Games of one block that are read at once.
pub(crate) struct Part {
    pub(crate) block: i32,
    first: i64,
    last: i64,
    /// The first and the last position that decides a step.
    decisions: (i32, i32),
}

impl Part {
    /// The rows of the games of the part, in any table of games.
    pub(crate) fn filter(&self) -> Expr {
        let games = col("game").gt_eq(lit(self.first)).and(col("game").lt_eq(lit(self.last)));
        equals("game_block", self.block).and(games)
    }

    /// Rows whose `column` may be the decision position of a step, so that most others are never read.
    pub(crate) fn near_decisions(&self, column: &str) -> Expr {
        let (first, last) = self.decisions;
        col(column).gt_eq(lit(first)).and(col(column).lt_eq(lit(last)))
    }
}

/// What `fold` makes of the rows of `table`, part by part: `columns` besides game, step and layer, of one layer or all.
///
/// # Errors
/// If the plan cannot be made.
pub(crate) fn walk<F>(
    tables: &Tables,
    (table, columns): (&Table, &[&str]),
    layer: Option<i32>,
    prompts: &Arc<Prompts>,
    made: (SchemaRef, F),
) -> Result<LazyFrame, QueryError>
where
    F: Fn(&Prompts, &Rows<'_>) -> PolarsResult<DataFrame> + Clone + Send + Sync + 'static,
{
    let wanted = ["game", "step", "layer"].iter().chain(columns).map(|name| col(*name)).collect::<Vec<_>>();
    let whole = tables.unjoined(table)?;
    walk_parts((prompts, n_layers(tables, layer)?), made, |part| {
        Ok(filtered(whole.clone().filter(part.filter()), "layer", layer).select(&wanted))
    })
}

/// The same of the rows that `rows_of` makes for each part, with game, step and one of `n_layers` layers. Each step of
/// a layer should be in few pieces.
///
/// # Errors
/// If the plan cannot be made.
pub(crate) fn walk_parts<F>(
    (prompts, n_layers): (&Arc<Prompts>, usize),
    (schema, fold): (SchemaRef, F),
    rows_of: impl Fn(&Part) -> Result<LazyFrame, QueryError>,
) -> Result<LazyFrame, QueryError>
where
    F: Fn(&Prompts, &Rows<'_>) -> PolarsResult<DataFrame> + Clone + Send + Sync + 'static,
{
    let mut plans = vec![DataFrame::empty_with_schema(&schema).lazy()];
    for part in parts(prompts, n_layers) {
        let (prompts, fold, block) = (Arc::clone(prompts), fold.clone(), part.block);
        let function = move |frame: DataFrame| Rows::of(frame, &prompts, block, |rows| fold(&prompts, rows));
        let schema = Arc::clone(&schema);
        let schema = Arc::new(move |_: &Schema| Ok(Arc::clone(&schema)));
        let rows = rows_of(&part)?;
        plans.push(rows.map(function, AllowedOptimizations::empty(), Some(schema), Some("by step")));
    }
    Ok(concat(plans, UnionArgs::default())?)
}

/// How many layers the rows have.
///
/// # Errors
/// If the lake cannot be read.
pub(crate) fn n_layers(tables: &Tables, layer: Option<i32>) -> Result<usize, QueryError> {
    Ok(if layer.is_some() { 1 } else { layers::with_attention(tables, None)?.len() })
}

/// Whole games, so that a step is in one part.
pub(crate) fn parts(prompts: &Prompts, n_layers: usize) -> Vec<Part> {
    let (mut parts, mut size) = (Vec::<Part>::new(), 0);
    for prompt in prompts.steps() {
        let added = prompt.n_places() * n_layers;
        size += added;
        match parts.last_mut() {
            Some(part)
                if part.block == prompt.game_block
                    && (size <= TOKENS_AT_ONCE || part.last == prompt.game) =>
            {
                part.last = prompt.game;
                let (first, last) = part.decisions;
                part.decisions = (first.min(prompt.decision_position), last.max(prompt.decision_position));
            }
            _ => {
                parts.push(Part {
                    block: prompt.game_block,
                    first: prompt.game,
                    last: prompt.game,
                    decisions: (prompt.decision_position, prompt.decision_position),
                });
                size = added;
            }
        }
    }
    parts
}

/// The rows of each step. Files are sorted by game and step, so that there are few ranges.
fn by_step(frame: &DataFrame, prompts: &Prompts, block: i32) -> PolarsResult<BTreeMap<usize, Layers>> {
    let (games, steps, layers) = (longs(frame, "game")?, ints(frame, "step")?, ints(frame, "layer")?);
    let mut found = BTreeMap::<_, Layers>::new();
    let mut start = 0;
    while start < games.len() {
        let (game, step, layer) = (games[start], steps[start], layers[start]);
        let rest = games[start..].iter().zip(&steps[start..]).zip(&layers[start..]);
        let end = start + rest.take_while(|((g, s), l)| (**g, **s, **l) == (game, step, layer)).count();
        if let Some(index) = prompts.index(game, step)
            && prompts.steps()[index].game_block == block
        {
            found.entry(index).or_default().entry(layer).or_default().push(start..end);
        }
        start = end;
    }
    Ok(found)
}
