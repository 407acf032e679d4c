//! Sums over the steps of all games, in memory that does not grow with the games.
//!
//! The rows of some games at one layer are read and added to what is there, then those of the next games. A plan that
//! joined the sums of all parts would hold each of them as often as there are parts. The plan shows how the first part
//! is read; the others are read in the same way, one after the other.
//!
//! Every span has sums of its own, and those of different spans are added to at the same time. Each sum takes in its
//! numbers in one order, so the result does not depend on how many threads there are.

use std::{collections::BTreeMap, sync::Arc};

use polars::prelude::{AllowedOptimizations, DataFrame, IntoLazy as _, LazyFrame, PolarsResult, Schema, col};
use rayon::iter::{IndexedParallelIterator as _, IntoParallelIterator as _, ParallelIterator as _};

use crate::{
    QueryError, Tables,
    place::equals,
    prompts::Prompts,
    run_part,
    tally::Token,
    walk::{Part, Rows, parts},
};

/// What is added up at a layer.
pub(crate) trait Sums {
    /// Adds the rows of some games; games come whole.
    ///
    /// # Errors
    /// If a column is missing.
    fn add(&mut self, rows: &Rows<'_>) -> PolarsResult<()>;

    /// What the sums say.
    ///
    /// # Errors
    /// If the frame cannot be made.
    fn rows(self, prompts: &Prompts) -> PolarsResult<DataFrame>;
}

/// The rows of one part.
struct Piece {
    layer: i32,
    block: i32,
    plan: LazyFrame,
}

/// What [`Sums::rows`] says of each of `layers`, one below the other. `new` begins the sums of a layer, and `rows_of` has
/// the rows of a part at a layer, with game, step and layer.
///
/// # Errors
/// If the plan cannot be made.
pub(crate) fn add_up<S, N>(
    prompts: &Arc<Prompts>,
    layers: &[i32],
    new: N,
    rows_of: impl Fn(&Part, i32) -> Result<LazyFrame, QueryError>,
) -> Result<LazyFrame, QueryError>
where
    S: Sums,
    N: Fn(i32) -> S + Send + Sync + 'static,
{
    let mut pieces = Vec::new();
    for layer in layers {
        for part in parts(prompts, 1) {
            pieces.push(Piece { layer: *layer, block: part.block, plan: rows_of(&part, *layer)? });
        }
    }
    let empty = new(0).rows(prompts)?;
    let schema = Arc::clone(empty.schema());
    let Some(first) = pieces.first().map(|piece| piece.plan.clone()) else { return Ok(empty.lazy()) };
    let prompts = Arc::clone(prompts);
    let function = move |frame: DataFrame| add_pieces(frame, &pieces, &prompts, &new);
    let schema = Arc::new(move |_: &Schema| Ok(Arc::clone(&schema)));
    let name = "add up, and read the other parts likewise";
    Ok(first.map(function, AllowedOptimizations::empty(), Some(schema), Some(name)))
}

/// How the rows of `features` of a part at a layer are read: game, step, layer, position, feature, activation.
///
/// # Errors
/// If a path is not Unicode.
pub(crate) fn features(tables: &Tables) -> Result<impl Fn(&Part, i32) -> LazyFrame, QueryError> {
    let features = tables.unjoined(&schemas::features::TABLE)?;
    Ok(move |part: &Part, layer| {
        let rows = features.clone().filter(part.filter().and(equals("layer", layer)));
        rows.select(["game", "step", "layer", "position", "feature", "activation"].map(col))
    })
}

/// Adds up the rows of all pieces, of which those of the first are read already.
fn add_pieces<S: Sums>(
    first: DataFrame,
    pieces: &[Piece],
    prompts: &Prompts,
    new: impl Fn(i32) -> S,
) -> PolarsResult<DataFrame> {
    let (mut first, mut found) = (Some(first), None::<DataFrame>);
    for of_layer in pieces.chunk_by(|one, next| one.layer == next.layer) {
        let mut sums = new(of_layer[0].layer);
        for piece in of_layer {
            let frame = match first.take() {
                Some(frame) => frame,
                None => run_part(piece.plan.clone())?,
            };
            Rows::of(frame, prompts, piece.block, |rows| sums.add(rows))?;
        }
        let rows = sums.rows(prompts)?;
        match &mut found {
            Some(found) => {
                found.vstack_mut(&rows)?;
            }
            None => found = Some(rows),
        }
    }
    Ok(found.unwrap_or_default())
}

/// The sums of each span, by its number.
pub(crate) struct BySpan<S>(BTreeMap<u32, S>);

impl<S> Default for BySpan<S> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<S: Default + Send> BySpan<S> {
    /// Lets `add` take in the tokens of each span, of different spans at the same time.
    pub(crate) fn add(
        &mut self,
        tokens: &BTreeMap<u32, Vec<Token>>,
        add: impl Fn(u32, &mut S, &[Token]) + Sync,
    ) {
        for span in tokens.keys() {
            self.0.entry(*span).or_default();
        }
        let sums = self.0.iter_mut().filter_map(|(span, sums)| Some((*span, sums, tokens.get(span)?)));
        let sums = sums.collect::<Vec<_>>().into_par_iter().with_max_len(1);
        sums.for_each(|(span, sums, tokens)| add(span, sums, tokens));
    }

    /// What `rows` makes of the sums of each span, of different spans at the same time, in the order of their numbers.
    pub(crate) fn rows<T: Send>(self, rows: impl Fn(u32, S) -> Vec<T> + Sync) -> Vec<T> {
        let sums = self.0.into_iter().collect::<Vec<_>>().into_par_iter().with_max_len(1);
        sums.map(|(span, sums)| rows(span, sums))
            .collect::<Vec<_>>()
            .into_iter()
            .flatten()
            .collect::<Vec<_>>()
    }
}
