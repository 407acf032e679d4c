//! The trace of one step.

use std::sync::Arc;

use polars::prelude::{
    Column, DataFrame, DataType, Expr, IdxCa, IdxSize, IntoLazy as _, JoinArgs, JoinType, LazyFrame, NULL,
    PlHashMap, PolarsResult, UnionArgs, UniqueKeepStrategy, col, concat, lit, when,
};

use crate::{
    FeatureName, Given, Layers, Place, QueryError, Selection, Tables, Weights, correlation, members,
    nearest::closest,
    place::{equals, filtered, integers},
    prompts::{Prompts, ints, rows},
    ranking::{By, first_of_each, keep_first, sorted},
    run,
    trace::{LIMIT, PAIR},
    trace_columns::{COLUMNS, Kind},
};

/// How many tokens a source has.
const TOKENS: u32 = 3;

/// A step that is traced.
pub(crate) struct Step<'a> {
    tables: &'a Tables,
    selection: &'a Selection,
    weights: &'a Weights,
    /// The step, at every layer.
    place: Place,
    /// The layer of the targets.
    layer: i32,
    /// The tokens up to the decision: position, token, ranked.
    looked: DataFrame,
}

impl<'a> Step<'a> {
    /// Finds the step and the layer of its targets.
    ///
    /// # Errors
    /// Those of [`Place::find`]; [`QueryError::UnknownFeature`] if the one target asked for is not active at
    /// the decision.
    pub(crate) fn find(
        tables: &'a Tables,
        (game, step): (Option<i64>, Option<i32>),
        selection: &'a Selection,
        weights: &'a Weights,
    ) -> Result<Self, QueryError> {
        let top = Place::find(tables, game, step, Layers::or(selection.one_layer()?, Layers::Last))?;
        let place = Place { layer: None, ..top };
        let layer = top.layer.ok_or(QueryError::NoFeatures { game: top.game, step: top.step })?;
        let looked = members::tokens(tables, Some(&place), selection.specials);
        let looked = run(looked.select(["position", "token", "ranked"].map(col)))?;
        let found = Self { tables, selection, weights, place, layer, looked };
        found.check_feature()?;
        Ok(found)
    }

    /// The edges of a step: game, step, kind, `from_layer`, `from_position`, `from_token`, `from_feature`, `to_layer`,
    /// `to_position`, `to_token`, `to_feature`, attention, activation (of the source, of the target in an edge to
    /// the output, of the feature in an edge from a token), coupling (the importance in an edge to the output),
    /// score, correlation; what has no meaning for a kind is missing. Edges of score 0 are left out.
    ///
    /// Sorted by kind (`output`, `feature`, `token`), `to_layer`, `to_position`, `to_feature`, the size of the score
    /// from high to low, `from_layer`, `from_position`, `from_feature`. Sums are in double precision and shown in
    /// single.
    ///
    /// # Errors
    /// Those of [`ask`].
    pub(crate) fn plan(&self) -> Result<LazyFrame, QueryError> {
        // Known first, since both are needed more than once, and only the features among them are read elsewhere.
        let outputs = run(self.outputs())?;
        let found = self.edges(&outputs)?;
        let block = Prompts::of_block(self.tables, self.selection.specials, self.place.game_block)?;
        let correlations = correlation::of_pairs(self.tables, &Arc::new(block), self.layer, &found)?;
        let ends = ["from_layer", "from_feature", "to_feature"].map(col);
        let tokens = self.tokens(&found)?;
        let features = found.lazy().join(correlations, &ends, &ends, JoinArgs::new(JoinType::Left));
        let kinds = [
            outputs.lazy().select(Kind::Output.columns()),
            features.select(Kind::Feature.columns()),
            tokens.select(Kind::Token.columns()),
        ];
        let edges = ["from", "to"].into_iter().fold(concat(kinds, UnionArgs::default())?, |edges, end| {
            let on = [col(format!("{end}_position"))];
            let token = col("token").alias(format!("{end}_token"));
            let tokens = self.looked().select([col("position").alias(format!("{end}_position")), token]);
            edges.join(tokens, &on, &on, JoinArgs::new(JoinType::Left))
        });
        let place = [lit(self.place.game).alias("game"), lit(self.place.step).alias("step"), col("kind")];
        let columns = place.into_iter().chain(COLUMNS.map(|column| col(column.0))).collect::<Vec<_>>();
        let keys = [
            By::Rising(col("place")),
            By::Rising(col("to_layer")),
            By::Rising(col("to_position")),
            By::Rising(col("to_feature")),
            By::Falling(col("score").abs()),
            By::Rising(col("from_layer")),
            By::Rising(col("from_position")),
            By::Rising(col("from_feature")),
        ];
        Ok(sorted(edges, keys).select(columns))
    }

