//! The mean activation of each feature over a lake.

use std::collections::BTreeMap;

use polars::prelude::{DataType, JoinArgs, JoinType, col, lit};

use crate::{QueryError, Specials, Tables, members::tokens, place::equals, run};

/// The mean activation of each feature of a layer over the tokens up to the decisions, position 0 and special tokens
/// left out. A feature counts as 0 where the lake did not keep it; one that was kept nowhere is not among them.
///
/// # Errors
/// If the lake cannot be read.
pub fn means(tables: &Tables, layer: i32) -> Result<BTreeMap<i32, f32>, QueryError> {
    let ranked = tokens(tables, None, Specials::LeaveOut).filter(col("ranked"));
    let place = ["game", "step", "position"].map(col);
    // A step of which the layer was not captured has no rows that could count.
    let seen = tables.positions().filter(equals("layer", layer)).join(
        ranked.select(&place),
        &place,
        &place,
        JoinArgs::new(JoinType::Semi),
    );
    let positions = run(seen.clone().select([col("position").count().cast(DataType::Float64)]))?;
    let count = positions.column("position")?.f64()?.iter().next().flatten().unwrap_or(0.0);
    let sums = tables
        .features()
        .filter(equals("layer", layer))
        .join(seen.select(&place), &place, &place, JoinArgs::new(JoinType::Semi))
        .group_by([col("feature")])
        .agg([(col("activation").cast(DataType::Float64).sum() / lit(count)).alias("mean")]);
    let found = run(sums)?;
    let features = found.column("feature")?.i32()?.iter();
    let means = features.zip(found.column("mean")?.f64()?.iter());
    Ok(means.filter_map(|(feature, mean)| Some((feature?, mean? as f32))).collect::<BTreeMap<_, _>>())
}
