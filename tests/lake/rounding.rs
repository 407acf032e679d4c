//! Activations are stored with the bits that the run says, and nothing else is changed by it.

use saelake::lake::{Lake, rounded};
use schemas::{feature_rollup, features, positions};

use super::synthetic::{SMALL, batch, first_batch};
use super::{folder, rollup};

const BITS: i32 = 7;

#[test]
fn activations_have_the_bits_of_their_run() {
    let folder = folder();
    let mut lake = Lake::create_or_open(folder.path()).unwrap();
    let (mut first, second) = (first_batch(&[1, 2], SMALL), batch(&[3], SMALL));
    first.run.as_mut().unwrap().activation_bits = BITS;
    lake.append(first.clone()).unwrap();
    // The second batch does not say it again, and comes through another handle.
    Lake::open(folder.path()).unwrap().append(second.clone()).unwrap();
    lake.refresh().unwrap();
    assert_eq!(lake.runs()[0].activation_bits, BITS);
    for mut given in [first, second] {
        let (game, norms) = (given.games.game[0], given.positions.clone());
        let exact = given.features[&8].activation.clone();
        for rows in given.features.values_mut() {
            rows.activation.iter_mut().for_each(|activation| *activation = rounded(*activation, BITS));
        }
        assert_ne!(given.features[&8].activation, exact);
        let expected = rollup::plain(&given);
        for layer in [8, 15, 29] {
            let of = |table| of_layer(&lake, table, (layer, game));
            let found = features::Rows::from_values(of(&features::TABLE)).unwrap();
            assert_eq!(found, given.features[&layer]);
            assert_eq!(positions::Rows::from_values(of(&positions::TABLE)).unwrap(), norms[&layer]);
            let found = feature_rollup::Rows::from_values(of(&feature_rollup::TABLE)).unwrap();
            assert_eq!(found, expected[&layer]);
        }
    }
}

/// The rows of the file of a layer that holds a game.
fn of_layer(lake: &Lake, table: &schemas::Table, (layer, game): (i32, i64)) -> Vec<schemas::Values> {
    let files = lake.files(table).unwrap();
    let mut of_layer = files.iter().filter(|file| file.folders.layer == Some(layer));
    let name = format!("-{game:016x}-");
    lake.read(table, of_layer.find(|file| file.path.contains(&name)).unwrap()).unwrap()
}
