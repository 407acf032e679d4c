//! Which features differ between two groups of steps: bets and stops, bankruptcies and voluntary stops, or any two
//! values of a text column of `games`.
//!
//! What a feature does in a step is its highest activation among the tokens of a span, 0 if it does not fire there.
//! Its mean over the steps of one group is compared with its mean over those of the other. The steps of a game are
//! not independent of each other, and most features are silent most of the time; [`crate::statistics`] says how a
//! p-value is had in spite of both.
//!
//! A contrast says what goes together with a group, not what brings it about. Bets and stops differ in more than the
//! decision: stops come late in a game, after other balances and longer histories.

use polars::prelude::{DataType, LazyFrame, col};

use crate::{
    Asked, Given, Query, QueryError, Scope, Selection, Tables, contrast_sums,
    layers::{self, check_feature},
    members,
    nearest::nearest,
    run,
    statistics::with_q_values,
};

/// The line of the menu.
pub const QUERY: Query = Query {
    name: "contrast",
    about: "the features that differ between two groups of steps, such as bets and stops",
    step_sql: None,
    all_sql: Some(include_str!("contrast-all.sql")),
    more_sql: &[],
};

/// How many rows are returned unless said otherwise; `contrast-all.sql` says the same.
pub const LIMIT: u32 = 50;

/// In how many games a feature must fire in a span to be tested; `contrast-all.sql` says the same.
pub const MIN_SUPPORT: u32 = 5;

/// The group by which steps are told apart unless said otherwise.
const DECISION: &str = "decision";

/// The rest of what sorts rows of equal p.
const NAMES: [&str; 3] = ["layer", "span", "feature"];

/// Two groups of steps. Steps that are in neither, such as those without a decision, are left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Groups {
    /// `decision`, or a text column of `games`.
    by: String,
    /// The value that the steps of the first group have.
    first: String,
    /// The value that the steps of the second group have.
    second: String,
}

impl Default for Groups {
    /// Bets against stops.
    fn default() -> Self {
        Self { by: DECISION.to_owned(), first: "bet".to_owned(), second: "stop".to_owned() }
    }
}

impl Groups {
    /// Steps told apart by `by`: `decision` (by default `bet` against `stop`), `outcome` (by default `bankruptcy`
    /// against `voluntary_stop`), or another text column of `games`, whose two values must be given.
    ///
    /// # Errors
    /// [`QueryError::UnknownColumn`] with the nearest names; [`QueryError::Needs`] if a value is missing, or both are
    /// the same.
    pub fn of(by: &str, first: Option<&str>, second: Option<&str>) -> Result<Self, QueryError> {
        if by != DECISION && !is_text(by) {
            let texts = schemas::games::TABLE.columns.iter().map(|column| column.name);
            let known = texts.filter(|name| is_text(name)).chain([DECISION]);
            return Err(QueryError::UnknownColumn { name: by.to_owned(), nearest: nearest(by, known) });
        }
        let (usual_first, usual_second) = match by {
            DECISION => (Some("bet"), Some("stop")),
            "outcome" => (Some("bankruptcy"), Some("voluntary_stop")),
            _ => (None, None),
        };
        match (first.or(usual_first), second.or(usual_second)) {
            (Some(first), Some(second)) if first != second => {
                Ok(Self { by: by.to_owned(), first: first.to_owned(), second: second.to_owned() })
            }
            _ => {
                let needed = "two different values of the group, the first and the second";
                Err(QueryError::Needs { question: QUERY.name, needed })
            }
        }
    }

    /// What the steps are told apart by.
    pub fn by(&self) -> &str {
        &self.by
    }

    /// The values of the first and the second group.
    pub fn values(&self) -> [&str; 2] {
        [&self.first, &self.second]
    }

    /// Whether the group is one of steps, and not of games.
    pub(crate) fn is_decision(&self) -> bool {
        self.by == DECISION
    }
}

