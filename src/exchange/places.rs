//! The features of a game place by place.

use std::ops::Range;

use schemas::features;

/// The features at one position of a step, by their index.
pub(super) struct Place {
    /// The step.
    pub(super) step: i32,
    /// The position.
    pub(super) position: i32,
    /// (feature, activation), ascending.
    pub(super) features: Vec<(i32, f32)>,
}

/// The positions that have features, in their order.
pub(super) fn places(rows: &features::Rows) -> impl Iterator<Item = Place> + '_ {
    runs(rows).map(|range| {
        let (step, position) = (rows.step[range.start], rows.position[range.start]);
        let mut features: Vec<(i32, f32)> =
            range.map(|row| (rows.feature[row], rows.activation[row])).collect::<Vec<_>>();
        features.sort_unstable_by_key(|(feature, _)| *feature);
        Place { step, position, features }
    })
}

/// The rows of each step and position, which lie together.
fn runs(rows: &features::Rows) -> impl Iterator<Item = Range<usize>> + '_ {
    let mut start = 0;
    std::iter::from_fn(move || {
        let at = |row: usize| (rows.step[row], rows.position[row]);
        let begin = start;
        (begin < rows.len()).then(|| {
            while start < rows.len() && at(start) == at(begin) {
                start += 1;
            }
            begin..start
        })
    })
}
