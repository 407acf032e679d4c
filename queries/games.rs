//! The games of a lake: what there is to ask about.

use polars::prelude::{DataType, JoinArgs, JoinType, LazyFrame, SortMultipleOptions, col, lit};

use crate::{Asked, Query, Selection, Tables, place::equals};

/// The line of the menu.
pub const QUERY: Query = Query {
    name: "games",
    about: "the games, how they ended and how often they bet",
    step_sql: None,
    all_sql: Some(include_str!("games-all.sql")),
    more_sql: &[],
};

/// The question, which looks at the limit of `selection` only.
pub fn ask(tables: &Tables, selection: &Selection) -> Asked {
    let mut variables = tables.variables();
    variables.set("limit", selection.limit.map(i64::from));
    Asked { plan: plan(tables, selection.limit), sql: include_str!("games-all.sql"), variables }
}

/// The plan: game, `game_id`, `n_steps`, outcome, `final_balance` in dollars, `bet_type`, components, and bets: how
/// many of its decisions were bets. Sorted by game.
pub fn plan(tables: &Tables, limit: Option<u32>) -> LazyFrame {
    let bets = tables
        .steps()
        .filter(equals("decision", "bet"))
        .group_by([col("game")])
        .agg([col("step").len().cast(DataType::Int64).alias("bets")]);
    let games = tables
        .games()
        .join(bets, [col("game")], [col("game")], JoinArgs::new(JoinType::Left))
        .with_column(col("bets").fill_null(lit(0)))
        .sort(["game"], SortMultipleOptions::default())
        .select(
            ["game", "game_id", "n_steps", "outcome", "final_balance", "bet_type", "components", "bets"]
                .map(col),
        );
    match limit {
        Some(limit) => games.limit(limit),
        None => games,
    }
}
