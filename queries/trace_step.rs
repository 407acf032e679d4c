//! The trace of one step.

use polars::prelude::{
    DataType, Expr, JoinArgs, JoinType, LazyFrame, NULL, UnionArgs, UniqueKeepStrategy, col, concat, lit,
    when,
};

use crate::{
    FeatureName, Given, Layers, Place, QueryError, Selection, Tables, Weights, correlation, members,
    nearest::closest,
    place::{equals, filtered, integers},
    ranking::{By, first_of_each, sorted},
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
        let found = Self { tables, selection, weights, place, layer };
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
        let features = self.edges()?;
        let ends = ["from_layer", "from_feature", "to_feature"].map(col);
        // Known first, so that the files of other layers, and other features, are not read for the correlations.
        let found = run(features.clone().select(&ends).unique_generic(None, UniqueKeepStrategy::Any))?;
        let correlations = correlation::of_pairs(self.tables, self.selection.specials, self.layer, &found)?;
        let features = features.join(correlations, &ends, &ends, JoinArgs::new(JoinType::Left));
        let edges = concat(
            [
                self.outputs().select(Kind::Output.columns()),
                features.select(Kind::Feature.columns()),
                self.tokens()?,
            ],
            UnionArgs::default(),
        )?;
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
        self.candidates(None).select(PAIR.map(col)).unique_generic(None, UniqueKeepStrategy::Any)
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

    /// The tokens up to the decision: position, token, ranked.
    fn looked(&self) -> LazyFrame {
        members::tokens(self.tables, Some(&self.place), self.selection.specials).select([
            col("position"),
            col("token"),
            col("ranked"),
        ])
    }

    /// What fires where a source may be, in the layers that meet a condition: layer, position, token, feature,
    /// activation.
    fn active(&self, layers: Expr) -> LazyFrame {
        let places = self.looked().filter(col("ranked").or(self.is_decision()));
        self.place
            .in_layer(self.tables.features())
            .filter(layers)
            .select([
                col("layer"),
                col("position"),
                col("feature"),
                col("activation").cast(DataType::Float64),
            ])
            .join(places, [col("position")], [col("position")], JoinArgs::new(JoinType::Inner))
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
            col("token").alias("from_token"),
            col("feature").alias("from_feature"),
            col("activation"),
            col("importance").alias("coupling"),
            score.cast(DataType::Float32).alias("score"),
        ]);
        let keys = [By::Falling(col("score").abs()), By::Rising(col("from_feature"))];
        sorted(scored.filter(col("score").neq(lit(0.0))), keys).limit(self.limit())
    }

    /// What may have been made into the targets: every source with every target.
    fn candidates(&self, couplings: Option<&Given>) -> LazyFrame {
        let row = self
            .place
            .in_layer(self.tables.attention())
            .filter(equals("layer", self.layer).and(equals("query", self.place.decision_position)));
        let row = self.mean_weight(row, &["key"]).rename(["key"], ["position"], true);
        let attention =
            when(self.is_decision()).then(lit(1.0)).otherwise(col("attention").fill_null(lit(0.0)));
        let sources = self
            .active(col("layer").lt(lit(self.layer)))
            .join(row, [col("position")], [col("position")], JoinArgs::new(JoinType::Left))
            .select([
                col("layer").alias("from_layer"),
                col("position").alias("from_position"),
                col("token").alias("from_token"),
                col("feature").alias("from_feature"),
                attention.alias("attention"),
                col("activation"),
            ]);
        let targets = self.outputs().select(
            ["layer", "position", "token", "feature"]
                .map(|name| col(format!("from_{name}")).alias(format!("to_{name}"))),
        );
        let joined = sources.cross_join(targets, None);
        let on = PAIR.map(col);
        match couplings {
            Some(given) => joined.join(given.lazy(), &on, &on, JoinArgs::new(JoinType::Inner)),
            None => joined.with_column(lit(NULL).cast(DataType::Float64).alias("coupling")),
        }
    }

    /// The sources of each target, without their correlations.
    fn edges(&self) -> Result<LazyFrame, QueryError> {
        let score = col("attention") * col("activation") * col("coupling").fill_null(lit(1.0));
        let scored = self
            .candidates(self.weights.couplings.as_ref())
            .with_column(score.cast(DataType::Float32).alias("score"))
            .filter(col("score").neq(lit(0.0)));
        let keys = [
            By::Falling(col("score").abs()),
            By::Rising(col("from_layer")),
            By::Rising(col("from_position")),
            By::Rising(col("from_feature")),
        ];
        first_of_each(scored, &["to_feature"], keys, self.limit())
    }

    /// The tokens that each source looked at, as they are shown.
    fn tokens(&self) -> Result<LazyFrame, QueryError> {
        let ends = self
            .edges()?
            .select([
                col("from_layer").alias("to_layer"),
                col("from_position").alias("to_position"),
                col("from_token").alias("to_token"),
                col("from_feature").alias("to_feature"),
                col("activation"),
            ])
            .unique_generic(None, UniqueKeepStrategy::Any);
        let own = ends.clone().with_columns([
            col("to_position").alias("from_position"),
            col("to_token").alias("from_token"),
            lit(1.0).alias("attention"),
        ]);
        let pattern = self.place.in_layer(self.tables.attention()).filter(col("layer").lt(lit(self.layer)));
        let looks = self
            .mean_weight(pattern, &["layer", "query", "key"])
            .filter(col("key").lt(col("query")))
            .join(
                self.looked()
                    .filter(col("ranked"))
                    .select([col("position").alias("key"), col("token").alias("from_token")]),
                [col("key")],
                [col("key")],
                JoinArgs::new(JoinType::Inner),
            )
            .rename(["layer", "query", "key"], ["to_layer", "to_position", "from_position"], true);
        let on = [col("to_layer"), col("to_position")];
        let looks = ends.join(looks, &on, &on, JoinArgs::new(JoinType::Inner));
        let columns = ["to_layer", "to_position", "to_token", "to_feature", "activation"];
        let columns = [&columns[..], &["from_position", "from_token", "attention"]].concat();
        let columns = columns.into_iter().map(col).collect::<Vec<_>>();
        let score = (col("attention") * col("activation")).cast(DataType::Float32).alias("score");
        let edges = concat([own.select(&columns), looks.select(&columns)], UnionArgs::default())?
            .filter(col("attention").gt(lit(0.0)))
            .with_column(score);
        let keys = [By::Falling(col("score")), By::Rising(col("from_position"))];
        let source = ["to_layer", "to_position", "to_feature"];
        Ok(first_of_each(edges, &source, keys, TOKENS)?.select(Kind::Token.columns()))
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
