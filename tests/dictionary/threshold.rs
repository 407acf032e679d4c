//! The two published derivations of Llama Scope's threshold, and a third that is not the same.

use std::collections::BTreeSet;

use burn::tensor::Device;
use saelake::dictionary::open;
use tempfile::tempdir;

use super::raw::{LlamaScope, Random, norm, numbers, read_tensors, tensor, times};

const ROWS: usize = 200;

/// `OpenMOSS`'s loader, step by step: fold the scales into the weights, then bring the decoder to unit norm, then
/// compare the pre-activation itself with the threshold.
fn folded(made: &LlamaScope, weights: &Weights, x: &[f64]) -> BTreeSet<usize> {
    let root = (made.d_in as f64).sqrt();
    let (n_in, n_out) = (root / made.norm_in, root / made.norm_out);
    let fires = |i: usize| {
        let norm = norm(&weights.column(made, i, n_in / n_out));
        let row: Vec<f64> = weights.encoder[i * made.d_in..][..made.d_in].iter().map(|w| w * norm).collect();
        let bias = weights.bias[i] / n_in * norm;
        times(&row, x)[0] + bias > made.threshold
    };
    (0..made.d_sae).filter(|i| fires(*i)).collect()
}

/// Scale the input, encode, and compare the length of what the feature would add to the residual.
fn direct(made: &LlamaScope, weights: &Weights, x: &[f64]) -> BTreeSet<usize> {
    let f_out = (made.d_in as f64).sqrt() / made.norm_out;
    let fires = |i: &usize| {
        weights.pre_activation(made, *i, x) * norm(&weights.column(made, *i, 1.0)) / f_out > made.threshold
    };
    (0..made.d_sae).filter(fires).collect()
}

/// The gate of SAELens: the threshold times the input's factor, whatever the decoder's norms.
fn saelens(made: &LlamaScope, weights: &Weights, x: &[f64]) -> BTreeSet<usize> {
    let f_in = (made.d_in as f64).sqrt() / made.norm_in;
    (0..made.d_sae).filter(|i| weights.pre_activation(made, *i, x) > made.threshold * f_in).collect()
}

struct Weights {
    encoder: Vec<f64>,
    bias: Vec<f64>,
    decoder: Vec<f64>,
}

impl Weights {
    fn column(&self, made: &LlamaScope, i: usize, factor: f64) -> Vec<f64> {
        (0..made.d_in).map(|row| self.decoder[row * made.d_sae + i] * factor).collect()
    }

    fn pre_activation(&self, made: &LlamaScope, i: usize, x: &[f64]) -> f64 {
        let f_in = (made.d_in as f64).sqrt() / made.norm_in;
        let scaled: Vec<f64> = x.iter().map(|x| x * f_in).collect();
        times(&self.encoder[i * made.d_in..][..made.d_in], &scaled)[0] + self.bias[i]
    }
}

#[test]
fn both_derivations_fire_alike_and_saelens_does_not() {
    let made = LlamaScope { norm_in: 20.0, norm_out: 11.0, threshold: 2.5, ..LlamaScope::default() };
    let dir = tempdir().unwrap();
    made.write(dir.path(), 8, 5);
    let mut tensors = read_tensors(&dir.path().join("checkpoints/final.safetensors"));
    let mut take = |name| tensors.remove(name).unwrap();
    let weights = Weights {
        encoder: take("encoder.weight"),
        bias: take("encoder.bias"),
        decoder: take("decoder.weight"),
    };

    let x = Random::new(3).normals(ROWS * made.d_in, 3.0);
    let dictionary = open(dir.path(), "test", None, &Device::flex()).unwrap().remove(0);
    let f = numbers(dictionary.encode(tensor(&x, made.d_in)));
    let (mut active, mut differ) = (0, 0);
    for (at, row) in x.chunks(made.d_in).enumerate() {
        let row: Vec<f64> = row.iter().map(|x| f64::from(*x)).collect();
        let by_direct = direct(&made, &weights, &row);
        assert_eq!(folded(&made, &weights, &row), by_direct, "row {at}");
        let got: BTreeSet<usize> = (0..made.d_sae).filter(|i| f[at * made.d_sae + i] > 0.0).collect();
        assert_eq!(got, by_direct, "row {at}");
        active += by_direct.len();
        differ += saelens(&made, &weights, &row).symmetric_difference(&by_direct).count();
    }
    assert!(active > ROWS, "too little fires to compare");
    assert!(
        differ as f64 > 0.1 * active as f64,
        "{differ} of {active}: the decoder norms made no difference"
    );
}
