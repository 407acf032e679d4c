//! Where the features of a decision come from: edges from tokens to features, from features to features of a
//! higher layer, and from those to the output.
//!
//! The targets are the features of one layer at the decision position that count most: their activation
//! times their importance. Each has the features of lower layers as sources, where they fired: the score of such
//! an edge is the attention that the decision pays at the target's layer to the source's position, averaged over
//! heads, times the activation of the source, times the coupling of the two. The decision's own position, which
//! the residual stream carries on by itself, has attention 1, and is a source even if it is a special token. Each
//! source has the tokens that it looked at: its own, and the three that its layer attends to most from there.
//!
//! Importance and coupling come from outside the lake ([`Weights`]): from the decoder and encoder rows of the
//! dictionaries, and the model's unembedding. Without them each is 1, and the scores tell only what was active and
//! attended to.
//!
//! All of it is observed and nothing is intervened upon. The heads are averaged and what they do to the values
//! they move is ignored, so is every layer between source and target, and the weights kept in the lake are the
//! largest of a row only. An edge is a guess at a cause, to be tested by steering or ablation. The
//! correlation is a second witness that knows nothing of attention and weights; in games, much goes together because
//! it goes with the balance or the round. It is over the steps of all games, or, in the trace of a step, of the hundred
//! games in its block: the answer about a step must not take longer in a larger lake.

use crate::{Asked, Query, QueryError, Scope, Selection, Tables, Weights, run, trace_games, trace_step};

/// The line of the menu.
pub const QUERY: Query = Query {
    name: "trace",
    about: "where the features of a decision come from: tokens, features, output",
    step_sql: Some(include_str!("trace.sql")),
    all_sql: Some(include_str!("trace-all.sql")),
    more_sql: &[],
};

/// How many targets there are, and sources of each, unless said otherwise; `trace.sql` says the same.
pub const LIMIT: u32 = 8;

/// What names a pair of features.
pub(crate) const PAIR: [&str; 4] = ["from_layer", "from_feature", "to_layer", "to_feature"];

/// The question about a step or about all games.
///
/// # Errors
/// Those of [`Place::find`]; [`QueryError::UnknownFeature`] if the one target asked for is not active at the
/// decision, [`QueryError::NoSuchLayer`] if no game has features at the layer.
pub fn ask(tables: &Tables, selection: &Selection, weights: &Weights) -> Result<Asked, QueryError> {
    tables.check_positions(QUERY.name)?;
    let (plan, sql) = match selection.scope {
        Scope::Step { game, step } => {
            let step = trace_step::Step::find(tables, (game, step), selection, weights)?;
            (step.plan()?, include_str!("trace.sql"))
        }
        Scope::AllGames => (trace_games::plan(tables, selection, weights)?, include_str!("trace-all.sql")),
    };
    let variables = tables.variables().and(selection.variables()).and(weights.variables());
    Ok(Asked { plan, sql, variables })
}

/// The pairs of features whose couplings a trace can use, as `from_layer`, `from_feature`, `to_layer`,
/// `to_feature`, sorted: every feature that fires in a lower layer where a source may be, and every target.
///
/// # Errors
/// Those of [`ask`].
pub fn pairs(
    tables: &Tables,
    selection: &Selection,
    weights: &Weights,
) -> Result<Vec<(i32, i32, i32, i32)>, QueryError> {
    let found = match selection.scope {
        Scope::Step { game, step } => {
            run(trace_step::Step::find(tables, (game, step), selection, weights)?.pairs())?
        }
        Scope::AllGames => run(trace_games::pairs(tables, selection, weights)?)?,
    };
    let column = |name| Ok::<_, QueryError>(found.column(name)?.i32()?.iter().flatten().collect::<Vec<_>>());
    let [from_layer, from, to_layer, to] =
        [column(PAIR[0])?, column(PAIR[1])?, column(PAIR[2])?, column(PAIR[3])?];
    let mut pairs =
        (0..from.len()).map(|row| (from_layer[row], from[row], to_layer[row], to[row])).collect::<Vec<_>>();
    pairs.sort_unstable();
    Ok(pairs)
}
