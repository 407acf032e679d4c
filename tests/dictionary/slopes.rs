//! Gradients of and along features, against what the dictionaries do.

use burn::tensor::Device;
use saelake::dictionary::{Dictionary, open};

use super::raw::{Random, numbers, read_tensors, tensor};
use crate::support::repository;

/// Every way to normalize a row and to fire.
const NAMES: [&str; 6] =
    ["standard", "standard_layer_norm", "standard_constant_norm", "jumprelu", "topk_rescaled", "gated"];
/// Differences of activations of about 1 over a step of 0.01 in f32.
const DIFFERENCE: f64 = 1e-3;

/// A dictionary of the fixtures, and the rows that go with it.
fn fixture(name: &str) -> (Dictionary, Vec<f32>) {
    let folder = repository("tests/fixtures/dictionary").join(name);
    let rows = read_tensors(&folder.join("expected.safetensors"))["x"].iter().map(|x| *x as f32).collect();
    (open(&folder, name, None, &Device::flex()).unwrap().remove(0), rows)
}

fn dot(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
}

/// The slope of a feature along a gradient is the gradient times what one unit more of it adds to the row.
#[test]
fn a_slope_is_what_a_unit_of_the_feature_does() {
    for name in NAMES {
        let (dictionary, rows) = fixture(name);
        let (width, d_sae) = (dictionary.d_in, dictionary.d_sae);
        let gradient = Random::new(5).normals(rows.len(), 1.0);
        let x = tensor(&rows, width);
        let slopes = numbers(dictionary.slopes(tensor(&gradient, width), &x));
        assert_eq!(slopes.len(), rows.len() / width * d_sae);
        for (row, gradient) in gradient.chunks(width).enumerate().take(4) {
            let x = tensor(&rows[row * width..][..width], width);
            for feature in [0, 7, d_sae - 1] {
                let written = dictionary.written(tensor(&[1.0], 1), &[feature as u32], &x).unwrap();
                let expected = dot(&numbers(written), gradient);
                let found = f64::from(slopes[row * d_sae + feature]);
                assert!(
                    (found - expected).abs() <= 1e-5 * (1.0 + expected.abs()),
                    "{name}: {found}, not {expected}"
                );
            }
        }
    }
}

/// The gradient of a feature that fires is how much more it fires where the row moves a little, in a direction in which
/// what the row is divided by does not change.
#[test]
fn the_gradient_of_a_feature_is_how_its_activation_moves() {
    for name in NAMES {
        let (dictionary, rows) = fixture(name);
        let width = dictionary.d_in;
        let mut checked = 0;
        for (number, row) in rows.chunks(width).enumerate() {
            let x = tensor(row, width);
            let step = still(row, &Random::new(number as u64).normals(width, 0.01));
            let moved = row.iter().zip(&step).map(|(x, step)| x + step).collect::<Vec<_>>();
            let [before, after] = [row, &moved].map(|row| numbers(dictionary.encode(tensor(row, width))));
            for feature in 0..dictionary.d_sae {
                if before[feature] <= 0.0 || after[feature] <= 0.0 {
                    continue;
                }
                let gradient = numbers(dictionary.gradient_of(feature as u32, &x).unwrap());
                let (expected, found) = (f64::from(after[feature] - before[feature]), dot(&gradient, &step));
                assert!(
                    (found - expected).abs() <= DIFFERENCE * (1.0 + expected.abs()),
                    "{name}, feature {feature}: {found}, not {expected}"
                );
                // A gradient of nothing would pass where nothing moves.
                checked += usize::from(expected.abs() > 10.0 * DIFFERENCE);
            }
        }
        assert!(checked > 0, "{name}: nothing moved far enough");
    }
}

/// A step without its parts along the row and along the same number everywhere, so that neither the norm nor the mean
/// of the row changes with it, but by its square.
fn still(row: &[f32], step: &[f32]) -> Vec<f32> {
    let count = row.len() as f64;
    let center = |x: &[f32]| {
        let mean = x.iter().map(|x| f64::from(*x)).sum::<f64>() / count;
        x.iter().map(|x| f64::from(*x) - mean).collect::<Vec<f64>>()
    };
    let (row, mut step) = (center(row), center(step));
    let along =
        row.iter().zip(&step).map(|(a, b)| a * b).sum::<f64>() / row.iter().map(|a| a * a).sum::<f64>();
    for (step, row) in step.iter_mut().zip(&row) {
        *step -= along * row;
    }
    step.into_iter().map(|step| step as f32).collect()
}

#[test]
fn a_feature_that_is_not_there_has_no_gradient() {
    let (dictionary, rows) = fixture("standard");
    let x = tensor(&rows[..dictionary.d_in], dictionary.d_in);
    let error = dictionary.gradient_of(64, &x).unwrap_err().to_string();
    assert!(error.contains("64"), "{error}");
}