    /// What the couplings of may be needed: the columns of [`PAIR`], each pair once.
    pub(crate) fn pairs(&self) -> LazyFrame {
        let sources = self.sources().select(["from_layer", "from_feature"].map(col));
        let targets = self
            .outputs()
            .select([col("from_layer").alias("to_layer"), col("from_feature").alias("to_feature")]);
        let sources = sources.unique_generic(None, UniqueKeepStrategy::Any);
        sources.cross_join(targets, None).select(PAIR.map(col))
    }

    fn check_feature(&self) -> Result<(), QueryError> {
        let Some(name) = self.selection.feature else { return Ok(()) };
        let at_decision = self.active(equals("layer", self.layer)).filter(self.is_decision());
        let known = integers(at_decision, "feature")?;
        if known.contains(&name.feature) {
            return Ok(());
        }
        let nearest = closest(name.feature, known).into_iter();
        let nearest = nearest.map(|feature| FeatureName { feature, ..name }).collect::<Vec<_>>();
        Err(QueryError::UnknownFeature { name, nearest })
    }

    fn is_decision(&self) -> Expr {
        col("position").eq(lit(self.place.decision_position))
    }

    fn looked(&self) -> LazyFrame {
        self.looked.clone().lazy()
    }

    /// What fires where a source may be, in the layers that meet a condition: layer, position, feature, activation.
    fn active(&self, layers: Expr) -> LazyFrame {
        let places = self.looked().filter(col("ranked").or(self.is_decision())).select([col("position")]);
        self.place
            .in_layer(self.tables.features())
            .filter(layers)
            .select([
                col("layer"),
                col("position"),
                col("feature"),
                col("activation").cast(DataType::Float64),
            ])
            .join(places, [col("position")], [col("position")], JoinArgs::new(JoinType::Semi))
    }

    /// The targets as edges to the output.
    fn outputs(&self) -> LazyFrame {
        let active = self.active(equals("layer", self.layer)).filter(self.is_decision());
        let active = filtered(active, "feature", self.selection.feature.map(|name| name.feature));
        let on = || [col("layer"), col("feature")];
        let active = match &self.weights.importance {
            Some(given) => active.join(given.lazy(), on(), on(), JoinArgs::new(JoinType::Inner)),
            None => active.with_column(lit(NULL).cast(DataType::Float64).alias("importance")),
        };
        let score = col("activation") * col("importance").fill_null(lit(1.0));
        let scored = active.select([
            col("layer").alias("from_layer"),
            col("position").alias("from_position"),
            col("feature").alias("from_feature"),
            col("activation"),
            col("importance").alias("coupling"),
            score.cast(DataType::Float32).alias("score"),
        ]);
        let keys = [By::Falling(col("score").abs()), By::Rising(col("from_feature"))];
        sorted(scored.filter(col("score").neq(lit(0.0))), keys).limit(self.limit())
    }

    /// What may have been made into the targets: `from_layer`, `from_position`, `from_feature`, attention, activation.
    fn sources(&self) -> LazyFrame {
        let row = self
            .place
            .in_layer(self.tables.attention())
            .filter(equals("layer", self.layer).and(equals("query", self.place.decision_position)));
        let row = self.mean_weight(row, &["key"]).rename(["key"], ["position"], true);
        let attention =
            when(self.is_decision()).then(lit(1.0)).otherwise(col("attention").fill_null(lit(0.0)));
        self.active(col("layer").lt(lit(self.layer)))
            .join(row, [col("position")], [col("position")], JoinArgs::new(JoinType::Left))
            .select([
                col("layer").alias("from_layer"),
                col("position").alias("from_position"),
                col("feature").alias("from_feature"),
                attention.alias("attention"),
                col("activation"),
            ])
    }

    /// The sources of each target, without their correlations: the columns of [`Self::sources`], `to_layer`,
    /// `to_position`, `to_feature`, coupling, score.
    fn edges(&self, outputs: &DataFrame) -> Result<DataFrame, QueryError> {
        let sources = rows(run(self.sources())?);
        let couplings = self.weights.couplings.as_ref().map(Given::by_name).transpose()?;
        let targets = outputs.column("from_feature")?.i32()?.iter().flatten();
        let (mut edges, mut to) = (Edges::default(), Vec::new());
        for target in targets {
            let end = [self.layer, target];
            edges.add(&best_edges(&sources, end, couplings.as_ref(), self.limit())?);
            to.resize(edges.rows.len(), target);
        }
        let mut found = sources.take(&IdxCa::from_vec("row".into(), edges.rows))?;
        found.with_column(Column::new("to_layer".into(), vec![self.layer; to.len()]))?;
        found.with_column(Column::new("to_position".into(), vec![self.place.decision_position; to.len()]))?;
        found.with_column(Column::new("to_feature".into(), to))?;
        found.with_column(Column::new("coupling".into(), edges.couplings))?;
        found.with_column(Column::new("score".into(), edges.scores))?;
        Ok(found)
    }

