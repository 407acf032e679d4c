//! Which tokens count in a question, and which tokens a named span has.

use polars::prelude::{Expr, JoinArgs, JoinType, LazyFrame, UnionArgs, UniqueKeepStrategy, col, concat, lit};

use crate::{Place, QueryError, Specials, Tables, nearest::nearest, place::equals, run};

/// The name by which the decision position can be asked for like a span.
pub const DECISION: &str = "decision";

/// What names a step.
pub(crate) const STEP: [&str; 2] = ["game", "step"];

/// The steps that a question is about: game, step, `game_block`, `run`, `decision_position`, `n_heads`,
/// `decision`, `outcome`. A step without a run in the lake is a damaged lake and would be an error of [`Place`];
/// here it has no heads.
pub(crate) fn steps(tables: &Tables, place: Option<&Place>) -> LazyFrame {
    let steps = match place {
        Some(place) => place.in_step(tables.steps()),
        None => tables.steps(),
    };
    let games = tables.games().select([col("game"), col("game_block"), col("run"), col("outcome")]);
    let runs = tables.runs().select([col("run"), col("n_heads")]);
    steps
        .select([col("game"), col("step"), col("decision_position"), col("decision")])
        .join(games, [col("game")], [col("game")], JoinArgs::new(JoinType::Inner))
        .join(runs, [col("run")], [col("run")], JoinArgs::new(JoinType::Left))
}

/// The tokens up to the decision: game, step, position, token, ranked. The decision sees no later one.
/// A token is ranked if statistics count it: not a special token and not position 0, unless they are asked for.
pub(crate) fn tokens(tables: &Tables, place: Option<&Place>, specials: Specials) -> LazyFrame {
    let (tokens, steps) = match place {
        Some(place) => (place.in_step(tables.tokens()), place.in_step(tables.steps())),
        None => (tables.tokens(), tables.steps()),
    };
    let keys = STEP.map(col);
    tokens
        .select([col("game"), col("step"), col("position"), col("token"), col("is_special")])
        .join(
            steps.select([col("game"), col("step"), col("decision_position")]),
            &keys,
            &keys,
            JoinArgs::new(JoinType::Inner),
        )
        .filter(col("position").lt_eq(col("decision_position")))
        .select([
            col("game"),
            col("step"),
            col("position"),
            col("token"),
            is_ranked(specials).alias("ranked"),
        ])
}

fn is_ranked(specials: Specials) -> Expr {
    match specials {
        Specials::LeaveOut => col("is_special").not().and(col("position").gt(lit(0))),
        Specials::Include => lit(true),
    }
}

/// The tokens of every named span: game, step, span, position, each once. A span has the ranked tokens up to
/// the decision that share a byte with it; several spans of one name in a step are one. The span
/// [`DECISION`] is the decision position, special or not.
///
/// # Errors
/// If the plan cannot be made.
pub(crate) fn members(
    tables: &Tables,
    place: Option<&Place>,
    specials: Specials,
) -> Result<LazyFrame, QueryError> {
    let (spans, steps) = match place {
        Some(place) => (place.in_step(tables.spans()), place.in_step(tables.steps())),
        None => (tables.spans(), tables.steps()),
    };
    let keys = STEP.map(col);
    let columns = || [col("game"), col("step"), col("span"), col("position")];
    let named = spans
        .select([
            col("game"),
            col("step"),
            col("name").alias("span"),
            col("position_start"),
            col("position_end"),
        ])
        .join(
            tokens(tables, place, specials).filter(col("ranked")),
            &keys,
            &keys,
            JoinArgs::new(JoinType::Inner),
        )
        .filter(col("position").gt_eq(col("position_start")).and(col("position").lt(col("position_end"))))
        .select(columns());
    let decision = steps
        .with_columns([lit(DECISION).alias("span"), col("decision_position").alias("position")])
        .select(columns());
    // A lake may have a span of this name too.
    let all = concat([named, decision], UnionArgs::default())?;
    Ok(all.unique_generic(None, UniqueKeepStrategy::Any))
}

/// The members of one span, if one is asked for, and of every span otherwise.
///
/// # Errors
/// [`QueryError::UnknownSpan`] with the nearest names.
pub(crate) fn members_of(
    tables: &Tables,
    place: Option<&Place>,
    specials: Specials,
    span: Option<&str>,
) -> Result<LazyFrame, QueryError> {
    let members = members(tables, place, specials)?;
    let Some(span) = span else { return Ok(members) };
    check_span(tables, place, span)?;
    Ok(members.filter(equals("span", span.to_owned())))
}

/// Whether any step asked about has the span.
///
/// # Errors
/// [`QueryError::UnknownSpan`] with the nearest names.
pub(crate) fn check_span(tables: &Tables, place: Option<&Place>, span: &str) -> Result<(), QueryError> {
    if span == DECISION {
        return Ok(());
    }
    let spans = match place {
        Some(place) => place.in_step(tables.spans()),
        None => tables.spans(),
    };
    let names = run(spans.select([col("name")]).unique_generic(None, UniqueKeepStrategy::Any))?;
    let names = names.column("name")?.str()?.iter().flatten().map(str::to_owned).collect::<Vec<_>>();
    if names.iter().any(|name| name == span) {
        return Ok(());
    }
    let known = names.iter().map(String::as_str).chain([DECISION]);
    Err(QueryError::UnknownSpan { name: span.to_owned(), nearest: nearest(span, known) })
}
