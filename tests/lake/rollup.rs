//! The rollup of features: what a plain loop over all rows says, however the rows of a batch come.

use std::collections::BTreeMap;

use saelake::lake::{Batch, Captured, Lake};
use schemas::{feature_rollup, features};

use super::folder;
use super::synthetic::{SMALL, batch, first_batch};

/// Sums and rows by feature and game.
type Sums = BTreeMap<(i32, i64), (f64, feature_rollup::Row)>;

/// What the rollup of a batch should be, by layer: a loop over every row, apart from the writer's.
pub(super) fn plain(batch: &Batch) -> BTreeMap<i32, feature_rollup::Rows> {
    let decisions: BTreeMap<(i64, i32), i32> = (0..batch.steps.len())
        .map(|row| ((batch.steps.game[row], batch.steps.step[row]), batch.steps.decision_position[row]))
        .collect();
    let special: BTreeMap<(i64, i32, i32), bool> = (0..batch.tokens.len())
        .map(|row| {
            (
                (batch.tokens.game[row], batch.tokens.step[row], batch.tokens.position[row]),
                batch.tokens.is_special[row],
            )
        })
        .collect();
    let mut sums: BTreeMap<i32, Sums> = BTreeMap::new();
    let more = batch.more.iter().flat_map(|more| &more.features);
    for (layer, rows) in batch.features.iter().chain(more) {
        let of_layer = sums.entry(*layer).or_default();
        for row in rows.clone().into_rows() {
            let features::Row { game, step, position, feature, activation, .. } = row;
            if position == 0 || position > decisions[&(game, step)] || special[&(game, step, position)] {
                continue;
            }
            let new = feature_rollup::Row { game, feature, count: 0, sum: 0.0, max: 0.0, step, position };
            let (sum, known) = of_layer.entry((feature, game)).or_insert((0.0, new));
            *sum += f64::from(activation);
            known.count += 1;
            let earlier =
                activation.total_cmp(&known.max).is_eq() && (step, position) < (known.step, known.position);
            if activation > known.max || earlier {
                (known.max, known.step, known.position) = (activation, step, position);
            }
        }
    }
    let rows = |of_layer: Sums| {
        of_layer.into_values().map(|(sum, row)| feature_rollup::Row { sum: sum as f32, ..row }).collect()
    };
    sums.into_iter().map(|(layer, of_layer)| (layer, rows(of_layer))).collect()
}

/// Features that fire twice as strongly, some tokens special, a step that failed.
fn unruly(keys: &[i64]) -> Batch {
    let mut batch = first_batch(keys, SMALL);
    for rows in batch.features.values_mut() {
        rows.activation.iter_mut().for_each(|activation| *activation = activation.round().max(1.0));
    }
    for (row, special) in batch.tokens.is_special.iter_mut().enumerate() {
        *special |= row % 5 == 4;
    }
    batch.steps.decision_position[1] = -1;
    batch
}

#[test]
fn the_rollup_is_what_a_plain_loop_says() {
    let mut given = unruly(&[9, -4, 7]);
    let expected = plain(&given);
    assert!(expected.values().flat_map(|rows| &rows.count).any(|count| *count > 2), "nothing adds up");
    given.roll_up();
    assert_eq!(given.feature_rollup, expected);
    // Rows that a later step drops take nothing away.
    let mut fewer = given.clone();
    fewer.features.values_mut().for_each(|rows| *rows = features::Rows::default());
    fewer.roll_up();
    assert_eq!(fewer.feature_rollup, expected);
    // The lake makes what the batch lacks.
    let folder = folder();
    let mut lake = Lake::create_or_open(folder.path()).unwrap();
    lake.append(unruly(&[9, -4, 7])).unwrap();
    for file in lake.files(&feature_rollup::TABLE).unwrap() {
        let rows =
            feature_rollup::Rows::from_values(lake.read(&feature_rollup::TABLE, &file).unwrap()).unwrap();
        assert_eq!(rows, expected[&file.folders.layer.unwrap()], "{}", file.path);
    }
}

/// Captures come game by game, and a game need not be in one piece nor in order.
#[test]
fn rows_in_many_parts_give_the_same_rollup() {
    let (mut whole, mut parts) = (unruly(&[5, 3, 8]), unruly(&[5, 3, 8]));
    whole.roll_up();
    for (layer, rows) in std::mem::take(&mut parts.features) {
        let mut rows = rows.into_rows();
        // Halves of a game are apart, and its last row is its first.
        rows.reverse();
        for piece in rows.chunks(rows.len() / 5) {
            let features = BTreeMap::from([(layer, piece.iter().cloned().collect())]);
            parts.more.push(Captured { features, ..Captured::default() });
        }
    }
    parts.roll_up();
    assert_eq!(parts.feature_rollup, whole.feature_rollup);
}

#[test]
fn a_batch_without_features_has_no_rollup() {
    let mut empty = batch(&[1], super::synthetic::Shape { layers: &[], ..SMALL });
    empty.roll_up();
    assert!(empty.feature_rollup.is_empty());
}