    /// The tokens that each source of `edges` looked at.
    fn tokens(&self, edges: &DataFrame) -> Result<LazyFrame, QueryError> {
        let ends = edges
            .clone()
            .lazy()
            .select([
                col("from_layer").alias("to_layer"),
                col("from_position").alias("to_position"),
                col("from_feature").alias("to_feature"),
                col("activation"),
            ])
            .unique_generic(None, UniqueKeepStrategy::Any);
        let own = ends
            .clone()
            .with_columns([col("to_position").alias("from_position"), lit(1.0).alias("attention")]);
        let pattern = self.place.in_layer(self.tables.attention()).filter(col("layer").lt(lit(self.layer)));
        let looks = self
            .mean_weight(pattern, &["layer", "query", "key"])
            .filter(col("key").lt(col("query")))
            .join(
                self.looked().filter(col("ranked")).select([col("position").alias("key")]),
                [col("key")],
                [col("key")],
                JoinArgs::new(JoinType::Semi),
            )
            .rename(["layer", "query", "key"], ["to_layer", "to_position", "from_position"], true);
        let on = [col("to_layer"), col("to_position")];
        let looks = ends.join(looks, &on, &on, JoinArgs::new(JoinType::Inner));
        let columns =
            ["to_layer", "to_position", "to_feature", "activation", "from_position", "attention"].map(col);
        let score = (col("attention") * col("activation")).cast(DataType::Float32).alias("score");
        let edges = concat([own.select(&columns), looks.select(&columns)], UnionArgs::default())?
            .filter(col("attention").gt(lit(0.0)))
            .with_column(score);
        let keys = [By::Falling(col("score")), By::Rising(col("from_position"))];
        let source = ["to_layer", "to_position", "to_feature"];
        first_of_each(edges, &source, keys, TOKENS)
    }

    /// Weights of the pattern, averaged over all heads, as `attention` of each of `ends`.
    fn mean_weight(&self, weights: LazyFrame, ends: &[&str]) -> LazyFrame {
        let mean = col("weight").cast(DataType::Float64).sum() / lit(f64::from(self.place.n_heads));
        weights.group_by(ends.iter().map(|end| col(*end)).collect::<Vec<_>>()).agg([mean.alias("attention")])
    }

    fn limit(&self) -> u32 {
        self.selection.limit.unwrap_or(LIMIT)
    }
}

/// Edges into targets.
#[derive(Default)]
struct Edges {
    /// Where their sources are.
    rows: Vec<IdxSize>,
    couplings: Vec<Option<f64>>,
    scores: Vec<f32>,
}

/// An edge into a target: where its source is, coupling and score.
type Edge = (IdxSize, Option<f64>, f32);

impl Edges {
    fn add(&mut self, edges: &[Edge]) {
        self.rows.extend(edges.iter().map(|edge| edge.0));
        self.couplings.extend(edges.iter().map(|edge| edge.1));
        self.scores.extend(edges.iter().map(|edge| edge.2));
    }
}

/// The edges with the largest scores from the rows of [`Step::sources`] into a feature of a layer.
fn best_edges(
    sources: &DataFrame,
    [to_layer, to_feature]: [i32; 2],
    couplings: Option<&PlHashMap<[i32; 4], f64>>,
    limit: u32,
) -> PolarsResult<Vec<Edge>> {
    let (layers, positions) = (ints(sources, "from_layer")?, ints(sources, "from_position")?);
    let features = ints(sources, "from_feature")?;
    let attention = sources.column("attention")?.f64()?.cont_slice()?;
    let activations = sources.column("activation")?.f64()?.cont_slice()?;
    let edge = |row: usize| {
        let pair = [layers[row], features[row], to_layer, to_feature];
        let coupling = match couplings {
            Some(given) => Some(*given.get(&pair)?),
            None => None,
        };
        let score = (attention[row] * activations[row] * coupling.unwrap_or(1.0)) as f32;
        (score != 0.0).then_some((row as IdxSize, coupling, score))
    };
    let mut edges = (0..sources.height()).filter_map(edge).collect::<Vec<_>>();
    let place =
        |edge: &Edge| (layers[edge.0 as usize], positions[edge.0 as usize], features[edge.0 as usize]);
    keep_first(&mut edges, limit, |one, other| {
        other.2.abs().total_cmp(&one.2.abs()).then_with(|| place(one).cmp(&place(other)))
    });
    Ok(edges)
}