/// The question about all games. A feature is tested in a span if it fires there in at least `min_support` games.
///
/// # Errors
/// Those of [`plan`]; [`QueryError::Needs`] if one step is asked about.
pub fn ask(
    tables: &Tables,
    selection: &Selection,
    groups: &Groups,
    min_support: u32,
) -> Result<Asked, QueryError> {
    if selection.scope != Scope::AllGames {
        return Err(QueryError::Needs { question: QUERY.name, needed: "all games" });
    }
    if selection.span.as_deref() != Some(DECISION) {
        tables.check_positions(QUERY.name)?;
    }
    let mut variables = tables.variables().and(selection.variables());
    variables
        .set("group", Some(groups.by.clone()))
        .set("first", Some(groups.first.clone()))
        .set("second", Some(groups.second.clone()))
        .set("min_support", Some(i64::from(min_support)));
    Ok(Asked {
        plan: plan(tables, selection, groups, min_support)?.limit(selection.limit.unwrap_or(LIMIT)),
        sql: include_str!("contrast-all.sql"),
        variables,
    })
}

/// The plan, without a limit: layer, span, feature, `n_first` and `n_second` (steps of each group that have the span),
/// games (that have such a step), support (of them, those in which the feature fires in the span), `mean_first`,
/// `mean_second`, difference, effect (Cohen's d), statistic (difference over its standard deviation), `p_value`,
/// `q_value` (Benjamini and Hochberg, over all rows). The last two are in double precision, since they may be as small
/// as 1e-300; the others are computed in double and shown in single. Effect, statistic, p and q are missing where
/// nothing varies. Spans that only one group has, or fewer than three games, have no rows.
///
/// Sorted by `q_value`, `p_value`, layer, span, feature.
///
/// # Errors
/// A layer, span or feature that is not there; [`QueryError::EmptyGroup`] if a group has no step; if the lake cannot
/// be read.
pub fn plan(
    tables: &Tables,
    selection: &Selection,
    groups: &Groups,
    min_support: u32,
) -> Result<LazyFrame, QueryError> {
    let layers = layers::chosen(tables, selection.one_layer()?)?;
    if let Some(span) = &selection.span {
        members::check_span(tables, None, span)?;
    }
    check_feature(&tables.features(), selection.feature)?;
    let tests = contrast_sums::plan(tables, (selection, &layers), groups, min_support)?;
    let single = |name: &str| col(name).cast(DataType::Float32);
    Ok(with_q_values(tests, &NAMES).select([
        col("layer"),
        col("span"),
        col("feature"),
        col("n_first"),
        col("n_second"),
        col("games"),
        col("support"),
        single("mean_first"),
        single("mean_second"),
        (col("mean_first") - col("mean_second")).cast(DataType::Float32).alias("difference"),
        single("effect"),
        single("statistic"),
        col("p_value"),
        col("q_value"),
    ]))
}

/// The effects as importances for [`crate::features`] and [`crate::trace`]: of each feature that was tested, the
/// effect with its sign in the span where it is largest, the first of them in the order of rows. Runs the plan.
///
/// # Errors
/// Those of [`plan`].
pub fn importance(
    tables: &Tables,
    selection: &Selection,
    groups: &Groups,
    min_support: u32,
) -> Result<Given, QueryError> {
    let rows =
        run(plan(tables, selection, groups, min_support)?.select(["layer", "feature", "effect"].map(col)))?;
    let layers = rows.column("layer")?.i32()?.iter();
    let features = rows.column("feature")?.i32()?.iter();
    let mut largest = std::collections::BTreeMap::<(i32, i32), f32>::new();
    for ((layer, feature), effect) in layers.zip(features).zip(rows.column("effect")?.f32()?.iter()) {
        if let (Some(layer), Some(feature), Some(effect)) = (layer, feature, effect) {
            let known = largest.entry((layer, feature)).or_insert(effect);
            if effect.abs() > known.abs() {
                *known = effect;
            }
        }
    }
    let rows = largest.into_iter().map(|((layer, feature), effect)| (layer, feature, effect));
    Given::of_importance(&rows.collect::<Vec<_>>())
}

/// Whether `games` has such a column, and it holds text.
fn is_text(column: &str) -> bool {
    schemas::games::TABLE.column(column).is_some_and(|column| column.ty == schemas::Type::Utf8)
}
