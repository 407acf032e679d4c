//! Exact patching of a model that is known through and through.

use saelake::intervene::{Base, Cell, Grid, Metric, Split, Unit};
use saelake::model::{Hook, Site};

use super::SITES;
use crate::support::{BALANCE, BET, DECISION, ECHO, FEATURES, HEAD_INDEX, LAYER, Planted, STOP, planted};

/// What a patch of something that does nothing may move the metric by, as a share of the whole difference: rounding
/// in f32 through three blocks.
const NOTHING: f64 = 1e-5;

/// Shares that patches recover of the difference between the two runs, largest first.
fn shares(planted: &Planted, grid: &Grid<'_>) -> Vec<(f64, Cell)> {
    let metric = Metric::Difference([BET, STOP]);
    let clean = Base::run(&planted.llama, &planted.clean, &metric, &[]).unwrap();
    let corrupted = Base::run(&planted.llama, &planted.corrupted, &metric, &SITES).unwrap();
    assert!(clean.value > 1.0 && corrupted.value < -1.0, "the balance decides");
    let cells = grid.run(&clean, &corrupted, 2048, |_| ()).unwrap();
    let whole = corrupted.value - clean.value;
    let mut shares: Vec<(f64, Cell)> =
        cells.into_iter().map(|cell| ((cell.value - clean.value) / whole, cell)).collect();
    shares.sort_by(|a, b| b.0.abs().total_cmp(&a.0.abs()));
    shares
}

fn positions() -> Vec<Unit> {
    (0..=DECISION).map(|p| Unit { span: None, positions: vec![p], partners: vec![p] }).collect()
}

/// The places found, which recover everything, and that nothing else does anything.
fn found(shares: &[(f64, Cell)], count: usize) -> Vec<Cell> {
    for (share, cell) in &shares[..count] {
        assert!((share - 1.0).abs() <= NOTHING, "{cell:?} recovers {share}");
    }
    for (share, cell) in &shares[count..] {
        assert!(share.abs() <= NOTHING, "{cell:?} does something: {share}");
    }
    let mut found: Vec<Cell> = shares[..count].iter().map(|(_, cell)| *cell).collect();
    found.sort_by_key(|cell| (cell.hook, cell.unit));
    found
}

#[test]
fn the_planted_positions_are_found_layer_by_layer() {
    let planted = planted();
    let hooks = (0..3).map(Hook::resid_post).collect();
    let found = found(&shares(&planted, &Grid { hooks, units: positions(), split: Split::Whole }), 3);
    let places: Vec<(usize, usize)> = found.iter().map(|cell| (cell.hook.layer, cell.unit)).collect();
    assert_eq!(places, [(0, BALANCE), (1, DECISION), (2, DECISION)]);
    assert!(places.iter().all(|(_, unit)| *unit != ECHO));
}

#[test]
fn the_planted_head_is_found_among_all() {
    let planted = planted();
    let hooks = (0..3).map(|layer| Hook { layer, site: Site::Z }).collect();
    let found = found(&shares(&planted, &Grid { hooks, units: positions(), split: Split::Heads }), 1);
    let cell = found[0];
    assert_eq!((cell.hook.layer, cell.head, cell.unit), (LAYER, Some(HEAD_INDEX), DECISION));
    // What the head reads is its value at the balance.
    let hooks = (0..3).map(|layer| Hook { layer, site: Site::Value }).collect();
    let found = self::found(&shares(&planted, &Grid { hooks, units: positions(), split: Split::Heads }), 1);
    let cell = found[0];
    assert_eq!((cell.hook.layer, cell.head, cell.unit), (LAYER, Some(HEAD_INDEX), BALANCE));
}

#[test]
fn the_planted_features_are_found_among_all() {
    let planted = planted();
    let all: Vec<(usize, u32)> =
        (0..2).flat_map(|layer| (0..4).map(move |feature| (layer, feature))).collect();
    let hooks = (0..2).map(Hook::resid_post).collect();
    let split = Split::Features(&planted.dictionaries, &all);
    let found = found(&shares(&planted, &Grid { hooks, units: positions(), split }), 2);
    let features: Vec<(usize, u32)> =
        found.iter().map(|cell| (cell.hook.layer, cell.feature.unwrap())).collect();
    assert_eq!(features, FEATURES);
    assert_eq!(found.iter().map(|cell| cell.unit).collect::<Vec<_>>(), [BALANCE, DECISION]);
}
