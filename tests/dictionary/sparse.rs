//! What is kept of each position, against plain tensor operations and against f64.

use burn::tensor::{Device, FloatDType};
use saelake::dictionary::{Dictionary, Keep, Sparse, open};
use tempfile::tempdir;

use super::raw::{LlamaScope, Random, column, norm, numbers, tensor};
use crate::support::relative_error;

const ROWS: usize = 50;
/// f32 sums of squares of up to 192 numbers.
const RELATIVE: f64 = 1e-5;

fn made(act_fn: &'static str, threshold: f64) -> (Dictionary, Vec<f32>) {
    let dir = tempdir().unwrap();
    let made = LlamaScope { threshold, act_fn, ..LlamaScope::default() };
    made.write(dir.path(), 8, 7);
    let mut x = Random::new(8).normals(ROWS * made.d_in, 3.0);
    // A row on which nothing can fire, for the threshold is far above the bias.
    x[..made.d_in].fill(0.0);
    (open(dir.path(), "test", None, &Device::flex()).unwrap().remove(0), x)
}

/// Every (feature, value) of each row with a value, in their order.
fn pairs(sparse: &Sparse) -> Vec<Vec<(i32, f32)>> {
    let width = sparse.value.dims()[1];
    let index: Vec<i32> = sparse.index.clone().into_data().iter::<i32>().collect();
    let value = numbers(sparse.value.clone());
    let rows = index.chunks(width).zip(value.chunks(width));
    rows.map(|(index, value)| {
        index.iter().copied().zip(value.iter().copied()).filter(|(_, value)| *value > 0.0).collect()
    })
    .collect()
}

#[test]
fn kept_features_agree_with_f64_and_with_plain_operations() {
    for (act_fn, threshold) in [("jumprelu", 10.0), ("topk", 0.0), ("relu", 0.0)] {
        let (dictionary, x) = made(act_fn, threshold);
        let rows = tensor(&x, dictionary.d_in);
        let f = numbers(dictionary.encode(rows.clone()));
        let x_hat = numbers(dictionary.decode(dictionary.encode(rows.clone()), &rows));
        for keep in [Keep::Top(4), Keep::Top(64), Keep::All] {
            let fast = dictionary.sparsify(rows.clone(), keep).unwrap();
            let plain = dictionary.sparsify_plain(rows.clone(), keep).unwrap();
            assert_eq!(pairs(&fast), pairs(&plain), "{act_fn} {keep:?}");
            for sparse in [fast, plain] {
                check(&dictionary, &sparse, keep, &x, &f, &x_hat);
            }
        }
    }
}

fn check(dictionary: &Dictionary, sparse: &Sparse, keep: Keep, x: &[f32], f: &[f32], x_hat: &[f32]) {
    let (d_in, d_sae) = (dictionary.d_in, dictionary.d_sae);
    let [mut l0, mut feature, mut residual, mut error, mut share] = [const { Vec::new() }; 5];
    let kept = pairs(sparse);
    for row in 0..ROWS {
        let mut active: Vec<(i32, f32)> = (0..d_sae as i32)
            .zip(f[row * d_sae..][..d_sae].iter().copied())
            .filter(|(_, value)| *value > 0.0)
            .collect();
        active.sort_by(|a, b| b.1.total_cmp(&a.1));
        let wide = |x: &[f32]| x.iter().map(|x| f64::from(*x)).collect::<Vec<f64>>();
        let values = |pairs: &[(i32, f32)]| pairs.iter().map(|pair| f64::from(pair.1)).collect::<Vec<f64>>();
        let (x, x_hat) = (wide(&x[row * d_in..][..d_in]), wide(&x_hat[row * d_in..][..d_in]));
        let whole = norm(&values(&active));
        l0.push(active.len() as f32);
        feature.push(whole as f32);
        residual.push(norm(&x) as f32);
        error.push(norm(&x.iter().zip(&x_hat).map(|(a, b)| a - b).collect::<Vec<f64>>()) as f32);
        if let Keep::Top(k) = keep {
            active.truncate(k);
        }
        assert_eq!(kept[row], active, "row {row}");
        share.push(if whole == 0.0 { 1.0 } else { (norm(&values(&active)) / whole).powi(2) as f32 });
    }
    assert_eq!(column(sparse.l0.clone()), l0);
    for (got, expected) in [
        (&sparse.feature_norm, feature),
        (&sparse.residual_norm, residual),
        (&sparse.reconstruction_error, error),
        (&sparse.kept_share, share),
    ] {
        assert!(relative_error(&column(got.clone()), &expected) < RELATIVE);
    }
}

/// A model that runs in bf16 hands over bf16 rows; nothing after that is in bf16.
#[test]
fn rows_of_bf16_are_encoded_in_f32() {
    let (dictionary, x) = made("relu", 0.0);
    let half = tensor(&x, dictionary.d_in).cast(FloatDType::BF16);
    let single = half.clone().cast(FloatDType::F32);
    assert_eq!(numbers(dictionary.encode(half.clone())), numbers(dictionary.encode(single.clone())));
    let (half_kept, single_kept) = (
        dictionary.sparsify(half.clone(), Keep::All).unwrap(),
        dictionary.sparsify(single.clone(), Keep::All).unwrap(),
    );
    assert_eq!(pairs(&half_kept), pairs(&single_kept));
    assert_eq!(column(half_kept.reconstruction_error), column(single_kept.reconstruction_error));
    assert_eq!(dictionary.measure(&half).unwrap(), dictionary.measure(&single).unwrap());
}

#[test]
fn a_row_without_features_keeps_nothing_and_drops_nothing() {
    let (dictionary, x) = made("jumprelu", 10.0);
    let one = tensor(&x[..dictionary.d_in], dictionary.d_in);
    for keep in [Keep::Top(4), Keep::All] {
        let sparse = dictionary.sparsify(one.clone(), keep).unwrap();
        assert_eq!(pairs(&sparse), [Vec::new()]);
        assert_eq!(column(sparse.kept_share), [1.0]);
        assert_eq!(column(sparse.l0), [0.0]);
    }
}
