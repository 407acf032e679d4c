//! Which features a decision attends to.
//!
//! The score of a feature is the sum over the positions where it fires of the attention that the decision pays to
//! the position (mean over all heads, the decision's row of the pattern), times its activation there, times its
//! importance. Importance is 1 unless a table says how much each feature counts, such as the effect of
//! [`crate::contrast`] or what an intervention measured; features that are not in the table are not ranked.
//! Positions are the ranked ones of [`crate::attribution`], or the tokens of a span.
//!
//! Like attribution it is a heuristic: it ignores what the heads move, and every other path through the model.

use polars::prelude::{DataType, Expr, JoinArgs, JoinType, LazyFrame, SortMultipleOptions, col, lit};

use crate::{
    Asked, Given, Layers, Place, Query, QueryError, Scope, Selection, Tables, Weights, features_spans,
    layers::check_feature,
    members::{self, members_of},
    place::filtered,
    ranking::{By, sorted},
};

/// The line of the menu.
pub const QUERY: Query = Query {
    name: "features",
    about: "the features that a decision attends to, by attention times activation times importance",
    step_sql: Some(include_str!("features.sql")),
    all_sql: Some(include_str!("features-all.sql")),
    more_sql: &[],
};

/// How many features are returned, of a step or of each layer and span, unless said otherwise; the SQL says the same.
pub const LIMIT: u32 = 10;

/// The question about a step, or about all games. Of `weights`, only the importance is asked for.
///
/// # Errors
/// Those of [`Place::find`]; a layer, span or feature that is not there; if the lake cannot be read.
pub fn ask(tables: &Tables, selection: &Selection, weights: &Weights) -> Result<Asked, QueryError> {
    tables.check_positions(QUERY.name)?;
    let importance = weights.importance.as_ref();
    let variables = tables.variables().and(selection.variables()).and(weights.variables());
    match selection.scope {
        Scope::Step { game, step } => {
            let place = Place::find(tables, game, step, Layers::or(selection.one_layer()?, Layers::Last))?;
            Ok(Asked {
                plan: plan(tables, &place, selection, importance)?,
                sql: include_str!("features.sql"),
                variables,
            })
        }
        Scope::AllGames => Ok(Asked {
            plan: features_spans::plan(tables, selection, importance)?,
            sql: include_str!("features-all.sql"),
            variables,
        }),
    }
}

/// The plan: game, step, layer, rank (from 1), feature, score, importance, activation, position, token, attention,
/// `n_positions`. Activation, position, token and attention are those of the position that adds most to the score,
/// the first of equal ones; `n_positions` is how many positions it fires at. Sorted by rank: by the size of the score,
/// equal ones by feature. Sums are in double precision and shown in single.
///
/// # Errors
/// [`QueryError::UnknownSpan`] and [`QueryError::UnknownFeature`] if there is no such thing.
pub fn plan(
    tables: &Tables,
    place: &Place,
    selection: &Selection,
    importance: Option<&Given>,
) -> Result<LazyFrame, QueryError> {
    let rows = place.in_layer(tables.features());
    check_feature(&rows, selection.feature)?;
    let rows = filtered(rows, "feature", selection.feature.map(|name| name.feature));
    let on = || [col("position")];
    let cells = with_importance(rows, importance)
        .join(positions(tables, place, selection)?, on(), on(), JoinArgs::new(JoinType::Inner))
        .join(decision_row(tables, place), on(), on(), JoinArgs::new(JoinType::Left))
        .with_column(col("attention").fill_null(lit(0.0)))
        .with_column(
            (col("attention") * col("activation").cast(DataType::Float64) * col("importance"))
                .alias("contribution"),
        );
    let keys = [By::Falling(col("score").cast(DataType::Float32).abs()), By::Rising(col("feature"))];
    Ok(sorted(strongest(cells), keys)
        .limit(selection.limit.unwrap_or(LIMIT))
        .with_row_index("rank", Some(1))
        .select([
            col("game"),
            col("step"),
            col("layer"),
            col("rank").cast(DataType::Int32),
            col("feature"),
            col("score").cast(DataType::Float32),
            col("importance").cast(DataType::Float32),
            col("activation"),
            col("position"),
            col("token"),
            col("attention").cast(DataType::Float32),
            col("n_positions"),
        ]))
}

/// The ranked tokens, or those of the span that is asked for: position, token.
fn positions(tables: &Tables, place: &Place, selection: &Selection) -> Result<LazyFrame, QueryError> {
    let tokens = members::tokens(tables, Some(place), selection.specials);
    let Some(span) = selection.span.as_deref() else {
        return Ok(tokens.filter(col("ranked")).select([col("position"), col("token")]));
    };
    let members = members_of(tables, Some(place), selection.specials, Some(span))?;
    let on = [col("position")];
    Ok(tokens.join(members, &on, &on, JoinArgs::new(JoinType::Semi)).select([col("position"), col("token")]))
}

/// What the decision pays to each position, averaged over all heads: position, attention.
fn decision_row(tables: &Tables, place: &Place) -> LazyFrame {
    let mean = col("weight").cast(DataType::Float64).sum() / lit(f64::from(place.n_heads));
    place
        .in_layer(tables.attention())
        .filter(col("query").eq(lit(place.decision_position)))
        .group_by([col("key").alias("position")])
        .agg([mean.alias("attention")])
}

/// The rows with the importance of their feature; those of features that have none are left out.
pub(crate) fn with_importance(rows: LazyFrame, importance: Option<&Given>) -> LazyFrame {
    let on = [col("layer"), col("feature")];
    match importance {
        Some(given) => rows.join(given.lazy(), &on, &on, JoinArgs::new(JoinType::Inner)),
        None => rows.with_column(lit(1.0).alias("importance")),
    }
}

/// One row for each feature: its score, and its strongest cell.
fn strongest(cells: LazyFrame) -> LazyFrame {
    let options = SortMultipleOptions::default().with_order_descending_multi([true, false]);
    let size = col("contribution").cast(DataType::Float32).abs();
    let first =
        |name: &str| -> Expr { col(name).sort_by([size.clone(), col("position")], options.clone()).first() };
    // The others last, so that they are sorted by the positions and not by the first of them.
    cells.group_by([col("feature")]).agg([
        col("contribution").sum().alias("score"),
        col("feature").count().cast(DataType::Int64).alias("n_positions"),
        col("importance").first(),
        first("game"),
        first("step"),
        first("layer"),
        first("activation"),
        first("token"),
        first("attention"),
        first("position"),
    ])
}
