//! The trace over all games: which features of which spans go together with the features of the decisions.
//!
//! The targets are the features of one layer with the largest mean activation at the decisions, times their
//! importance; the sources the features of lower layers in named spans. What a source does in a step is its
//! highest activation among the tokens of the span, 0 if it does not fire there. The score of a pair is the
//! correlation of source and target over the steps that have the span, times their coupling.

use std::sync::Arc;

use polars::prelude::{
    DataFrame, DataType, IntoLazy as _, JoinArgs, JoinType, LazyFrame, UniqueKeepStrategy, col, df, lit,
};

use crate::{
    FeatureName, Given, QueryError, Selection, Tables, Weights,
    add_up::{Sums, add_up, features},
    members,
    nearest::closest,
    place::{filtered, integers},
    prompts::Prompts,
    ranking::{By, first_of_each, sorted},
    run,
    trace::{LIMIT, PAIR},
    trace_edges::{Choice, Edges, Firing},
    trace_sums::{Targets, at_decisions},
    walk::captured,
};

/// In how many games a source must fire in the span, unless there are no more games than that.
const SUPPORT: i64 = 5;

/// The edges: `to_layer`, `to_feature`, `from_layer`, `from_span`, `from_feature`, `n_steps` (those that have the
/// span), activation (mean over these steps), coupling, score, correlation. Each target has the sources with the
/// largest scores, among those that fire in the span in five games or more; if there are fewer games, among all.
///
/// Sorted by `to_layer`, `to_feature`, the size of the score from high to low, `from_layer`, `from_span`,
/// `from_feature`. Sums are in double precision and shown in single.
///
/// # Errors
/// [`QueryError::NoSuchLayer`], [`QueryError::UnknownFeature`] and [`QueryError::UnknownSpan`] if there is no
/// such thing; if the lake cannot be read.
pub(crate) fn plan(
    tables: &Tables,
    selection: &Selection,
    weights: &Weights,
) -> Result<LazyFrame, QueryError> {
    let ends = Ends::find(tables, selection, weights)?;
    let limit = selection.limit.unwrap_or(LIMIT);
    let edges = ends.edges(weights, limit)?;
    let order = || {
        [
            By::Falling(col("score").abs()),
            By::Rising(col("from_layer")),
            By::Rising(col("from_span")),
            By::Rising(col("from_feature")),
        ]
    };
    let best = first_of_each(edges, &["to_feature"], order(), limit)?;
    let [score, layer, span, feature] = order();
    Ok(sorted(
        best,
        [By::Rising(col("to_layer")), By::Rising(col("to_feature")), score, layer, span, feature],
    ))
}

/// The pairs whose couplings may be needed: the columns of [`PAIR`], each pair once.
///
/// # Errors
/// Those of [`plan`].
pub(crate) fn pairs(
    tables: &Tables,
    selection: &Selection,
    weights: &Weights,
) -> Result<LazyFrame, QueryError> {
    let ends = Ends::find(tables, selection, weights)?;
    let pairs = ends.sources()?.cross_join(ends.target_names()?, None);
    Ok(pairs.select(PAIR.map(col)).unique_generic(None, UniqueKeepStrategy::Any))
}

/// What may be joined.
struct Ends<'a> {
    tables: &'a Tables,
    prompts: Arc<Prompts>,
    /// The layers below that of the targets.
    lower: Vec<i32>,
    targets: Targets,
    /// The one span asked for, by its number.
    span: Option<u32>,
    /// In how many games a source must fire.
    support: i64,
}

impl<'a> Ends<'a> {
    fn find(tables: &'a Tables, selection: &'a Selection, weights: &Weights) -> Result<Self, QueryError> {
        let (layer, lower) = layers(tables, selection.one_layer()?)?;
        if let Some(span) = &selection.span {
            members::check_span(tables, None, span)?;
        }
        let prompts = Arc::new(Prompts::read(tables, selection.specials)?);
        let mut games = captured(tables, &prompts, Some(layer))?
            .into_iter()
            .map(|(step, _)| step.game)
            .collect::<Vec<_>>();
        let n_steps = games.len();
        games.sort_unstable();
        games.dedup();
        let decisions = run(at_decisions(tables, &prompts, layer)?)?;
        let targets = targets((&decisions, n_steps), selection, weights, layer)?;
        Ok(Self {
            tables,
            lower,
            targets: Targets::of(layer, targets, &decisions)?,
            span: selection.span.as_deref().and_then(|span| prompts.number(span)),
            support: if (games.len() as i64) < SUPPORT { 1 } else { SUPPORT },
            prompts,
        })
    }

