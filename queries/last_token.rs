//! What the last token does not show.
//!
//! To read a model's state off the last token of a prompt is common, and misses what was there before: a feature
//! may fire strongly at the token that states the balance and be silent where the decision is made. A feature is
//! strong in a step if its activation is above a threshold at a ranked token, and missed if it is then below
//! another threshold at the decision position. Ranked are the tokens up to the decision, without special tokens
//! and position 0 unless they are asked for; the decision position itself may be special.
//!
//! A feature that the lake did not keep counts as 0. Where only the strongest features of a position were kept
//! (`top_k` in `runs`), one that was dropped at the decision counts as missed.

use polars::prelude::{DataType, Expr, JoinArgs, JoinType, LazyFrame, col, lit};

use crate::{
    Asked, Layers, Place, Query, QueryError, Scope, Selection, Tables, last_token_games,
    members::tokens,
    place::filtered,
    ranking::{By, first_of_each, sorted},
};

/// The line of the menu.
pub const QUERY: Query = Query {
    name: "last-token",
    about: "the features that fire before the last token and are silent at it",
    step_sql: Some(include_str!("last-token.sql")),
    all_sql: Some(include_str!("last-token-all.sql")),
    more_sql: &[],
};

/// How many features are returned, of each layer, unless said otherwise; `last-token.sql` says the same.
pub const LIMIT: u32 = 20;

/// What counts as strong and as silent, in the dictionary's activation units.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Thresholds {
    /// A feature is strong above this activation.
    pub threshold: f64,
    /// A feature is silent below this activation.
    pub silent: f64,
}

impl Default for Thresholds {
    /// What `last-token.sql` says.
    fn default() -> Self {
        Self { threshold: 0.5, silent: 0.1 }
    }
}

impl Thresholds {
    fn check(self) -> Result<Self, QueryError> {
        let Self { threshold, silent } = self;
        let makes_sense = threshold >= 0.0 && silent > 0.0 && silent <= threshold && threshold.is_finite();
        if makes_sense { Ok(self) } else { Err(QueryError::Thresholds { threshold, silent }) }
    }
}

/// The question about a step or about all games; of `selection` it looks at the layer and one feature too.
///
/// # Errors
/// [`QueryError::Thresholds`] if they make no sense; those of [`Place::find`] for a step,
/// [`QueryError::NoSuchLayer`] for all games.
pub fn ask(tables: &Tables, selection: &Selection, thresholds: Thresholds) -> Result<Asked, QueryError> {
    tables.check_positions(QUERY.name)?;
    let thresholds = thresholds.check()?;
    let layer = selection.one_layer()?;
    let mut variables = tables.variables().and(selection.variables());
    let Thresholds { threshold, silent } = thresholds;
    variables.set("threshold", Some(threshold)).set("silent", Some(silent));
    let (plan, sql) = match selection.scope {
        Scope::Step { game, step } => {
            let place = Place::find(tables, game, step, Layers::or(layer, Layers::Last))?;
            (plan(tables, &place, selection, thresholds)?, include_str!("last-token.sql"))
        }
        Scope::AllGames => {
            (last_token_games::plan(tables, selection, thresholds)?, include_str!("last-token-all.sql"))
        }
    };
    Ok(Asked { plan, sql, variables })
}

/// The plan of a step: game, step, layer, feature, activation (the highest of the ranked tokens), position and
/// token of it (the first of equals), `n_positions` (ranked tokens where it is strong). Sorted by activation from
/// high to low, then feature.
///
/// # Errors
/// If the plan cannot be made.
pub fn plan(
    tables: &Tables,
    place: &Place,
    selection: &Selection,
    thresholds: Thresholds,
) -> Result<LazyFrame, QueryError> {
    let Thresholds { threshold, silent } = thresholds;
    let features =
        filtered(place.in_layer(tables.features()), "feature", selection.feature.map(|name| name.feature));
    let heard = features
        .clone()
        .filter(col("position").eq(lit(place.decision_position)).and(activation().gt_eq(lit(silent))))
        .select([col("feature")]);
    let places = tokens(tables, Some(place), selection.specials)
        .filter(col("ranked"))
        .select([col("position"), col("token")]);
    let strong = features
        .filter(activation().gt(lit(threshold)))
        .join(heard, [col("feature")], [col("feature")], JoinArgs::new(JoinType::Anti))
        .join(places, [col("position")], [col("position")], JoinArgs::new(JoinType::Inner))
        .with_column(
            col("position").len().over([col("feature")])?.cast(DataType::Int64).alias("n_positions"),
        );
    let highest = [By::Falling(col("activation")), By::Rising(col("position"))];
    let missed = first_of_each(strong, &["feature"], highest, 1)?;
    let order = [By::Falling(col("activation")), By::Rising(col("feature"))];
    let columns = ["game", "step", "layer", "feature", "activation", "position", "token", "n_positions"];
    Ok(sorted(missed, order).limit(selection.limit.unwrap_or(LIMIT)).select(columns.map(col)))
}

/// Activations are compared in double precision, as SQL does.
fn activation() -> Expr {
    col("activation").cast(DataType::Float64)
}
