//! In which games a feature fires most.
//!
//! Positions are the ranked ones: the tokens up to the decision of every step, without special tokens and position 0
//! unless they are asked for. The lake has this of every feature and game in `feature_rollup`, which is read where it
//! counts these positions; the SQL adds up `features` itself.

use polars::prelude::{DataType, Expr, JoinArgs, JoinType, LazyFrame, SortMultipleOptions, col};

use crate::{
    Asked, FeatureName, Query, QueryError, Selection, Specials, Tables,
    layers::{self, check_feature},
    members,
    place::equals,
    ranking::{By, sorted},
    run,
};

/// The line of the menu.
pub const QUERY: Query = Query {
    name: "feature",
    about: "the games where a feature fires most, and where in them",
    step_sql: None,
    all_sql: Some(include_str!("feature-all.sql")),
    more_sql: &[],
};

/// How many games are returned unless said otherwise; `feature-all.sql` says the same.
pub const LIMIT: u32 = 20;

/// The question; of `selection` it looks at the feature, the limit and the specials.
///
/// # Errors
/// [`QueryError::Needs`] without a feature; a layer or feature that is not there; if the lake cannot be read.
pub fn ask(tables: &Tables, selection: &Selection) -> Result<Asked, QueryError> {
    tables.check_positions(QUERY.name)?;
    let needed = "a feature, such as --feature L8-59";
    let name = selection.feature.ok_or(QueryError::Needs { question: QUERY.name, needed })?;
    layers::with_features(tables, selection.one_layer()?)?;
    Ok(Asked {
        plan: plan(tables, selection, name)?,
        sql: include_str!("feature-all.sql"),
        variables: tables.variables().and(selection.variables()),
    })
}

/// The plan: game, `game_id`, layer, feature, count (ranked positions of all its steps where the feature fires), sum,
/// mean and max of its activations there, step, position and token of the largest, the first of equal ones. Sorted by
/// sum from high to low, then game. Sums are in double precision and shown in single.
fn plan(tables: &Tables, selection: &Selection, name: FeatureName) -> Result<LazyFrame, QueryError> {
    let is_rolled_up = selection.specials == Specials::LeaveOut && tables.are_rolled_up();
    let of_feature =
        |table: LazyFrame| table.filter(equals("layer", name.layer).and(equals("feature", name.feature)));
    let rolled = of_feature(tables.feature_rollup());
    if !is_rolled_up || run(rolled.clone().limit(1))?.height() == 0 {
        check_feature(&tables.features(), Some(name))?;
    }
    let sums = if is_rolled_up { rolled } else { added_up(tables, selection, of_feature(tables.features())) };
    let inner = || JoinArgs::new(JoinType::Inner);
    let place = || ["game", "step", "position"].map(col);
    let mean = col("sum").cast(DataType::Float64) / col("count").cast(DataType::Float64);
    let rows = sums
        .join(tables.games().select(["game", "game_id"].map(col)), [col("game")], [col("game")], inner())
        .with_column(mean.cast(DataType::Float32).alias("mean"));
    let first = sorted(rows, [By::Falling(col("sum")), By::Rising(col("game"))])
        .limit(selection.limit.unwrap_or(LIMIT));
    let tokens = tables.tokens().select(["game", "step", "position", "token"].map(col));
    let told = first.join(tokens, place(), place(), inner());
    let columns =
        ["game", "game_id", "layer", "feature", "count", "sum", "mean", "max", "step", "position", "token"];
    Ok(sorted(told, [By::Falling(col("sum")), By::Rising(col("game"))]).select(columns.map(col)))
}

/// What `feature_rollup` has of a feature, from its rows of `features`.
fn added_up(tables: &Tables, selection: &Selection, rows: LazyFrame) -> LazyFrame {
    let place = || ["game", "step", "position"].map(col);
    let ranked = members::tokens(tables, None, selection.specials).filter(col("ranked")).select(place());
    let options = SortMultipleOptions::default().with_order_descending_multi([true, false, false]);
    let first = |name: &str| -> Expr {
        col(name).sort_by(["activation", "step", "position"].map(col), options.clone()).first()
    };
    rows.join(ranked, place(), place(), JoinArgs::new(JoinType::Semi))
        .group_by(["game", "layer", "feature"].map(col))
        .agg([
            col("activation").count().cast(DataType::Int32).alias("count"),
            col("activation").cast(DataType::Float64).sum().cast(DataType::Float32).alias("sum"),
            col("activation").max().alias("max"),
            first("step").alias("largest step"),
            first("position").alias("largest position"),
        ])
        .rename(["largest step", "largest position"], ["step", "position"], true)
}
