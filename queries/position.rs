//! What the model holds at a position, and where its attention goes from there and comes from.
//!
//! The answer about a step is one long table of rows of several kinds, each at one position and layer:
//!
//! | kind | value | head | other position |
//! |---|---|---|---|
//! | `attended_by` | the weight that a token up to the decision pays to this one | yes | that token |
//! | `attends_to` | the weight that this token pays to another | yes | the other |
//! | `decision_attention` | the weight that the decision pays to this token | yes | |
//! | `feature` | activation of a feature here | | |
//! | `l0` | number of active features, kept or not | | |
//! | `reconstruction_error` | L2 norm of what the features leave unexplained | | |
//! | `residual_norm` | L2 norm of what the dictionary reads | | |
//!
//! Where a kind has one value at every position, `elsewhere_mean` and `elsewhere_max` are over the other ranked
//! tokens of the step, and for a feature `elsewhere_share` is the share of them at which it fires; a feature that does
//! not fire, or was not kept, counts as 0. Weights that were not kept have no row.

use polars::prelude::{
    DataType, JoinArgs, JoinType, LazyFrame, NULL, SortMultipleOptions, UnionArgs, col, concat, lit,
};

use crate::{
    Asked, Layers, Place, Query, QueryError, Scope, Selection, Tables,
    flow::{Heads, by_head},
    layers::{self, check_feature},
    members,
    place::{equals, integers},
    position_all, position_values,
};

/// The line of the menu.
pub const QUERY: Query = Query {
    name: "position",
    about: "what a position or a span holds that others do not, and where its attention goes and comes from",
    step_sql: Some(include_str!("position.sql")),
    all_sql: Some(include_str!("position-all.sql")),
    more_sql: &[],
};

/// How many rows of a kind are shown of a position, layer and head unless said otherwise; the SQL says the same.
pub const LIMIT: u32 = 10;

/// How many features of a layer are shown of a span of all games unless said otherwise; the SQL says the same.
pub const LIMIT_ALL: u32 = 20;

/// The question about a position or span of the step, or about a span of all steps, of `selection`.
///
/// # Errors
/// [`QueryError::Needs`] without a position or span; those of [`Place::find`]; a layer, position, span or feature that
/// is not there.
pub fn ask(tables: &Tables, selection: &Selection, heads: Heads) -> Result<Asked, QueryError> {
    tables.check_positions(QUERY.name)?;
    let mut variables = tables.variables().and(selection.variables());
    let layer = selection.one_layer()?;
    let (plan, sql) = match selection.scope {
        Scope::Step { game, step } => {
            variables.set("heads", (heads == Heads::Each).then_some(true));
            if selection.position.is_some() == selection.span.is_some() {
                let needed = "either a position or a span";
                return Err(QueryError::Needs { question: QUERY.name, needed });
            }
            layers::with_attention(tables, layer)?;
            let place = Place::find(tables, game, step, layer.map_or(Layers::Each, Layers::Captured))?;
            (plan(tables, &place, selection, heads)?, include_str!("position.sql"))
        }
        Scope::AllGames => {
            let (Some(span), None) = (&selection.span, selection.position) else {
                let needed = "a span, and no position, of all games";
                return Err(QueryError::Needs { question: QUERY.name, needed });
            };
            (position_all::plan(tables, selection, layer, span)?, include_str!("position-all.sql"))
        }
    };
    Ok(Asked { plan, sql, variables })
}

/// The plan: game, step, layer, position, token, kind, feature, `other_position`, `other_token`, head, value,
/// `elsewhere_mean`, `elsewhere_max`, `elsewhere_share`, sorted by position, layer, kind, head, value from high to low,
/// feature and `other_position`. Of a position, layer, kind and head there are the highest values only.
///
/// # Errors
/// A position, span or feature that is not there; if the lake cannot be read.
pub fn plan(
    tables: &Tables,
    place: &Place,
    selection: &Selection,
    heads: Heads,
) -> Result<LazyFrame, QueryError> {
    let here = here(tables, place, selection)?;
    let on = || [col("position")];
    let features = place.in_layer(tables.features());
    let features_here = features.join(here.clone(), on(), on(), JoinArgs::new(JoinType::Semi));
    check_feature(&features_here, selection.feature)?;
    let pattern = by_head(tables, place, heads)?;
    let ranked = members::tokens(tables, Some(place), selection.specials).filter(col("ranked"));
    let values = position_values::values(tables, place, &pattern, selection.feature)?;
    let compared = position_values::compare(&values, &here, &ranked.select(on()));
    let seen = pattern.clone().filter(col("query").lt_eq(lit(place.decision_position)));
    let attends_to = attention(pattern, &here, ("query", "key"), "attends_to");
    let attended_by = attention(seen, &here, ("key", "query"), "attended_by");
    let rows = concat([compared, attends_to, attended_by], UnionArgs::default())?;
    let limit = i64::from(selection.limit.unwrap_or(LIMIT));
    Ok(named(strongest(rows, limit)?, &here, tokens(tables, place), place))
}

