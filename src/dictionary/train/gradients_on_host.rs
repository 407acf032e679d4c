//! The pass of [`super::gradients`] where the device's memory is the host's.
//!
//! Only `k` features of a row fire, so four of the five products touch a few hundredths of their matrices. Done
//! row by row and feature by feature they cost less than the one product that stays whole, `x · w_encᵀ`.

use burn::tensor::{Device, Tensor};
use rayon::prelude::*;

use super::gradients::{Parameters, Pass};
use crate::dictionary::select::{Entry, largest, numbers, positives};
use crate::dictionary::tensors::matrix;

/// A feature that fired: its row, its activation, and the gradient of its pre-activation.
type Firing = (usize, f32, f32);

/// See [`super::gradients::pass`].
pub(crate) fn pass_on_host(parameters: &Parameters, x: &Tensor<2>, k: usize) -> Pass {
    let device = x.device();
    let ([n, d_in], features) = (x.dims(), parameters.b_enc.dims()[1]);
    let a = x.clone().matmul(parameters.w_enc.clone().transpose()) + parameters.b_enc.clone();
    let mut f = numbers(a);
    let x = numbers(x.clone());
    let w_dec = numbers(parameters.w_dec.clone());
    let b_dec = numbers(parameters.b_dec.clone());

    let mut error = vec![0.0; n * d_in];
    let scale = 2.0 / n as f32;
    let rows = f.par_chunks_mut(features).zip(x.par_chunks(d_in)).zip(error.par_chunks_mut(d_in));
    let fired: Vec<Vec<(u32, f32, f32)>> = rows
        .map(|((f, x), error)| {
            let entries = keep(f, k);
            error.iter_mut().zip(&b_dec).zip(x).for_each(|((error, b), x)| *error = b - x);
            for (value, feature) in &entries {
                add_scaled(error, *value, &w_dec[*feature as usize * d_in..][..d_in]);
            }
            let gradient = |(value, feature): Entry| {
                (feature, value, scale * dot(error, &w_dec[feature as usize * d_in..][..d_in]))
            };
            entries.into_iter().map(gradient).collect()
        })
        .collect();

    let firings = by_feature(&fired, features);
    let gradients = gradients(&firings, &x, &error, scale, d_in, &device);
    Pass {
        f: matrix(f, [n, features], &device),
        fired: firings.iter().map(|firings| !firings.is_empty()).collect(),
        error: matrix(error, [n, d_in], &device),
        gradients,
    }
}

/// Keeps the `k` largest positive entries of a row, sets the others to 0, and gives those kept in order of their
/// index.
fn keep(row: &mut [f32], k: usize) -> Vec<Entry> {
    let mut entries = positives(row, None);
    largest(&mut entries, k);
    entries.sort_unstable_by_key(|entry| entry.1);
    row.fill(0.0);
    for (value, feature) in &entries {
        row[*feature as usize] = *value;
    }
    entries
}

/// The firings of each feature, in order of their rows.
fn by_feature(fired: &[Vec<(u32, f32, f32)>], features: usize) -> Vec<Vec<Firing>> {
    let mut firings = vec![Vec::new(); features];
    for (row, entries) in fired.iter().enumerate() {
        for (feature, value, gradient) in entries {
            firings[*feature as usize].push((row, *value, *gradient));
        }
    }
    firings
}

fn gradients(
    firings: &[Vec<Firing>],
    x: &[f32],
    error: &[f32],
    scale: f32,
    d_in: usize,
    device: &Device,
) -> Parameters {
    let features = firings.len();
    let mut w_enc = vec![0.0; features * d_in];
    let mut w_dec = vec![0.0; features * d_in];
    w_enc.par_chunks_mut(d_in).zip(w_dec.par_chunks_mut(d_in)).zip(firings).for_each(
        |((enc, dec), firings)| {
            for (row, value, gradient) in firings {
                add_scaled(enc, *gradient, &x[row * d_in..][..d_in]);
                add_scaled(dec, scale * value, &error[row * d_in..][..d_in]);
            }
        },
    );
    let b_enc = firings.iter().map(|firings| firings.iter().map(|firing| firing.2).sum()).collect();
    let mut b_dec = vec![0.0; d_in];
    error.chunks_exact(d_in).for_each(|error| add_scaled(&mut b_dec, scale, error));
    Parameters {
        w_enc: matrix(w_enc, [features, d_in], device),
        b_enc: matrix(b_enc, [1, features], device),
        w_dec: matrix(w_dec, [features, d_in], device),
        b_dec: matrix(b_dec, [1, d_in], device),
    }
}

fn add_scaled(to: &mut [f32], factor: f32, row: &[f32]) {
    to.iter_mut().zip(row).for_each(|(to, x)| *to += factor * x);
}

/// The product of two rows, in eight sums so that they can be taken side by side.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<8>(), b.as_chunks::<8>());
    let mut sums = [0.0; 8];
    for (a, b) in a.iter().zip(b) {
        for lane in 0..8 {
            sums[lane] += a[lane] * b[lane];
        }
    }
    let rest: f32 = a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum();
    sums.iter().sum::<f32>() + rest
}
