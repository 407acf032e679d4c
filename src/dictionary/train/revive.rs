//! Seeding dead features again.
//!
//! As Bricken et al. (2023) do: rows of the batch are drawn with a probability that grows with the square of
//! their reconstruction error, and each dead feature is given the direction of one such error, in the decoder
//! and, at the size of the living features, in the encoder. Its moments in Adam start anew.

use burn::tensor::{Int, Tensor, TensorData};
use rand::{Rng, RngExt};

use super::adam::{Adam, replace};
use super::gradients::{Parameters, Pass};
use crate::dictionary::encode::norm;
use crate::dictionary::error::DictionaryError;
use crate::dictionary::select::numbers;
use crate::dictionary::tensors::vector;

/// How long each feature has been silent.
pub(crate) struct Silence {
    rows: Vec<usize>,
}

impl Silence {
    /// Starts with features that have all just fired.
    pub(crate) fn new(features: usize) -> Self {
        Self { rows: vec![0; features] }
    }

    /// Takes note of which features fired in a batch: `f: [n, features]`.
    pub(crate) fn note(&mut self, f: &Tensor<2>) -> Result<(), DictionaryError> {
        let n = f.dims()[0];
        let largest = f.clone().max_dim(0).try_into_data_as::<f32>()?;
        for (silent, largest) in self.rows.iter_mut().zip(largest.iter::<f32>()) {
            *silent = if largest > 0.0 { 0 } else { *silent + n };
        }
        Ok(())
    }

    /// Features that were silent for more than `rows` rows, which count as having just fired from now on.
    pub(crate) fn take_dead(&mut self, rows: usize) -> Vec<usize> {
        let dead: Vec<usize> =
            self.rows.iter().enumerate().filter(|(_, silent)| **silent > rows).map(|(at, _)| at).collect();
        dead.iter().for_each(|feature| self.rows[*feature] = 0);
        dead
    }
}

/// Seeds the features `dead` from the errors of `pass`.
pub(crate) fn revive(
    parameters: &mut Parameters,
    adam: &mut Adam,
    dead: &[usize],
    pass: &Pass,
    random: &mut impl Rng,
) {
    let device = parameters.w_dec.device();
    let rows = draw(&numbers(norm(&pass.error)), dead.len(), random);
    let index = |at: &[usize]| {
        let at: Vec<i32> = at.iter().map(|at| *at as i32).collect();
        let count = at.len();
        Tensor::<1, Int>::from_data(TensorData::new(at, [count]), &device)
    };
    // The error is x̂ − x, so the direction that is missing is the other way.
    let missing = -pass.error.clone().select(0, index(&rows));
    let directions = missing.clone() / norm(&missing).clamp_min(f32::MIN_POSITIVE);

    let features = parameters.b_enc.dims()[1];
    let mut is_dead = vec![0.0; features];
    dead.iter().for_each(|feature| is_dead[*feature] = 1.0);
    let living: Tensor<2> = vector(is_dead.iter().map(|dead| 1.0 - dead).collect(), &device).unsqueeze();
    let column_norms = parameters.w_enc.clone().square().sum_dim(0).sqrt();
    let size = (column_norms * living.clone()).sum() / living.clone().sum().clamp_min(1.0);

    let encoder = directions.clone() * size.unsqueeze();
    let bias = -(parameters.b_dec.clone() * encoder.clone()).sum_dim(1).transpose();
    let dead = index(dead);
    let put_row = |to: &mut Tensor<2>, rows: Tensor<2>| put(to, 0, &dead, rows);
    let put_column = |to: &mut Tensor<2>, columns: Tensor<2>| put(to, 1, &dead, columns);
    put_row(&mut parameters.w_dec, directions.clone());
    put_column(&mut parameters.w_enc, encoder.clone().transpose());
    put_column(&mut parameters.b_enc, bias.clone());
    for moment in [&mut adam.mean, &mut adam.square] {
        put_row(&mut moment.w_dec, directions.zeros_like());
        put_column(&mut moment.w_enc, encoder.zeros_like().transpose());
        put_column(&mut moment.b_enc, bias.zeros_like());
    }
}

/// Puts `new` in place of the rows (`dim` 0) or columns (1) `at`.
fn put(tensor: &mut Tensor<2>, dim: usize, at: &Tensor<1, Int>, new: Tensor<2>) {
    replace(tensor, |old| {
        let difference = new - old.clone().select(dim, at.clone());
        old.select_assign(dim, at.clone(), difference, burn::tensor::IndexingUpdateOp::Add)
    });
}

/// Draws `count` indices, each with a probability that grows with the square of its weight.
fn draw(weights: &[f32], count: usize, random: &mut impl Rng) -> Vec<usize> {
    let mut sum = 0.0;
    let sums: Vec<f64> = weights
        .iter()
        .map(|weight| {
            sum += f64::from(*weight).powi(2);
            sum
        })
        .collect();
    let pick = |_| {
        let point = random.random::<f64>() * sum;
        sums.partition_point(|sum| *sum < point).min(weights.len() - 1)
    };
    (0..count).map(pick).collect()
}
