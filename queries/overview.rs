//! What a lake holds: how many games, steps and tokens, how games ended, what the dictionaries see at each layer.
//!
//! Means are over the ranked positions: up to the decision, special tokens and position 0 left out unless they are
//! asked for, since their norms are far above all others.

use polars::prelude::{
    DataType, Expr, JoinArgs, JoinType, LazyFrame, NULL, SortMultipleOptions, UnionArgs, col, concat, len,
    lit, when,
};

use crate::{
    Asked, Query, QueryError, Selection, Tables,
    members::{self, STEP},
    place::filtered,
};

/// The line of the menu.
pub const QUERY: Query = Query {
    name: "overview",
    about: "what a lake holds, and how well its dictionaries reconstruct each layer",
    step_sql: None,
    all_sql: Some(include_str!("overview-all.sql")),
    more_sql: &[],
};

/// The question about all games that the tables show.
///
/// # Errors
/// If the selection contradicts itself or the plan cannot be made.
pub fn ask(tables: &Tables, selection: &Selection) -> Result<Asked, QueryError> {
    Ok(Asked {
        plan: plan(tables, selection)?,
        sql: include_str!("overview-all.sql"),
        variables: tables.variables().and(selection.variables()),
    })
}

/// The plan: kind, layer, name, n, mean, sorted by kind, layer, name.
///
/// - `count`: `games`, `steps`, `tokens`, and `failed` steps; n says how many.
/// - `decision`: steps by decision, `none` if there was none.
/// - `outcome`: games by outcome, `none` for prompts.
/// - `layer`: n ranked positions and the mean over them of `l0`, `feature_norm`, `residual_norm`, `kept_share`, and
///   `unexplained`: the reconstruction error as a share of the residual norm, positions without a residual left out.
fn plan(tables: &Tables, selection: &Selection) -> Result<LazyFrame, QueryError> {
    let failed = tables.steps().filter(col("status").eq(lit("error")));
    let mut parts = vec![
        total(tables.games(), "games"),
        total(tables.steps(), "steps"),
        total(tables.tokens(), "tokens"),
        total(failed, "failed"),
        tally(tables.steps(), "decision"),
        tally(tables.games(), "outcome"),
    ];
    parts.extend(layers(tables, selection)?);
    Ok(concat(parts, UnionArgs::default())?.sort(["kind", "layer", "name"], SortMultipleOptions::default()))
}

/// The columns of an answer: its kind, its layer, the name of a number, how many it counts, and their mean.
fn columns(kind: &str, layer: Expr, name: Expr, mean: Expr) -> [Expr; 5] {
    [
        lit(kind.to_owned()).alias("kind"),
        layer.cast(DataType::Int32).alias("layer"),
        name.cast(DataType::String).alias("name"),
        col("n").cast(DataType::Int64),
        mean.cast(DataType::Float32).alias("mean"),
    ]
}

/// A column is counted and not the rows: polars counts the rows of several files in a type that it was built without.
fn total(table: LazyFrame, name: &str) -> LazyFrame {
    table.select([col("game").count().alias("n")]).select(columns(
        "count",
        lit(NULL),
        lit(name.to_owned()),
        lit(NULL),
    ))
}

/// How many rows have each value of `column`.
fn tally(table: LazyFrame, column: &str) -> LazyFrame {
    table
        .group_by([col(column).fill_null(lit("none")).alias("name")])
        .agg([len().alias("n")])
        .select(columns(column, lit(NULL), col("name"), lit(NULL)))
}

/// The means of each layer, a part for each name.
fn layers(tables: &Tables, selection: &Selection) -> Result<Vec<LazyFrame>, QueryError> {
    let keys = ["game", "step", "position"].map(col);
    let ranked = members::tokens(tables, None, selection.specials).filter(col("ranked")).select(&keys);
    let double = |name: &str| col(name).cast(DataType::Float64);
    let unexplained = when(col("residual_norm").gt(lit(0.0)))
        .then(double("reconstruction_error") / double("residual_norm"))
        .otherwise(lit(NULL));
    let measures = [
        double("l0").alias("l0"),
        double("feature_norm").alias("feature_norm"),
        double("residual_norm").alias("residual_norm"),
        double("kept_share").alias("kept_share"),
        unexplained.alias("unexplained"),
    ];
    let names = ["l0", "feature_norm", "residual_norm", "kept_share", "unexplained"];
    let means = names
        .iter()
        .flat_map(|name| [col(*name).mean().alias(*name), col(*name).count().alias(format!("n_{name}"))]);
    let means = filtered(tables.positions(), "layer", selection.one_layer()?)
        .join(ranked, &keys, &keys, JoinArgs::new(JoinType::Semi))
        .select([&[col("layer")], &measures[..]].concat())
        .group_by([col("layer")])
        .agg(means.collect::<Vec<_>>());
    let part = |name: &&str| {
        let own = means.clone().with_column(col(format!("n_{name}")).alias("n"));
        own.select(columns("layer", col("layer"), lit((*name).to_owned()), col(*name)))
    };
    Ok(names.iter().map(part).collect::<Vec<_>>())
}

/// Every step with what is known of it and of its game, sorted by game and step: game, `game_id`, outcome, `bet_type`,
/// step, `n_tokens`, `decision_position`, decision, bet, won, `balance_before`, `balance_after`, `p_bet`, `p_stop`, `logit_diff`,
/// status.
pub fn steps(tables: &Tables) -> LazyFrame {
    let games = tables.games().select([col("game"), col("game_id"), col("outcome"), col("bet_type")]);
    let names = [
        "game",
        "game_id",
        "outcome",
        "bet_type",
        "step",
        "n_tokens",
        "decision_position",
        "decision",
        "bet",
        "won",
        "balance_before",
        "balance_after",
        "p_bet",
        "p_stop",
        "logit_diff",
        "status",
    ];
    tables
        .steps()
        .join(games, [col("game")], [col("game")], JoinArgs::new(JoinType::Inner))
        .select(names.map(col))
        .sort(STEP, SortMultipleOptions::default())
}

/// The runs that added the games, sorted by `started_at` and run: without their settings, which are long.
pub fn runs(tables: &Tables) -> LazyFrame {
    let run = [col("run")];
    let names = [
        "run",
        "saelake_version",
        "started_at",
        "model",
        "source",
        "decide",
        "seed",
        "layers",
        "top_k",
        "attention",
        "device",
        "dtype",
        "d_model",
        "n_layers",
        "n_heads",
    ];
    tables
        .runs()
        .join(tables.games(), &run, &run, JoinArgs::new(JoinType::Semi))
        .select(names.map(col))
        .sort(["started_at", "run"], SortMultipleOptions::default())
}

/// The dictionaries, sorted by layer: without the norms of their decoders, which are long.
pub fn dictionaries(tables: &Tables) -> LazyFrame {
    let names = [
        "layer",
        "hook",
        "format",
        "source",
        "neuronpedia",
        "d_sae",
        "measured_l0",
        "measured_explained_variance",
        "verified",
    ];
    tables.dictionaries().select(names.map(col)).sort(["layer"], SortMultipleOptions::default())
}
