//! What differs between two groups of games, of one lake or of two.
//!
//! Each side is a lake with a condition on its games. A game is the same on both sides if its key is. Statistics
//! of layers and features are over ranked positions: the tokens up to the decision, without special tokens
//! and position 0 unless they are asked for. Features are compared at layers where both lakes have the same
//! dictionary, since elsewhere their numbers mean different things; [`differing`] tells the other layers.
//!
//! Nothing is tested here: `contrast` tells whether a difference is more than chance.

use std::sync::Arc;

use polars::prelude::{
    DataType, Expr, JoinArgs, JoinType, LazyFrame, NULL, UnionArgs, UniqueKeepStrategy, col, concat, lit,
    when,
};

use crate::{
    Asked, Query, QueryError, Selection, Specials, Tables,
    place::{filtered, integers},
    prompts::Prompts,
    ranking::{By, sorted},
};

/// The line of the menu.
pub const QUERY: Query = Query {
    name: "compare",
    about: "what differs between two groups of games: decisions, outcomes, layers, features",
    step_sql: None,
    all_sql: Some(include_str!("compare-all.sql")),
    more_sql: &[],
};

/// How many features of a layer are returned unless said otherwise; `compare-all.sql` says the same.
pub const LIMIT: u32 = 10;

/// One group of games.
pub(crate) struct Side<'a> {
    pub(crate) tables: &'a Tables,
    pub(crate) prompts: Arc<Prompts>,
    /// Whether `feature_rollup` says where features fire.
    pub(crate) is_rolled_up: bool,
}

/// The two groups of games, and what of them is compared.
pub(crate) struct Sides<'a> {
    pub(crate) both: [Side<'a>; 2],
    pub(crate) layer: Option<i32>,
    pub(crate) limit: u32,
}

/// The question; of `selection` it looks at the layer, the limit and the specials.
///
/// # Errors
/// [`QueryError::NoSuchLayer`] if neither side has the layer asked for; if a lake cannot be read.
pub fn ask(first: &Tables, second: &Tables, selection: &Selection) -> Result<Asked, QueryError> {
    first.check_positions(QUERY.name)?;
    second.check_positions(QUERY.name)?;
    let layer = selection.one_layer()?;
    if let Some(layer) = layer {
        let here = |tables: &Tables| integers(filtered(tables.positions(), "layer", Some(layer)), "layer");
        if here(first)?.is_empty() && here(second)?.is_empty() {
            let layers = integers(first.positions(), "layer")?;
            return Err(QueryError::NoSuchLayer { layer, layers });
        }
    }
    let mut variables = first.variables();
    for (name, value) in second.variables().iter() {
        let name = if name == "lake" { "other" } else { "against" };
        variables.set(name, Some(value.clone()));
    }
    variables
        .set("layer", layer)
        .set("limit", selection.limit.map(i64::from))
        .set("specials", (selection.specials == Specials::Include).then(|| "include".to_owned()));
    let side = |tables| {
        let prompts = Arc::new(Prompts::read(tables, selection.specials)?);
        let is_rolled_up = selection.specials == Specials::LeaveOut && tables.are_rolled_up();
        Ok::<_, QueryError>(Side { tables, prompts, is_rolled_up })
    };
    let both = [side(first)?, side(second)?];
    let sides = Sides { both, layer, limit: selection.limit.unwrap_or(LIMIT) };
    Ok(Asked { plan: sides.plan()?, sql: include_str!("compare-all.sql"), variables })
}

/// The layers that both sides have, with different dictionaries: their features are not compared.
///
/// # Errors
/// If a lake cannot be read.
pub fn differing(first: &Tables, second: &Tables) -> Result<Vec<i32>, QueryError> {
    let on = [col("layer")];
    let both = first.dictionaries().join(second.dictionaries(), &on, &on, JoinArgs::new(JoinType::Semi));
    let shared = same_dictionary(first, second);
    integers(both.join(shared, &on, &on, JoinArgs::new(JoinType::Anti)), "layer")
}

/// The layers where both lakes have the same dictionary: layer.
pub(crate) fn same_dictionary(first: &Tables, second: &Tables) -> LazyFrame {
    let keys = ["layer", "hook", "hash"].map(col);
    first
        .dictionaries()
        .join(second.dictionaries(), &keys, &keys, JoinArgs::new(JoinType::Semi))
        .select([col("layer")])
        .unique_generic(None, UniqueKeepStrategy::Any)
}

