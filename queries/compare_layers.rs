//! What differs between two groups of games in the layers and in the features.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use polars::prelude::{
    AllowedOptimizations, Column, DataFrame, DataType, Expr, IntoLazy as _, JoinArgs, JoinType, LazyFrame,
    NULL, NamedFrom as _, PolarsResult, Schema, Series, UnionArgs, col, concat, df, lit, when,
};

use crate::{
    QueryError,
    compare::{Side, Sides, of_side, same_dictionary, shown},
    place::{equals, filtered},
    prompts::{self, Prompts, floats, ints},
    ranking::{By, first_of_each},
    tally::Tally,
    walk::{Rows, walk},
};

/// What is told of a layer, in the order in which it is shown.
const NAMES: [&str; 4] = ["feature_norm", "kept_share", "l0", "relative_error"];

impl Sides<'_> {
    /// The rows of kind `layer`.
    pub(crate) fn layers(&self) -> Result<LazyFrame, QueryError> {
        let means = self.side_by_side(|side| self.means(side))?.group_by([col("layer")]).agg(
            NAMES
                .into_iter()
                .flat_map(|name| [1, 2].map(|side| (name, side)))
                .flat_map(|(name, side)| {
                    let count = format!("{name} count");
                    [
                        of_side(name, side).max().alias(format!("{name} {side}")),
                        of_side(&count, side).sum().alias(format!("{count} {side}")),
                    ]
                })
                .collect::<Vec<_>>(),
        );
        let names = DataFrame::new(NAMES.len(), vec![Series::new("name".into(), NAMES).into()])?;
        let of_name = |column: &dyn Fn(&str) -> String, ty: DataType| {
            NAMES.into_iter().fold(lit(NULL).cast(ty), |others, name| {
                when(col("name").eq(lit(name))).then(col(column(name))).otherwise(others)
            })
        };
        let rows = means.cross_join(names.lazy(), None).with_columns([
            lit(0).alias("place"),
            of_name(&|name| format!("{name} 1"), DataType::Float64).alias("first"),
            of_name(&|name| format!("{name} 2"), DataType::Float64).alias("second"),
            of_name(&|name| format!("{name} count 1"), DataType::Int64).alias("n_first"),
            of_name(&|name| format!("{name} count 2"), DataType::Int64).alias("n_second"),
        ]);
        Ok(rows.select(shown(3, "layer")))
    }

    /// The means of a side over its ranked positions: layer, and for each of [`NAMES`] the mean and how many
    /// positions have it.
    fn means(&self, side: &Side<'_>) -> Result<LazyFrame, QueryError> {
        let schema = Arc::clone(Measures::default().rows()?.schema());
        let columns =
            &["position", "l0", "feature_norm", "residual_norm", "reconstruction_error", "kept_share"];
        let table = (&schemas::positions::TABLE, &columns[..]);
        let fold = |_: &Prompts, rows: &Rows<'_>| Measures::of(rows)?.rows();
        let sums = walk(side.tables, table, self.layer, &side.prompts, (schema, fold))?;
        let each = NAMES.map(|name| col(name).sum()).into_iter();
        let counts = NAMES.map(|name| col(format!("{name} count")).sum());
        let mean = |name| col(name) / col(format!("{name} count")).cast(DataType::Float64);
        Ok(sums
            .group_by([col("layer")])
            .agg(each.chain(counts).collect::<Vec<_>>())
            .with_columns(NAMES.map(mean)))
    }

    /// The rows of kind `feature`.
    pub(crate) fn features(&self) -> Result<LazyFrame, QueryError> {
        let [first, second] = [0, 1].map(|side| self.both[side].tables);
        let layer = || [col("layer")];
        let positions = self
            .side_by_side(|side| Ok(self.means(side)?.select([col("layer"), col("l0 count").alias("n")])))?
            .group_by(layer())
            .agg(sums())
            .rename(["of_first", "of_second"], ["n_first", "n_second"], true)
            .filter(col("n_first").gt(lit(0)).and(col("n_second").gt(lit(0))))
            .join(same_dictionary(first, second), layer(), layer(), JoinArgs::new(JoinType::Semi));
        let share = |of: &str, all: &str| col(of).cast(DataType::Float64) / col(all).cast(DataType::Float64);
        let shares = self
            .side_by_side(|side| self.fires(side))?
            .group_by([col("layer"), col("feature")])
            .agg(sums())
            .join(positions, layer(), layer(), JoinArgs::new(JoinType::Inner))
            .with_columns([
                share("of_first", "n_first").alias("first"),
                share("of_second", "n_second").alias("second"),
                lit(0).alias("place"),
            ])
            .select(shown(4, "feature"));
        let keys = [By::Falling(col("difference").abs()), By::Rising(col("feature"))];
        let best = first_of_each(shares, &["layer"], keys, self.limit)?;
        let place = col("feature").cum_count(false).over(layer())?;
        Ok(best.with_column(place.cast(DataType::Int64).alias("place")))
    }

    /// At how many ranked positions of a side each feature fires: layer, feature, n, in as many rows as it comes in.
    fn fires(&self, side: &Side<'_>) -> Result<LazyFrame, QueryError> {
        if side.is_rolled_up {
            return self.rolled_up(side);
        }
        let schema = Arc::clone(Fires::default().rows()?.schema());
        let table = (&schemas::features::TABLE, &["position", "feature"][..]);
        let fold = |_: &Prompts, rows: &Rows<'_>| Fires::of(rows)?.rows();
        walk(side.tables, table, self.layer, &side.prompts, (schema, fold))
    }

    /// The same from `feature_rollup`, block by block.
    fn rolled_up(&self, side: &Side<'_>) -> Result<LazyFrame, QueryError> {
        let schema = Arc::clone(Fires::default().rows()?.schema());
        let blocks = side.prompts.steps().iter().map(|prompt| prompt.game_block).collect::<BTreeSet<_>>();
        let mut plans = vec![DataFrame::empty_with_schema(&schema).lazy()];
        for block in blocks {
            let rows = side.tables.feature_rollup().filter(equals("game_block", block));
            let rows = filtered(rows, "layer", self.layer).select(["layer", "feature", "count"].map(col));
            let schema = Arc::clone(&schema);
            let schema = Arc::new(move |_: &Schema| Ok(Arc::clone(&schema)));
            let function = |frame: DataFrame| Fires::of_rollup(&prompts::rows(frame))?.rows();
            plans.push(rows.map(function, AllowedOptimizations::empty(), Some(schema), Some("by feature")));
        }
        Ok(concat(plans, UnionArgs::default())?)
    }
}

