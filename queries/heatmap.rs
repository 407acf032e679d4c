//! Which features come and go: those whose activation varies most, over the tokens of a step or over spans.
//!
//! A feature that fires everywhere alike says nothing about where it fires, and one that fires at one token stands
//! out. So features are chosen by the variance of their activation, a token or span where they do not fire counting
//! as 0. Features that a lake did not keep at a token count as 0 too.

use polars::prelude::{DataType, Expr, JoinArgs, JoinType, LazyFrame, SortMultipleOptions, col};

use crate::{
    Asked, Layers, Place, Query, QueryError, Scope, Selection, Tables, heatmap_all, layers::check_feature,
    members, place::filtered,
};

/// The line of the menu.
pub const QUERY: Query = Query {
    name: "heatmap",
    about: "the features that vary most over the tokens of a step, or over spans",
    step_sql: Some(include_str!("heatmap.sql")),
    all_sql: Some(include_str!("heatmap-all.sql")),
    more_sql: &[],
};

/// How many features are shown unless said otherwise; the SQL says the same.
pub const LIMIT: u32 = 50;

/// The question about the step, or all steps, of `selection`.
///
/// # Errors
/// Those of [`Place::find`]; a layer, span or feature that is not there.
pub fn ask(tables: &Tables, selection: &Selection) -> Result<Asked, QueryError> {
    tables.check_positions(QUERY.name)?;
    let variables = tables.variables().and(selection.variables());
    let layer = selection.one_layer()?;
    let (plan, sql) = match selection.scope {
        Scope::Step { game, step } => {
            let place = Place::find(tables, game, step, Layers::or(layer, Layers::Last))?;
            (plan(tables, &place, selection)?, include_str!("heatmap.sql"))
        }
        Scope::AllGames => (heatmap_all::plan(tables, selection, layer)?, include_str!("heatmap-all.sql")),
    };
    Ok(Asked { plan, sql, variables })
}

/// The plan of a step: game, step, layer, position, token, feature, activation, sorted by position and feature. The
/// features with the largest variance over the ranked tokens up to the decision, or over the tokens of the span;
/// equal ones go by their mean and their number. A token where a feature does not fire has no row.
///
/// # Errors
/// A span or feature that is not there; if the lake cannot be read.
pub fn plan(tables: &Tables, place: &Place, selection: &Selection) -> Result<LazyFrame, QueryError> {
    let places = places(tables, place, selection)?;
    let features = place.in_layer(tables.features());
    check_feature(&features, selection.feature)?;
    let on = || [col("position")];
    let cells = filtered(features, "feature", selection.feature.map(|name| name.feature)).join(
        places.clone(),
        on(),
        on(),
        JoinArgs::new(JoinType::Inner),
    );
    let moments = cells
        .clone()
        .group_by([col("feature")])
        .agg([sum(col("activation")), sum_of_squares(col("activation"))])
        .cross_join(places.select([col("position").count().alias("n")]), None);
    let feature = || [col("feature")];
    Ok(cells
        .join(varying(moments, selection), feature(), feature(), JoinArgs::new(JoinType::Semi))
        .select(["game", "step", "layer", "position", "token", "feature", "activation"].map(col))
        .sort(["position", "feature"], SortMultipleOptions::default()))
}

/// The tokens whose features are shown: position, token.
fn places(tables: &Tables, place: &Place, selection: &Selection) -> Result<LazyFrame, QueryError> {
    let tokens = members::tokens(tables, Some(place), selection.specials);
    let columns = [col("position"), col("token")];
    let Some(span) = &selection.span else {
        return Ok(tokens.filter(col("ranked")).select(columns));
    };
    let members = members::members_of(tables, Some(place), selection.specials, Some(span))?;
    let on = || [col("position")];
    Ok(tokens.join(members, on(), on(), JoinArgs::new(JoinType::Semi)).select(columns))
}

/// The sum of a column over the cells of a feature.
pub(crate) fn sum(value: Expr) -> Expr {
    value.cast(DataType::Float64).sum().alias("sum")
}

/// The sum of its squares.
pub(crate) fn sum_of_squares(value: Expr) -> Expr {
    let value = value.cast(DataType::Float64);
    (value.clone() * value).sum().alias("squares")
}

/// The features with the largest variance, from feature, sum, squares and n, the number of places.
pub(crate) fn varying(moments: LazyFrame, selection: &Selection) -> LazyFrame {
    let mean = || col("sum") / col("n").cast(DataType::Float64);
    let square = col("squares") / col("n").cast(DataType::Float64);
    moments
        .with_columns([
            (square - mean() * mean()).cast(DataType::Float32).alias("variance"),
            mean().cast(DataType::Float32).alias("mean"),
        ])
        .sort(
            ["variance", "mean", "feature"],
            SortMultipleOptions::default().with_order_descending_multi([true, true, false]),
        )
        .limit(selection.limit.unwrap_or(LIMIT))
}
