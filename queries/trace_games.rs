//! The trace over all games: which features of which spans go together with the features of the decisions.
//!
//! The targets are the features of one layer with the largest mean activation at the decisions, times their
//! importance; the sources the features of lower layers in named spans. What a source does in a step is its
//! highest activation among the tokens of the span, 0 if it does not fire there. The score of a pair is the
//! correlation of source and target over the steps that have the span, times their coupling.

use std::sync::Arc;

use polars::prelude::{
    DataFrame, DataType, IntoLazy as _, JoinArgs, JoinType, LazyFrame, NULL, UnionArgs, UniqueKeepStrategy,
    col, concat, df, lit, when,
};

use crate::{
    FeatureName, QueryError, Selection, Tables, Weights,
    correlation::pearson,
    members,
    nearest::closest,
    place::{equals, filtered, integers},
    prompts::Prompts,
    ranking::{By, first_of_each, sorted},
    run,
    trace::{LIMIT, PAIR},
    trace_sums::{Targets, at_decisions, no_sources, of_sources, xy, y, yy},
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
    let edges =
        ends.sums()?.with_column(pearson().alias("correlation")).filter(col("correlation").is_not_null());
    let on = PAIR.map(col);
    let edges = match &weights.couplings {
        Some(given) => edges.join(given.lazy(), &on, &on, JoinArgs::new(JoinType::Inner)),
        None => edges.with_column(lit(NULL).cast(DataType::Float64).alias("coupling")),
    };
    let score = col("correlation") * col("coupling").fill_null(lit(1.0));
    let edges =
        edges.with_column(score.cast(DataType::Float32).alias("score")).filter(col("score").neq(lit(0.0)));
    let order = || {
        [
            By::Falling(col("score").abs()),
            By::Rising(col("from_layer")),
            By::Rising(col("from_span")),
            By::Rising(col("from_feature")),
        ]
    };
    let best = first_of_each(edges, &["to_feature"], order(), selection.limit.unwrap_or(LIMIT))?;
    let [score, layer, span, feature] = order();
    let order = [By::Rising(col("to_layer")), By::Rising(col("to_feature")), score, layer, span, feature];
    Ok(sorted(best, order).select([
        col("to_layer"),
        col("to_feature"),
        col("from_layer"),
        col("from_span"),
        col("from_feature"),
        col("n_steps"),
        (col("x") / col("n")).cast(DataType::Float32).alias("activation"),
        col("coupling").cast(DataType::Float32),
        col("score"),
        col("correlation").cast(DataType::Float32),
    ]))
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
    /// The layer of the targets.
    layer: i32,
    /// The layers below it.
    lower: Vec<i32>,
    targets: Arc<Targets>,
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
            layer,
            lower,
            targets: Arc::new(Targets::of(targets, &decisions)?),
            span: selection.span.as_deref().and_then(|span| prompts.number(span)),
            support: if (games.len() as i64) < SUPPORT { 1 } else { SUPPORT },
            prompts,
        })
    }

    /// The targets: `to_layer`, `to_feature`.
    fn target_names(&self) -> Result<LazyFrame, QueryError> {
        let features = self.targets.features.as_slice();
        Ok(df!("to_feature" => features)?.lazy().with_column(lit(self.layer).alias("to_layer")))
    }

    /// The sources of all lower layers, with `from_layer` and the sums of [`of_sources`].
    fn sources(&self) -> Result<LazyFrame, QueryError> {
        let mut sources =
            vec![no_sources(&self.prompts, &self.targets)?.with_column(lit(self.layer).alias("from_layer"))];
        for layer in &self.lower {
            let parts = of_sources(self.tables, &self.prompts, *layer, self.span, &self.targets)?;
            let sums = ["support", "x", "xx"].map(|name| col(name).sum()).into_iter();
            let products = self.targets.features.iter().map(|feature| col(xy(*feature)).sum());
            let summed = parts
                .group_by(["from_span", "from_feature"].map(col))
                .agg(sums.chain(products).collect::<Vec<_>>());
            sources.push(summed.with_column(lit(*layer).alias("from_layer")));
        }
        Ok(concat(sources, UnionArgs::default())?)
    }

    /// Every source that fires in enough games with every target: [`PAIR`], `from_span`, `n_steps`, and what
    /// [`pearson`] needs.
    fn sums(&self) -> Result<LazyFrame, QueryError> {
        let of_target = |name: fn(i32) -> String| {
            self.targets.features.iter().fold(lit(NULL).cast(DataType::Float64), |others, feature| {
                when(equals("to_feature", *feature)).then(col(name(*feature))).otherwise(others)
            })
        };
        let on = [col("from_span")];
        let of_span = self.targets.sums(self.tables, &self.prompts, self.layer)?;
        let pairs = self
            .sources()?
            .filter(col("support").gt_eq(lit(self.support)))
            .join(of_span, &on, &on, JoinArgs::new(JoinType::Inner))
            .cross_join(self.target_names()?, None);
        let columns = PAIR.into_iter().chain(["from_span", "n_steps", "x", "xx"]).map(col);
        let sums = [
            col("n_steps").cast(DataType::Float64).alias("n"),
            of_target(y).alias("y"),
            of_target(yy).alias("yy"),
            of_target(xy).alias("xy"),
        ];
        Ok(pairs.select(columns.chain(sums).collect::<Vec<_>>()))
    }
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