/// All tokens of the step: position, token.
fn tokens(tables: &Tables, place: &Place) -> LazyFrame {
    place.in_step(tables.tokens()).select([col("position"), col("token")])
}

/// The tokens asked about: position, token.
fn here(tables: &Tables, place: &Place, selection: &Selection) -> Result<LazyFrame, QueryError> {
    let tokens = tokens(tables, place);
    let on = || [col("position")];
    if let Some(position) = selection.position {
        let known = integers(tokens.clone(), "position")?;
        if !known.contains(&position) {
            let last = known.last().copied().unwrap_or_default();
            return Err(QueryError::UnknownPosition { game: place.game, step: place.step, position, last });
        }
        return Ok(tokens.filter(equals("position", position)));
    }
    let members = members::members_of(tables, Some(place), selection.specials, selection.span.as_deref())?;
    Ok(tokens.join(members, on(), on(), JoinArgs::new(JoinType::Semi)))
}

/// The weights whose `own` side is here, with the position of the other side, in the columns of
/// [`position_values::compare`].
fn attention(
    pattern: LazyFrame,
    here: &LazyFrame,
    (own, other): (&str, &str),
    kind: &'static str,
) -> LazyFrame {
    let absent = |name: &str, ty: DataType| lit(NULL).cast(ty).alias(name);
    pattern.join(here.clone(), [col(own)], [col("position")], JoinArgs::new(JoinType::Inner)).select([
        col("layer"),
        col(own).alias("position"),
        lit(kind).alias("kind"),
        col("head"),
        absent("feature", DataType::Int32),
        col(other).alias("other_position"),
        col("weight").cast(DataType::Float32).alias("value"),
        absent("elsewhere_mean", DataType::Float32),
        absent("elsewhere_max", DataType::Float32),
        absent("elsewhere_share", DataType::Float32),
    ])
}

/// What the rows are sorted by, and which of it goes from high to low.
const ORDER: [(&str, bool); 7] = [
    ("position", false),
    ("layer", false),
    ("kind", false),
    ("head", false),
    ("value", true),
    ("feature", false),
    ("other_position", false),
];

fn sorted(rows: LazyFrame) -> LazyFrame {
    let descending = ORDER.map(|(_, descending)| descending);
    rows.sort(
        ORDER.map(|(name, _)| name),
        SortMultipleOptions::default().with_order_descending_multi(descending),
    )
}

/// The first `limit` rows of each position, layer, kind and head.
fn strongest(rows: LazyFrame, limit: i64) -> Result<LazyFrame, QueryError> {
    let rank = col("value").cum_count(false).over(["position", "layer", "kind", "head"].map(col))?;
    let rank = rank.cast(DataType::Int64).alias("rank");
    Ok(sorted(rows).with_columns([rank]).filter(col("rank").lt_eq(lit(limit))))
}

/// The rows with their step and tokens, in the order of the answer.
fn named(rows: LazyFrame, here: &LazyFrame, tokens: LazyFrame, place: &Place) -> LazyFrame {
    let others = tokens.select([col("position").alias("other_position"), col("token").alias("other_token")]);
    let on = |name: &str| [col(name)];
    let rows = rows.join(here.clone(), on("position"), on("position"), JoinArgs::new(JoinType::Inner)).join(
        others,
        on("other_position"),
        on("other_position"),
        JoinArgs::new(JoinType::Left),
    );
    sorted(rows).select([
        lit(place.game).alias("game"),
        lit(place.step).alias("step"),
        col("layer"),
        col("position"),
        col("token"),
        col("kind"),
        col("feature"),
        col("other_position"),
        col("other_token"),
        col("head"),
        col("value"),
        col("elsewhere_mean"),
        col("elsewhere_max"),
        col("elsewhere_share"),
    ])
}
