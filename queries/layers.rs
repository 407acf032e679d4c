//! The layers of a lake, and the features that fire in them, for questions over all games.

use std::collections::BTreeSet;

use polars::prelude::{LazyFrame, col};

use crate::{
    FeatureName, QueryError, Tables,
    nearest::closest,
    place::{equals, integers},
    run,
};

/// The layers with a dictionary, ascending.
///
/// # Errors
/// [`QueryError::NoSuchLayer`] if `asked` is none of them.
pub(crate) fn with_features(tables: &Tables, asked: Option<i32>) -> Result<Vec<i32>, QueryError> {
    check(asked, integers(tables.dictionaries(), "layer")?)
}

/// The layers with attention, ascending.
///
/// # Errors
/// [`QueryError::NoSuchLayer`] if `asked` is none of them.
pub(crate) fn with_attention(tables: &Tables, asked: Option<i32>) -> Result<Vec<i32>, QueryError> {
    let runs = run(tables.runs().select([col("layers")]))?;
    let lists = runs.column("layers")?.str()?.iter().flatten();
    let layers = lists.flat_map(|list| list.split(',').filter_map(|layer| layer.trim().parse::<i32>().ok()));
    check(asked, layers.collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>())
}

/// The one layer with a dictionary that is asked about, or all, ascending.
///
/// # Errors
/// Those of [`with_features`].
pub(crate) fn chosen(tables: &Tables, asked: Option<i32>) -> Result<Vec<i32>, QueryError> {
    let layers = with_features(tables, asked)?;
    Ok(asked.map_or(layers, |layer| vec![layer]))
}

fn check(asked: Option<i32>, layers: Vec<i32>) -> Result<Vec<i32>, QueryError> {
    match asked {
        Some(layer) if !layers.contains(&layer) => Err(QueryError::NoSuchLayer { layer, layers }),
        _ => Ok(layers),
    }
}

/// Whether a feature, if one is asked for, fires in these rows of `features`.
///
/// # Errors
/// [`QueryError::UnknownFeature`] with those of its layer that do and have a number close to it.
pub(crate) fn check_feature(rows: &LazyFrame, asked: Option<FeatureName>) -> Result<(), QueryError> {
    let Some(name) = asked else { return Ok(()) };
    let rows = rows.clone().filter(equals("layer", name.layer));
    if run(rows.clone().filter(equals("feature", name.feature)).limit(1))?.height() > 0 {
        return Ok(());
    }
    let nearest = closest(name.feature, integers(rows, "feature")?);
    let nearest = nearest.into_iter().map(|feature| FeatureName { feature, ..name }).collect::<Vec<_>>();
    Err(QueryError::UnknownFeature { name, nearest })
}