/// The sums of `n` on each side.
fn sums() -> [Expr; 2] {
    [of_side("n", 1).sum().alias("of_first"), of_side("n", 2).sum().alias("of_second")]
}

/// Sums over ranked positions by layer, in the order of [`NAMES`], and how many positions have a number.
#[derive(Default)]
struct Measures(BTreeMap<i32, [(f64, i64); NAMES.len()]>);

impl Measures {
    fn of(rows: &Rows<'_>) -> PolarsResult<Self> {
        let (positions, l0) = (ints(rows.frame, "position")?, ints(rows.frame, "l0")?);
        let [norm, kept, residual, error] =
            ["feature_norm", "kept_share", "residual_norm", "reconstruction_error"]
                .map(|name| floats(rows.frame, name));
        let (norm, kept, residual, error) = (norm?, kept?, residual?, error?);
        let mut sums = BTreeMap::<_, [(f64, i64); NAMES.len()]>::new();
        for (prompt, layers) in rows.by_step() {
            for layer in &layers {
                let sums = sums.entry(layer.layer).or_default();
                for row in layer.rows().filter(|row| prompt.is_ranked(positions[*row])) {
                    let relative =
                        (residual[row] > 0.0).then(|| f64::from(error[row]) / f64::from(residual[row]));
                    let numbers = [
                        Some(f64::from(norm[row])),
                        Some(f64::from(kept[row])),
                        Some(f64::from(l0[row])),
                        relative,
                    ];
                    for ((sum, count), number) in sums.iter_mut().zip(numbers) {
                        (*sum, *count) =
                            (*sum + number.unwrap_or_default(), *count + i64::from(number.is_some()));
                    }
                }
            }
        }
        Ok(Self(sums))
    }

    fn rows(self) -> PolarsResult<DataFrame> {
        let mut frame = df!("layer" => self.0.keys().copied().collect::<Vec<_>>())?;
        for (index, name) in NAMES.into_iter().enumerate() {
            let sums = self.0.values().map(|sums| sums[index].0).collect::<Vec<_>>();
            let counts = self.0.values().map(|sums| sums[index].1).collect::<Vec<_>>();
            frame.with_column(Column::new(name.into(), sums))?;
            frame.with_column(Column::new(format!("{name} count").into(), counts))?;
        }
        Ok(frame)
    }
}

/// At how many ranked positions each feature fires, by layer.
#[derive(Default)]
struct Fires(BTreeMap<i32, Tally<i64>>);

impl Fires {
    fn of(rows: &Rows<'_>) -> PolarsResult<Self> {
        let (positions, features) = (ints(rows.frame, "position")?, ints(rows.frame, "feature")?);
        let mut fires = BTreeMap::<i32, Tally<i64>>::new();
        for (prompt, layers) in rows.by_step() {
            for layer in &layers {
                let counts = fires.entry(layer.layer).or_default();
                for row in layer.rows().filter(|row| prompt.is_ranked(positions[*row])) {
                    *counts.of(features[row]) += 1;
                }
            }
        }
        Ok(Self(fires))
    }

    fn of_rollup(frame: &DataFrame) -> PolarsResult<Self> {
        let (features, counts) = (ints(frame, "feature")?, ints(frame, "count")?);
        let mut fires = BTreeMap::<i32, Tally<i64>>::new();
        let mut start = 0;
        for of_layer in ints(frame, "layer")?.chunk_by(|one, next| one == next) {
            let end = start + of_layer.len();
            let sums = fires.entry(of_layer[0]).or_default();
            for (feature, count) in features[start..end].iter().zip(&counts[start..end]) {
                *sums.of(*feature) += i64::from(*count);
            }
            start = end;
        }
        Ok(Self(fires))
    }

    fn rows(mut self) -> PolarsResult<DataFrame> {
        let counts = self
            .0
            .iter_mut()
            .flat_map(|(layer, counts)| counts.take().map(|(feature, count)| (*layer, feature, count)));
        let mut counts = counts.filter(|(_, _, count)| *count > 0).collect::<Vec<_>>();
        counts.sort_unstable();
        df!(
            "layer" => counts.iter().map(|(layer, _, _)| *layer).collect::<Vec<_>>(),
            "feature" => counts.iter().map(|(_, feature, _)| *feature).collect::<Vec<_>>(),
            "n" => counts.iter().map(|(_, _, count)| *count).collect::<Vec<_>>(),
        )
    }
}
