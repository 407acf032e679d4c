//! What a picture of one step shows around the answers: its tokens, its spans, and where every token looks.

use polars::prelude::{
    DataType, Expr, JoinArgs, JoinType, LazyFrame, NULL, SortMultipleOptions, col, lit, when,
};

use crate::{Place, QueryError, Tables};

/// position, token, `is_special`, `is_generated`, sorted by position.
pub fn tokens(tables: &Tables, place: &Place) -> LazyFrame {
    let names = ["position", "token", "is_special", "is_generated"];
    place.in_step(tables.tokens()).select(names.map(col)).sort(["position"], SortMultipleOptions::default())
}

/// name, `position_start`, `position_end`, sorted by where they start, then by name.
pub fn spans(tables: &Tables, place: &Place) -> LazyFrame {
    let names = ["name", "position_start", "position_end"];
    place
        .in_step(tables.spans())
        .select(names.map(col))
        .sort(["position_start", "name", "position_end"], SortMultipleOptions::default())
}

/// layer, position, l0, unexplained (the reconstruction error as a share of the residual norm), attention (that of the
/// decision, mean over heads), sorted by layer and position.
pub fn positions(tables: &Tables, place: &Place) -> LazyFrame {
    let on = || [col("layer"), col("position")];
    let row = place.in_layer(tables.attention()).filter(col("query").eq(lit(place.decision_position)));
    let attention = row.group_by([col("layer"), col("key").alias("position")]).agg([mean_over_heads(place)]);
    let unexplained = when(col("residual_norm").gt(lit(0.0)))
        .then(col("reconstruction_error") / col("residual_norm"))
        .otherwise(lit(NULL));
    place
        .in_layer(tables.positions())
        .join(attention, on(), on(), JoinArgs::new(JoinType::Left))
        .select([
            col("layer"),
            col("position"),
            col("l0"),
            unexplained.cast(DataType::Float32).alias("unexplained"),
            col("weight").fill_null(lit(0.0)).cast(DataType::Float32).alias("attention"),
        ])
        .sort(["layer", "position"], SortMultipleOptions::default())
}

/// layer, query, key, weight: the `keys` heaviest keys of every position, mean over heads of the weights kept, sorted
/// by layer, query, and weight from high to low.
///
/// # Errors
/// If the plan cannot be made.
pub fn pattern(tables: &Tables, place: &Place, keys: u32) -> Result<LazyFrame, QueryError> {
    let heaviest_first =
        SortMultipleOptions::default().with_order_descending_multi([false, false, true, false]);
    let rank = col("key").cum_count(false).over([col("layer"), col("query")])?.alias("rank");
    Ok(place
        .in_layer(tables.attention())
        .group_by([col("layer"), col("query"), col("key")])
        .agg([mean_over_heads(place)])
        .sort(["layer", "query", "weight", "key"], heaviest_first.clone())
        .with_column(rank)
        .filter(col("rank").cast(DataType::Int64).lt_eq(lit(i64::from(keys))))
        .select([col("layer"), col("query"), col("key"), col("weight").cast(DataType::Float32)])
        .sort(["layer", "query", "weight", "key"], heaviest_first))
}

/// feature, activation: the `limit` strongest features of the decision position at the layer of `place`, sorted by
/// activation from high to low, equal ones by feature.
pub fn at_decision(tables: &Tables, place: &Place, limit: u32) -> LazyFrame {
    let strongest_first = SortMultipleOptions::default().with_order_descending_multi([true, false]);
    place
        .in_layer(tables.features())
        .filter(col("position").eq(lit(place.decision_position)))
        .select([col("feature"), col("activation")])
        .sort(["activation", "feature"], strongest_first)
        .limit(limit)
}

/// The mean over all heads of the weights of a group; a head whose weight was not kept counts as 0.
fn mean_over_heads(place: &Place) -> Expr {
    (col("weight").cast(DataType::Float64).sum() / lit(f64::from(place.n_heads))).alias("weight")
}
