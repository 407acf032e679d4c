//! The training loop.

use burn::tensor::{Device, Tensor};
use rand::{RngExt, SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;

use super::adam::{Adam, replace};
use super::auxiliary::revive;
use super::gradients::{Parameters, pass};
use super::settings::TrainSettings;
use super::silence::Silence;
use super::trained::Trained;
use crate::dictionary::encode::norm;
use crate::dictionary::error::DictionaryError;
use crate::dictionary::outliers::usual;
use crate::dictionary::tensors::{matrix, row_norms, vector};

/// How many rows the threshold is calibrated on at most, as many as Llama Scope took.
const CALIBRATION_ROWS: usize = 32_768;

/// A training under way.
pub struct Trainer {
    settings: TrainSettings,
    parameters: Parameters,
    adam: Adam,
    silence: Silence,
    /// Brings a row to the average norm `sqrt(d_in)`.
    scale: f32,
    average_norm: f32,
    steps: usize,
}

impl Trainer {
    /// Starts with random unit rows as the decoder, their transpose as the encoder, and the mean of `sample` as
    /// the decoder's bias. `sample: [n, d_in]`, row-major and in the model's units, also gives the average norm.
    ///
    /// # Errors
    /// Settings that make no sense, and an empty sample.
    pub fn new(
        sample: &[f32],
        d_in: usize,
        settings: TrainSettings,
        device: &Device,
    ) -> Result<Self, DictionaryError> {
        settings.check()?;
        let rows = sample.len() / d_in.max(1);
        if rows < settings.k.max(2) {
            let needed = settings.k.max(2);
            return Err(DictionaryError::TooFewRows { rows, needed, purpose: "train a dictionary" });
        }
        let norms = row_norms(sample, d_in);
        let average_norm = (norms.iter().map(|norm| f64::from(*norm)).sum::<f64>() / rows as f64) as f32;
        let scale = (d_in as f32).sqrt() / average_norm;

        let mut random = ChaCha8Rng::seed_from_u64(settings.seed);
        let parameters = first_parameters(&mean(sample, d_in), scale, settings.features, &mut random, device);
        let adam = Adam::new(&parameters);
        let silence = Silence::new(settings.features);
        Ok(Self { settings, parameters, adam, silence, scale, average_norm, steps: 0 })
    }

    /// Takes one step on `batch: [n, d_in]`, in the model's units, and gives the share of the batch's sum of
    /// squares that is not reconstructed.
    ///
    /// # Errors
    /// [`DictionaryError::Device`] if a number cannot be read back.
    pub fn step(&mut self, batch: Tensor<2>) -> Result<f64, DictionaryError> {
        let x = batch * self.scale;
        let mut pass = pass(&self.parameters, &x, self.settings.k)?;
        self.silence.note(&pass.fired, x.dims()[0]);
        revive(&self.parameters, &mut pass, &x, &self.silence.dead(self.settings.dead_after));
        // Only what turns a unit row matters; what would lengthen it is taken off the gradient.
        let along = (pass.gradients.w_dec.clone() * self.parameters.w_dec.clone()).sum_dim(1);
        replace(&mut pass.gradients.w_dec, |gradient| gradient - self.parameters.w_dec.clone() * along);
        let unexplained = pass.error.clone().square().sum() / x.square().sum();

        let gradients = pass.gradients.clone();
        self.adam.step(&mut self.parameters, gradients, self.settings.rate(self.steps));
        replace(&mut self.parameters.w_dec, unit_rows);
        self.steps += 1;
        Ok(unexplained.try_into_data_as::<f32>()?.iter::<f64>().sum())
    }

    /// How many features have not fired for `dead_after` rows.
    pub fn dead(&self) -> usize {
        self.silence.dead(self.settings.dead_after).len()
    }

    /// Ends the training: rounds the weights to bf16, as they will be written, and chooses the threshold so
    /// that `k` features fire on average on `calibration: [n, d_in]`, row-major and in the model's units.
    ///
    /// # Errors
    /// Too few rows, or a device that failed.
    pub fn finish(self, calibration: &[f32]) -> Result<Trained, DictionaryError> {
        Trained::new(&self.parameters, self.average_norm, self.settings, calibration)
    }
}

/// Trains on rows in the host's memory, in an order that the seed decides: `rows` is `[n, d_in]`, row-major, in
/// the model's units, without position 0 and special tokens. Rows far longer than the others (attention sinks)
/// are left out, as they are when a dictionary is measured. `progress` is told the step and the share of the
/// sum of squares that is not reconstructed.
///
/// # Errors
/// Settings that make no sense, too few rows, or a device that failed.
pub fn train_on(
    rows: &[f32],
    d_in: usize,
    settings: TrainSettings,
    device: &Device,
    mut progress: impl FnMut(usize, f64),
) -> Result<Trained, DictionaryError> {
    let mut order = usual(&row_norms(rows, d_in));
    let sample: Vec<f32> =
        order.iter().flat_map(|row| &rows[row * d_in..(row + 1) * d_in]).copied().collect();
    let mut trainer = Trainer::new(&sample, d_in, settings, device)?;
    drop(sample);
    let mut random = ChaCha8Rng::seed_from_u64(settings.seed);
    let mut next = order.len();
    for step in 0..settings.steps {
        let mut batch = Vec::with_capacity(settings.batch * d_in);
        for _ in 0..settings.batch {
            if next == order.len() {
                order.shuffle(&mut random);
                next = 0;
            }
            let row = order[next] * d_in;
            batch.extend_from_slice(&rows[row..row + d_in]);
            next += 1;
        }
        progress(step, trainer.step(matrix(batch, [settings.batch, d_in], device))?);
    }
    order.shuffle(&mut random);
    order.truncate(CALIBRATION_ROWS);
    let calibration: Vec<f32> =
        order.iter().flat_map(|row| &rows[row * d_in..(row + 1) * d_in]).copied().collect();
    trainer.finish(&calibration)
}

fn first_parameters(
    mean: &[f32],
    scale: f32,
    features: usize,
    random: &mut ChaCha8Rng,
    device: &Device,
) -> Parameters {
    let d_in = mean.len();
    let mut w_dec: Vec<f32> = (0..features * d_in).map(|_| normal(random)).collect();
    for row in w_dec.chunks_exact_mut(d_in) {
        let norm = row.iter().map(|x| x * x).sum::<f32>().sqrt();
        for x in row {
            *x /= norm;
        }
    }
    let b_dec: Tensor<2> = vector(mean.iter().map(|x| x * scale).collect(), device).unsqueeze();
    let w_dec = matrix(w_dec, [features, d_in], device);
    let b_enc = -b_dec.clone().matmul(w_dec.clone().transpose());
    Parameters { w_enc: w_dec.clone(), b_enc, w_dec, b_dec }
}

fn mean(rows: &[f32], d_in: usize) -> Vec<f32> {
    let mut sums = vec![0.0_f64; d_in];
    for row in rows.chunks_exact(d_in) {
        sums.iter_mut().zip(row).for_each(|(sum, x)| *sum += f64::from(*x));
    }
    let count = (rows.len() / d_in) as f64;
    sums.into_iter().map(|sum| (sum / count) as f32).collect()
}

/// A number from the standard normal distribution, by Box and Muller.
fn normal(random: &mut ChaCha8Rng) -> f32 {
    let radius = (-2.0 * (1.0 - random.random::<f64>()).ln()).sqrt();
    (radius * (std::f64::consts::TAU * random.random::<f64>()).cos()) as f32
}

fn unit_rows(w_dec: Tensor<2>) -> Tensor<2> {
    let norms = norm(&w_dec);
    w_dec / norms.clamp_min(f32::MIN_POSITIVE)
}
