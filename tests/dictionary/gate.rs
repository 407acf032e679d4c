//! The check at load time, on data that the dictionary truly explains, and on the mistakes it must catch.

use burn::tensor::{Device, Tensor};
use saelake::dictionary::{Activation, Dictionary, DictionaryError, Implausible, Input, Measured, open};
use tempfile::tempdir;

use super::raw::{LlamaScope, Random, tensor, write_json, write_tensors};

const D_IN: usize = 128;
const D_SAE: usize = 512;
const ACTIVE: usize = 4;
const ROWS: usize = 600;
/// Length of a feature of size 1 in the model's units.
const UNIT: f32 = 10.0;

/// Features of a layer: unit rows that are nearly orthogonal, as random ones of this width are.
fn features(seed: u64) -> Vec<f32> {
    let mut rows = Random::new(seed).normals(D_SAE * D_IN, 1.0);
    for row in rows.chunks_mut(D_IN) {
        let norm = row.iter().map(|x| x * x).sum::<f32>().sqrt();
        for x in row {
            *x /= norm;
        }
    }
    rows
}

/// Rows of which each is a sum of a few features, sized 2 to 4.
fn rows(features: &[f32], seed: u64) -> Vec<f32> {
    let mut random = Random::new(seed);
    let mut x = vec![0.0; ROWS * D_IN];
    for row in x.chunks_mut(D_IN) {
        for _ in 0..ACTIVE {
            let feature = ((random.numbers(1, 0.5)[0] + 0.5) * (D_SAE - 1) as f32) as usize;
            let size = (3.0 + random.numbers(1, 1.0)[0]) * UNIT;
            row.iter_mut().zip(&features[feature * D_IN..]).for_each(|(x, d)| *x += size * d);
        }
    }
    x
}

/// A dictionary of exactly these features, in the Llama Scope layout, whose expected L0 is the true one.
fn dictionary(features: &[f32], x: &[f32]) -> Dictionary {
    let dir = tempdir().unwrap();
    let norms = x.chunks(D_IN).map(|row| f64::from(row.iter().map(|x| x * x).sum::<f32>()).sqrt());
    let norm = norms.sum::<f64>() / ROWS as f64;
    let made = LlamaScope {
        d_in: D_IN,
        d_sae: D_SAE,
        norm_in: norm,
        norm_out: norm,
        // Below the smallest feature and above what features add to each other (a standard deviation of 4.6).
        threshold: f64::from(UNIT) * 1.8,
        top_k: ACTIVE,
        ..LlamaScope::default()
    };
    write_json(&dir.path().join("hyperparams.json"), &made.hyperparams(8));
    let transposed = (0..D_IN * D_SAE).map(|at| features[(at % D_SAE) * D_IN + at / D_SAE]).collect();
    write_tensors(
        &dir.path().join("checkpoints/final.safetensors"),
        &[
            ("encoder.weight", vec![D_SAE, D_IN], features.to_vec()),
            ("encoder.bias", vec![D_SAE], vec![0.0; D_SAE]),
            ("decoder.weight", vec![D_IN, D_SAE], transposed),
            ("decoder.bias", vec![D_IN], vec![0.0; D_IN]),
        ],
    );
    open(dir.path(), "made", None, &Device::flex()).unwrap().remove(0)
}

fn verdict(dictionary: &Dictionary, x: &[f32]) -> Result<(), Implausible> {
    let measured = dictionary.measure(&tensor(x, D_IN)).unwrap();
    match dictionary.check(&measured) {
        Ok(()) => Ok(()),
        Err(DictionaryError::Implausible { why, .. }) => Err(why),
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn the_right_dictionary_passes_and_is_measured_truly() {
    let features = features(1);
    let x = rows(&features, 2);
    let dictionary = dictionary(&features, &x);
    assert_eq!(verdict(&dictionary, &x), Ok(()));

    // The same figures in f64, all rows at once.
    let measured = dictionary.measure(&tensor(&x, D_IN)).unwrap();
    let f = dictionary.encode(tensor(&x, D_IN));
    let x_hat = super::raw::numbers(dictionary.decode(f.clone(), &tensor(&x, D_IN)));
    let f = super::raw::numbers(f);
    let mean: Vec<f64> =
        (0..D_IN).map(|i| x.chunks(D_IN).map(|row| f64::from(row[i])).sum::<f64>() / ROWS as f64).collect();
    let error: f64 = x.iter().zip(&x_hat).map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)).sum();
    let spread: f64 = x.iter().enumerate().map(|(at, x)| (f64::from(*x) - mean[at % D_IN]).powi(2)).sum();
    let l0 = f.iter().filter(|f| **f > 0.0).count() as f64 / ROWS as f64;
    let dead = (0..D_SAE).filter(|i| (0..ROWS).all(|row| f[row * D_SAE + i] == 0.0)).count();
    assert!((measured.explained_variance - (1.0 - error / spread)).abs() < 1e-6, "{measured:?}");
    assert!((measured.l0 - l0).abs() < 1e-9);
    assert!((measured.dead_share - dead as f64 / D_SAE as f64).abs() < 1e-9);
    assert_eq!(measured.rows, ROWS);
}