    /// The targets: `to_layer`, `to_feature`.
    fn target_names(&self) -> Result<LazyFrame, QueryError> {
        let features = self.targets.features.as_slice();
        Ok(df!("to_feature" => features)?.lazy().with_column(lit(self.targets.layer).alias("to_layer")))
    }

    /// What fires where a source may be: `from_layer`, `from_feature`, each once.
    fn sources(&self) -> Result<LazyFrame, QueryError> {
        let span = self.span;
        of_lower(self.tables, &self.prompts, &self.lower, move |layer| Firing::new(layer, span))
    }

    /// The edges from every lower layer, of which the best are among them.
    fn edges(self, weights: &Weights, limit: u32) -> Result<LazyFrame, QueryError> {
        let (of_spans, _) = self.targets.sums(self.tables, &self.prompts)?;
        let couplings = weights.couplings.as_ref().map(Given::by_name).transpose()?;
        let Self { tables, prompts, lower, targets, span, support } = self;
        let choice = Arc::new(Choice { targets, of_spans, span, support, limit, couplings });
        of_lower(tables, &prompts, &lower, move |layer| Edges::new(layer, Arc::clone(&choice)))
    }
}

/// Adds up the features of all lower layers.
fn of_lower<S: Sums>(
    tables: &Tables,
    prompts: &Arc<Prompts>,
    lower: &[i32],
    new: impl Fn(i32) -> S + Send + Sync + 'static,
) -> Result<LazyFrame, QueryError> {
    let features = features(tables)?;
    add_up(prompts, lower, new, |part, layer| Ok(features(part, layer)))
}

/// The layer of the targets and those below it, ascending.
fn layers(tables: &Tables, asked: Option<i32>) -> Result<(i32, Vec<i32>), QueryError> {
    let no_higher = asked.map_or(lit(true), |layer| col("layer").lt_eq(lit(layer)));
    let mut found = integers(tables.positions().filter(no_higher), "layer")?;
    match (found.pop(), asked) {
        (Some(last), Some(layer)) if last != layer => {}
        (Some(last), _) => return Ok((last, found)),
        (None, _) => {}
    }
    match asked {
        Some(layer) => Err(QueryError::NoSuchLayer { layer, layers: integers(tables.positions(), "layer")? }),
        None => Err(QueryError::NoGames),
    }
}

/// The features with the largest scores of what fires at the decisions, the largest first.
fn targets(
    (decisions, n_steps): (&DataFrame, usize),
    selection: &Selection,
    weights: &Weights,
    layer: i32,
) -> Result<Vec<i32>, QueryError> {
    let fires = decisions.clone().lazy().with_column(lit(layer).alias("layer"));
    let means = filtered(fires, "feature", selection.feature.map(|name| name.feature))
        .group_by([col("layer"), col("feature")])
        .agg([(col("y").sum() / lit(n_steps as f64)).alias("mean")]);
    let on = [col("layer"), col("feature")];
    let scored = match &weights.importance {
        Some(given) => means.join(given.lazy(), &on, &on, JoinArgs::new(JoinType::Inner)),
        None => means.with_column(lit(1.0).alias("importance")),
    };
    let score = (col("mean") * col("importance")).cast(DataType::Float32).alias("score");
    let scored = scored.with_column(score).filter(col("score").neq(lit(0.0)));
    let found = run(sorted(scored, [By::Falling(col("score").abs()), By::Rising(col("feature"))])
        .limit(selection.limit.unwrap_or(LIMIT))
        .select([col("feature")]))?;
    let found = found.column("feature")?.i32()?.iter().flatten().collect::<Vec<_>>();
    match selection.feature {
        Some(name) if found.is_empty() => {
            let known = integers(decisions.clone().lazy(), "feature")?;
            let nearest = closest(name.feature, known).into_iter();
            let nearest = nearest.map(|feature| FeatureName { feature, ..name }).collect::<Vec<_>>();
            Err(QueryError::UnknownFeature { name, nearest })
        }
        _ => Ok(found),
    }
}