impl Sides<'_> {
    /// The plan: kind, layer, name, feature, first, second, difference (first - second), `n_first`, `n_second`
    /// (how many games, steps or positions a number is the mean over).
    ///
    /// | kind | name |
    /// |---|---|
    /// | `games` | `total`, `shared`, `only_first`, `only_second`: how many games |
    /// | `decision` | `bet_share` of decisions, mean `steps_a_game`, mean `final_balance` in dollars |
    /// | `outcome` | each outcome: its share of the games that have one |
    /// | `layer` | means over ranked positions: `l0`, `feature_norm`, `kept_share`, and `relative_error`, the reconstruction error by the residual's norm |
    /// | `feature` | none, but a feature: the share of ranked positions at which it fires |
    ///
    /// Sorted by kind as above, layer, name (games and decision as above), and features by the size of the
    /// difference from high to low, then feature. Sums are in double precision and shown in single, and differences
    /// are those of the numbers shown.
    ///
    /// # Errors
    /// If the plan cannot be made.
    fn plan(&self) -> Result<LazyFrame, QueryError> {
        let rows = concat(
            [self.games()?, self.decisions()?, self.outcomes()?, self.layers()?, self.features()?],
            UnionArgs::default(),
        )?;
        let rows = sorted(rows, ["block", "layer", "place", "name"].map(|key| By::Rising(col(key))));
        let columns = ["kind", "layer", "name", "feature", "first", "second", "difference"];
        Ok(rows.select(columns.into_iter().chain(["n_first", "n_second"]).map(col).collect::<Vec<_>>()))
    }

    /// The games of both sides, one under the other, and which side they are of.
    fn both(&self) -> Result<LazyFrame, QueryError> {
        self.side_by_side(|side| {
            Ok(side.tables.games().select(["game", "n_steps", "outcome", "final_balance"].map(col)))
        })
    }

    /// What `of` makes of each side, one under the other, with a column `side`: 1 or 2.
    pub(crate) fn side_by_side(
        &self,
        of: impl Fn(&Side<'_>) -> Result<LazyFrame, QueryError>,
    ) -> Result<LazyFrame, QueryError> {
        let sides = self
            .both
            .iter()
            .zip([1, 2])
            .map(|(side, number)| Ok::<_, QueryError>(of(side)?.with_column(lit(number).alias("side"))));
        Ok(concat(sides.collect::<Result<Vec<_>, _>>()?, UnionArgs::default())?)
    }

    fn games(&self) -> Result<LazyFrame, QueryError> {
        let [first, second] = [0, 1].map(|side| self.both[side].tables.games().select([col("game")]));
        let on = [col("game")];
        let shared = first.join(second, &on, &on, JoinArgs::new(JoinType::Semi));
        let shared = shared.select([col("game").len().cast(DataType::Float64).alias("shared")]);
        let counts = self.both()?.select(counts("game")).cross_join(shared, None);
        let n = |side: &str| col(side).cast(DataType::Float64);
        let row = |place: i32, name: &str, first: Expr, second: Expr| {
            let numbers = [
                first.alias("first"),
                second.alias("second"),
                lit(place).alias("place"),
                lit(name).alias("name"),
            ];
            counts.clone().with_columns(numbers)
        };
        let rows = [
            row(0, "total", n("n_first"), n("n_second")),
            row(1, "shared", col("shared"), col("shared")),
            row(2, "only_first", n("n_first") - col("shared"), lit(0.0)),
            row(3, "only_second", lit(0.0), n("n_second") - col("shared")),
        ];
        Ok(concat(rows, UnionArgs::default())?.select(shown(0, "games")))
    }

    fn decisions(&self) -> Result<LazyFrame, QueryError> {
        let steps = self.side_by_side(|side| Ok(side.tables.steps().select([col("decision")])))?;
        let is_bet = when(col("decision").eq(lit("bet"))).then(lit(1.0)).otherwise(lit(0.0));
        let decided = steps.filter(col("decision").eq(lit("bet")).or(col("decision").eq(lit("stop"))));
        let value = |rows: LazyFrame, place: i32, name: &str, value: Expr| {
            let number = value.cast(DataType::Float64).alias("x");
            rows.select([lit(place).alias("place"), lit(name).alias("name"), col("side"), number])
        };
        let values = [
            value(decided, 0, "bet_share", is_bet),
            value(self.both()?, 1, "steps_a_game", col("n_steps")),
            value(self.both()?, 2, "final_balance", col("final_balance")),
        ];
        let means = concat(values, UnionArgs::default())?
            .filter(col("x").is_not_null())
            .group_by([col("place"), col("name")])
            .agg(
                [of_side("x", 1).mean().alias("first"), of_side("x", 2).mean().alias("second")]
                    .into_iter()
                    .chain(counts("x"))
                    .collect::<Vec<_>>(),
            );
        Ok(means.select(shown(1, "decision")))
    }

    fn outcomes(&self) -> Result<LazyFrame, QueryError> {
        let ended = self.both()?.filter(col("outcome").is_not_null());
        let share = |count: &str, all: &str| {
            let share = col(count).cast(DataType::Float64) / col(all).cast(DataType::Float64);
            when(col(all).gt(lit(0))).then(share).otherwise(lit(NULL))
        };
        let [of_first, of_second] = counts("game");
        let shares = ended
            .clone()
            .group_by([col("outcome").alias("name")])
            .agg([of_first.alias("of_first"), of_second.alias("of_second")])
            .cross_join(ended.select(counts("game")), None)
            .with_columns([
                share("of_first", "n_first").alias("first"),
                share("of_second", "n_second").alias("second"),
                lit(0).alias("place"),
            ]);
        Ok(shares.select(shown(2, "outcome")))
    }
}

/// The values of a column on one side.
pub(crate) fn of_side(column: &str, side: i32) -> Expr {
    col(column).filter(col("side").eq(lit(side)))
}

/// How many values of a column each side has.
pub(crate) fn counts(column: &str) -> [Expr; 2] {
    [(1, "n_first"), (2, "n_second")]
        .map(|(side, name)| of_side(column, side).count().cast(DataType::Int64).alias(name))
}

/// The columns of every kind, and `block` and `place` to sort by; a column `layer`, `name` or `feature` that a kind
/// does not have is missing.
pub(crate) fn shown(block: i32, kind: &str) -> Vec<Expr> {
    let missing = |name: &str, ty: DataType| lit(NULL).cast(ty).alias(name);
    let has_layer = block >= 3;
    let is_feature = block == 4;
    let single = |name: &str| col(name).cast(DataType::Float32);
    vec![
        lit(block).alias("block"),
        col("place").cast(DataType::Int64),
        lit(kind).alias("kind"),
        if has_layer { col("layer") } else { missing("layer", DataType::Int32) },
        if is_feature { missing("name", DataType::String) } else { col("name") },
        if is_feature { col("feature") } else { missing("feature", DataType::Int32) },
        single("first"),
        single("second"),
        (single("first") - single("second")).alias("difference"),
        col("n_first"),
        col("n_second"),
    ]
}