#[test]
fn a_large_mean_does_not_drown_the_spread() {
    let features = features(1);
    let mut x = rows(&features, 2);
    let dictionary = dictionary(&features, &x);
    let before = dictionary.measure(&tensor(&x, D_IN)).unwrap().explained_variance;
    // The same rows far away from 0, and a dictionary that knows the offset.
    for x in &mut x {
        *x += 3000.0;
    }
    let Input::Scale(scale) = dictionary.input else { panic!() };
    let offset = Tensor::<1>::ones([D_IN], &Device::flex()) * (3000.0 * scale);
    let moved = Dictionary { subtracts_decoder_bias: true, b_dec: offset, ..dictionary };
    let after = moved.measure(&tensor(&x, D_IN)).unwrap().explained_variance;
    assert!((before - after).abs() < 1e-3, "{before} became {after}");
}

#[test]
fn the_known_mistakes_are_refused() {
    let here = features(1);
    let x = rows(&here, 2);
    let good = dictionary(&here, &x);

    let zero = Activation::JumpRelu { threshold: Tensor::zeros([D_SAE], &Device::flex()) };
    let no_threshold = Dictionary { activation: zero, ..good.clone() };
    assert!(matches!(verdict(&no_threshold, &x), Err(Implausible::TooDense { .. })));

    let no_norm = Dictionary { input: Input::None, output_scale: 1.0, ..good.clone() };
    assert!(verdict(&no_norm, &x).is_err());

    // The residual of the next layer has some of the features and others of its own.
    let mut next = features(50);
    next[..D_SAE * D_IN / 4].copy_from_slice(&here[..D_SAE * D_IN / 4]);
    assert!(verdict(&good, &rows(&next, 3)).is_err());

    // After a final norm every row has the length sqrt(d_in).
    let normed: Vec<f32> = x
        .chunks(D_IN)
        .flat_map(|row| {
            let rms = (row.iter().map(|x| x * x).sum::<f32>() / D_IN as f32).sqrt();
            row.iter().map(move |x| x / rms)
        })
        .collect();
    assert!(verdict(&good, &normed).is_err());
}

#[test]
fn what_is_no_number_is_refused() {
    let features = features(1);
    let x = rows(&features, 2);
    let good = dictionary(&features, &x);
    let mut broken = x.clone();
    broken[0] = f32::NAN;
    assert_eq!(verdict(&good, &broken), Err(Implausible::NotFinite));
    assert_eq!(verdict(&good, &x[..D_IN]), Err(Implausible::NothingToMeasure { rows: 1 }));
}

#[test]
fn a_recorded_figure_is_held_to() {
    let features = features(1);
    let x = rows(&features, 2);
    let mut dictionary = dictionary(&features, &x);
    let measured = dictionary.measure(&tensor(&x, D_IN)).unwrap();
    dictionary.provenance.expected.explained_variance = Some(measured.explained_variance as f32 + 0.05);
    dictionary.check(&measured).unwrap();
    dictionary.provenance.expected.explained_variance = Some(measured.explained_variance as f32 + 0.15);
    let error = dictionary.check(&measured).unwrap_err();
    assert!(matches!(error, DictionaryError::Implausible { why: Implausible::Unexplained { .. }, .. }));
    assert!(error.hint().is_some());
    assert_eq!(error.exit_code(), 2);

    // A record that half as many features fire was not made with this dictionary, read this way.
    let mut expected = |factor: f64| {
        dictionary.provenance.expected.explained_variance = Some(measured.explained_variance as f32);
        dictionary.provenance.expected.l0 = Some((measured.l0 * factor) as f32);
        dictionary.check(&measured)
    };
    expected(0.7).unwrap();
    expected(1.5).unwrap();
    assert!(matches!(
        expected(0.5),
        Err(DictionaryError::Implausible { why: Implausible::TooDense { .. }, .. })
    ));
    assert!(matches!(
        expected(2.0),
        Err(DictionaryError::Implausible { why: Implausible::TooSparse { .. }, .. })
    ));
}

#[test]
fn attention_sinks_are_left_out_and_counted() {
    let features = features(1);
    let x = rows(&features, 2);
    let dictionary = dictionary(&features, &x);
    let before = dictionary.measure(&tensor(&x, D_IN)).unwrap();
    let mut with_sink = Random::new(9).normals(D_IN, 700.0);
    with_sink.extend(&x);
    let after = dictionary.measure(&tensor(&with_sink, D_IN)).unwrap();
    assert_eq!((before.outliers, after.outliers), (0, 1));
    assert_eq!(Measured { outliers: 0, ..after }, before);
}
