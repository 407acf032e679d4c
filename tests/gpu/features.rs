//! Sparse features.

use super::numbers::{agree, device, floats, numbers};
use crate::{Buffer, Device, Dictionary, Features};

const N: usize = 37;
const D_IN: usize = 576;
const D_SAE: usize = 4096;
const KEPT: usize = 16;

struct Case {
    dictionary: Dictionary,
    x: Vec<f32>,
    encoder: Vec<f32>,
    decoder: Vec<f32>,
    b_dec: Vec<f32>,
    b_enc: Vec<f32>,
    threshold: Vec<f32>,
    on_device: Buffer,
}

fn case(device: &Device, top: usize, threshold: f32) -> Case {
    let (x, encoder, decoder) = (numbers(N * D_IN, 9), numbers(D_SAE * D_IN, 10), numbers(D_SAE * D_IN, 11));
    let (b_enc, b_dec) = (floats(&numbers(D_SAE, 12)), floats(&numbers(D_IN, 13)));
    let threshold = (0..D_SAE).map(|i| threshold + i as f32 * 1e-3).collect::<Vec<_>>();
    let dictionary = Dictionary {
        d_in: D_IN,
        d_sae: D_SAE,
        encoder: Buffer::of(device, &encoder).unwrap(),
        b_enc: Buffer::of(device, &b_enc).unwrap(),
        decoder: Buffer::of(device, &decoder).unwrap(),
        b_dec: Buffer::of(device, &b_dec).unwrap(),
        threshold: (top == 0).then(|| Buffer::of(device, &threshold).unwrap()),
        top,
        output_scale: 0.5,
    };
    let on_device = Buffer::of(device, &x).unwrap();
    let [x, encoder, decoder] = [x, encoder, decoder].map(|numbers| floats(&numbers));
    Case { dictionary, x, encoder, decoder, b_dec, b_enc, threshold, on_device }
}

/// Features that fire in a row, the strongest first.
fn fires(case: &Case, row: &[f32]) -> Vec<(usize, f32)> {
    let found = (0..D_SAE).map(|feature| {
        let pairs = row.iter().zip(&case.encoder[feature * D_IN..]);
        let sum = pairs.map(|(x, w)| f64::from(*x) * f64::from(*w)).sum::<f64>();
        (feature, sum as f32 + case.b_enc[feature])
    });
    let top = case.dictionary.top;
    let least = |feature: usize| if top == 0 { case.threshold[feature] } else { 0.0 };
    let mut found = found.filter(|(feature, f)| *f > least(*feature).max(0.0)).collect::<Vec<_>>();
    found.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    if top > 0 {
        found.truncate(top);
    }
    found
}

fn norm(numbers: impl Iterator<Item = f32>) -> f32 {
    numbers.map(|x| x * x).sum::<f32>().sqrt()
}

fn check(top: usize, threshold: f32, least_l0: usize) {
    let device = device(64);
    let case = case(&device, top, threshold);
    let features = Features::new(&device, N, KEPT).unwrap();
    case.dictionary.encode(&device, &case.on_device, &features).unwrap();
    let all = features.out.read::<u32>(&device, N * (2 * KEPT + 5)).unwrap();
    let column = |place: usize, row: usize| f32::from_bits(all[2 * N * KEPT + place * N + row]);
    for (row, x) in case.x.chunks(D_IN).enumerate() {
        let expected = fires(&case, x);
        assert!(expected.len() >= least_l0, "only {} fire", expected.len());
        let kept = &expected[..KEPT.min(expected.len())];
        let found = &all[row * KEPT..][..KEPT];
        let values =
            all[(N + row) * KEPT..][..KEPT].iter().map(|bits| f32::from_bits(*bits)).collect::<Vec<_>>();
        agree(&values[..kept.len()], &kept.iter().map(|kept| kept.1).collect::<Vec<_>>(), 1e-5);
        assert!(values[kept.len()..].iter().all(|value| *value == 0.0));
        for (place, feature) in found[..kept.len()].iter().enumerate() {
            let of_feature = expected.iter().find(|known| known.0 == *feature as usize).unwrap().1;
            assert!((of_feature - kept[place].1).abs() < 1e-4);
        }
        assert_eq!(column(0, row) as usize, expected.len());
        let all = norm(expected.iter().map(|known| known.1));
        let held = norm(kept.iter().map(|known| known.1));
        let mut left = x.to_vec();
        for (column, left) in left.iter_mut().enumerate() {
            let sum =
                expected.iter().map(|(feature, f)| f * case.decoder[feature * D_IN + column]).sum::<f32>();
            *left -= (sum + case.b_dec[column]) * 0.5;
        }
        let expected = [all, held * held / (all * all), norm(x.iter().copied()), norm(left.into_iter())];
        agree(&[1, 2, 3, 4].map(|place| column(place, row)), &expected, 1e-4);
    }
}

#[test]
fn features_above_their_thresholds_are_found() {
    check(0, 15.0, 20);
}

#[test]
fn rows_with_thousands_of_features_keep_the_strongest() {
    check(0, -2.0, 1000);
}

#[test]
fn the_strongest_of_a_row_fire() {
    check(40, 0.0, 40);
    check(8, 0.0, 8);
}
