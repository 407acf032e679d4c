//! Which tokens a decision looks at, weighted by how much the dictionary sees there.
//!
//! The importance of a position is the attention that the decision pays to it, averaged over all heads of
//! the layer, times the norm of the position's features, as a share of the sum over the positions that
//! are ranked. Attention is the decision's *row* of the pattern: query = decision position. A head whose
//! weight for a key is not stored counts as 0; the decision row is stored whole, so there only weights
//! that are 0 are missing. Generated tokens come after the decision, which cannot see them, and are left
//! out. So are special tokens and position 0, where attention rests when it has nothing to look for and
//! where the norms are far above all others, unless they are asked for.
//!
//! It is a heuristic: it ignores what the heads move (values and their output), the sign, and every other
//! path through the model.
//!
//! The formula published with the token tracking experiment took the *column* of the decision position
//! instead ([`AsPublished`]). A column says who attends to the decision, not what the decision attends to,
//! and under a causal mask nothing before it can: whatever the features, the whole mass is on the last
//! token.

use polars::prelude::{
    DataType, Expr, JoinArgs, JoinType, LazyFrame, NULL, SortMultipleOptions, col, lit, when,
};

use crate::{Asked, Layers, Place, Query, QueryError, Scope, Selection, Specials, Tables, attribution_spans};

/// The line of the menu.
pub const QUERY: Query = Query {
    name: "attribution",
    about: "the tokens that a decision attends to, weighted by their features",
    step_sql: Some(include_str!("attribution.sql")),
    all_sql: Some(include_str!("attribution-all.sql")),
    more_sql: &[("published", include_str!("attribution-published.sql"))],
};

/// How many rows are returned unless said otherwise; `attribution.sql` says the same.
pub const LIMIT: u32 = 10;

/// What the published formula adds to its divisor.
const PUBLISHED_EPSILON: f64 = 1e-10;

/// Whether the published formula is shown beside ours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AsPublished {
    /// It is not.
    #[default]
    No,
    /// It is: columns `published_importance` and `published_rank`, over all positions up to the decision,
    /// special ones too. Its first token is always among the rows; if it is not ranked by us, its rank
    /// and importance are missing.
    Yes,
}

/// The question about a step, or, without the published formula, about the spans of all games.
///
/// # Errors
/// Those of [`Place::find`] for a step; a layer or span that is not there for all games, and [`QueryError::Needs`] if
/// the published formula is asked for.
pub fn ask(tables: &Tables, selection: &Selection, published: AsPublished) -> Result<Asked, QueryError> {
    tables.check_positions(QUERY.name)?;
    let Scope::Step { game, step } = selection.scope else {
        if published == AsPublished::Yes {
            return Err(QueryError::Needs {
                question: QUERY.name,
                needed: "a step for the published formula",
            });
        }
        return Ok(Asked {
            plan: attribution_spans::plan(tables, selection)?,
            sql: include_str!("attribution-all.sql"),
            variables: tables.variables().and(selection.variables()),
        });
    };
    let place = Place::find(tables, game, step, Layers::or(selection.layer, Layers::Last))?;
    Ok(Asked {
        plan: plan(tables, &place, selection, published),
        sql: match published {
            AsPublished::No => include_str!("attribution.sql"),
            AsPublished::Yes => include_str!("attribution-published.sql"),
        },
        variables: tables.variables().and(selection.variables()),
    })
}

/// The plan: game, step, layer, rank (from 1), position, token, importance, attention, `feature_norm`,
/// sorted by rank. Sums are in double precision and shown in single; equal importances go by position.
pub fn plan(tables: &Tables, place: &Place, selection: &Selection, published: AsPublished) -> LazyFrame {
    let ranked = rank_published(weighted(tables, place))
        .with_column(importance(selection.specials).cast(DataType::Float32).alias("importance"))
        .sort(["importance", "position"], descending_first())
        .with_row_index("rank", Some(1))
        .with_column(
            when(col("importance").is_not_null())
                .then(col("rank").cast(DataType::Int32))
                .otherwise(lit(NULL))
                .alias("rank"),
        );
    let mut columns = vec![
        col("game"),
        col("step"),
        col("layer"),
        col("rank"),
        col("position"),
        col("token"),
        col("importance"),
        col("attention").cast(DataType::Float32),
        col("feature_norm"),
    ];
    let among_first =
        col("rank").cast(DataType::Int64).lt_eq(lit(i64::from(selection.limit.unwrap_or(LIMIT))));
    let shown = match published {
        AsPublished::No => among_first,
        AsPublished::Yes => {
            columns.extend([col("published_importance"), col("published_rank")]);
            among_first.fill_null(lit(false)).or(col("published_rank").eq(lit(1)))
        }
    };
    ranked.filter(shown).select(columns)
}

/// The positions up to the decision with their token, feature norm and both readings of the attention.
fn weighted(tables: &Tables, place: &Place) -> LazyFrame {
    let decision = lit(place.decision_position);
    let tokens = place.in_step(tables.tokens()).select([col("position"), col("token"), col("is_special")]);
    let pattern = place.in_layer(tables.attention());
    let row = pattern.clone().filter(col("query").eq(decision.clone()));
    let column = pattern.filter(col("key").eq(decision.clone()).and(col("query").lt_eq(decision.clone())));
    let on = || [col("position")];
    place
        .in_layer(tables.positions())
        .filter(col("position").lt_eq(decision))
        .join(tokens, on(), on(), JoinArgs::new(JoinType::Inner))
        .join(mean_weight(row, "key", "attention", place), on(), on(), JoinArgs::new(JoinType::Left))
        .join(mean_weight(column, "query", "received", place), on(), on(), JoinArgs::new(JoinType::Left))
        .with_columns([col("attention").fill_null(lit(0.0)), col("received").fill_null(lit(0.0))])
}

/// The weights of each `side` of the pattern, averaged over all heads, as `name` of `position`.
fn mean_weight(weights: LazyFrame, side: &str, name: &str, place: &Place) -> LazyFrame {
    let mean = col("weight").cast(DataType::Float64).sum() / lit(f64::from(place.n_heads));
    weights.group_by([col(side).alias("position")]).agg([mean.alias(name)])
}

/// Adds the published formula: the decision's column times the norm of the features, over all positions.
fn rank_published(positions: LazyFrame) -> LazyFrame {
    let weight = col("received") * col("feature_norm").cast(DataType::Float64);
    let importance = weight.clone() / (weight.sum() + lit(PUBLISHED_EPSILON));
    positions
        .with_column(importance.cast(DataType::Float32).alias("published_importance"))
        .sort(["published_importance", "position"], descending_first())
        .with_row_index("published_rank", Some(1))
        .with_column(col("published_rank").cast(DataType::Int32))
}

/// A ranked position's share of the weight of all ranked positions; missing for one that is not ranked.
fn importance(specials: Specials) -> Expr {
    let weight = col("attention") * col("feature_norm").cast(DataType::Float64);
    let ranked = match specials {
        Specials::LeaveOut => col("is_special").not().and(col("position").gt(lit(0))),
        Specials::Include => lit(true),
    };
    let total = when(ranked.clone()).then(weight.clone()).otherwise(lit(0.0)).sum();
    let share = when(total.clone().gt(lit(0.0))).then(weight / total).otherwise(lit(0.0));
    when(ranked).then(share).otherwise(lit(NULL))
}

/// The first column from high to low, missing values last, the second from low to high.
fn descending_first() -> SortMultipleOptions {
    SortMultipleOptions::default().with_order_descending_multi([true, false]).with_nulls_last(true)
}
