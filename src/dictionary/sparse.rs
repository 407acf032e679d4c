//! The features of each position that are kept, and what was dropped.

use burn::tensor::{DType, Device, FloatDType, Int, Tensor, TensorData};
use rayon::prelude::*;

use super::canonical::Dictionary;
use super::encode::norm;
use super::error::DictionaryError;
use super::select::{Entry, descending, is_host, largest, numbers, positives};

/// How many features of each position are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// The largest few.
    Top(usize),
    /// All that fire.
    All,
}

/// What leaves the device for rows of the model.
#[derive(Clone, Debug)]
pub struct Sparse {
    /// Features, largest activation first: `[n, k]`. Means nothing where the value is 0.
    pub index: Tensor<2, Int>,
    /// Their activations, descending; 0 where there are fewer features: `[n, k]`.
    pub value: Tensor<2>,
    /// Number of active features, kept or not: `[n]`.
    pub l0: Tensor<1>,
    /// L2 norm of all active features: `[n]`.
    pub feature_norm: Tensor<1>,
    /// L2 norm of the row, in the model's units: `[n]`.
    pub residual_norm: Tensor<1>,
    /// L2 norm of what all active features together leave unexplained, in the model's units: `[n]`.
    pub reconstruction_error: Tensor<1>,
    /// Share of `feature_norm` squared that the kept features hold; 1 where none was dropped: `[n]`.
    pub kept_share: Tensor<1>,
}

/// The part of [`Sparse`] that comes from the activations alone.
struct Chosen {
    index: Tensor<2, Int>,
    value: Tensor<2>,
    l0: Tensor<1>,
    feature_norm: Tensor<1>,
    kept_share: Tensor<1>,
}

impl Dictionary {
    /// Encodes rows `x: [n, d_in]` and keeps their largest features. All of it stays on the device, but for one
    /// number that [`Keep::All`] has to read.
    ///
    /// # Errors
    /// [`DictionaryError::Device`] if that number cannot be read.
    pub fn sparsify(&self, x: Tensor<2>, keep: Keep) -> Result<Sparse, DictionaryError> {
        if is_host(&x.device()) {
            self.sparsify_by(x, keep, choose_on_host)
        } else {
            self.sparsify_plain(x, keep)
        }
    }

    /// [`Dictionary::sparsify`] in plain tensor operations, for any device.
    ///
    /// # Errors
    /// [`DictionaryError::Device`] if a number cannot be read.
    pub fn sparsify_plain(&self, x: Tensor<2>, keep: Keep) -> Result<Sparse, DictionaryError> {
        self.sparsify_by(x, keep, choose)
    }

    fn sparsify_by(
        &self,
        x: Tensor<2>,
        keep: Keep,
        choose: fn(Tensor<2>, Keep) -> Result<Chosen, DictionaryError>,
    ) -> Result<Sparse, DictionaryError> {
        let x = x.cast(FloatDType::F32);
        let f = self.encode(x.clone());
        let residual_norm = norm(&x).squeeze_dim(1);
        let x_hat = self.decode(f.clone(), &x);
        let reconstruction_error = norm(&(x - x_hat)).squeeze_dim(1);
        let Chosen { index, value, l0, feature_norm, kept_share } = choose(f, keep)?;
        Ok(Sparse { index, value, l0, feature_norm, residual_norm, reconstruction_error, kept_share })
    }
}

/// Chooses in tensor operations.
fn choose(f: Tensor<2>, keep: Keep) -> Result<Chosen, DictionaryError> {
    let d_sae = f.dims()[1];
    let l0: Tensor<1> = f.clone().greater_scalar(0.0).cast(FloatDType::F32).sum_dim(1).squeeze_dim(1);
    let width = match keep {
        Keep::Top(k) => k.clamp(1, d_sae),
        Keep::All => largest_count(l0.clone())?.clamp(1, d_sae),
    };
    let total = f.clone().square().sum_dim(1);
    let (value, index) = f.topk_with_indices(width, 1);
    let share: Tensor<1> = (value.clone().square().sum_dim(1) / total.clone()).squeeze_dim(1);
    let complete = l0.clone().lower_equal_scalar(width as f64);
    Ok(Chosen {
        index,
        value,
        l0,
        feature_norm: total.sqrt().squeeze_dim(1),
        kept_share: share.mask_fill(complete, 1.0),
    })
}

fn largest_count(l0: Tensor<1>) -> Result<usize, DictionaryError> {
    let counts = l0.try_into_data_as::<f32>()?;
    Ok(counts.iter::<f32>().fold(0.0, f32::max) as usize)
}

/// Chooses in the host's memory, in one pass over each row.
#[expect(clippy::unnecessary_wraps, reason = "the plain version, which it stands in for, can fail")]
fn choose_on_host(f: Tensor<2>, keep: Keep) -> Result<Chosen, DictionaryError> {
    let device = f.device();
    let [n, d_sae] = f.dims();
    let f = numbers(f);
    let rows: Vec<Row> = f.par_chunks(d_sae).map(|row| Row::of(row, keep)).collect();
    let width = match keep {
        Keep::Top(k) => k.clamp(1, d_sae),
        Keep::All => rows.iter().map(|row| row.kept.len()).max().unwrap_or(0).max(1),
    };
    let mut index = vec![0_i32; n * width];
    let mut value = vec![0.0_f32; n * width];
    for (at, row) in rows.iter().enumerate() {
        for (slot, (activation, feature)) in row.kept.iter().enumerate() {
            index[at * width + slot] = *feature as i32;
            value[at * width + slot] = *activation;
        }
    }
    let column = |of: fn(&Row) -> f32| per_row(rows.iter().map(of).collect(), &device);
    Ok(Chosen {
        index: Tensor::from_data(TensorData::new(index, [n, width]), (&device, DType::I32)),
        value: Tensor::from_data(TensorData::new(value, [n, width]), (&device, DType::F32)),
        l0: column(|row| row.l0 as f32),
        feature_norm: column(|row| row.norm_squared.sqrt() as f32),
        kept_share: column(|row| row.kept_share),
    })
}

fn per_row(values: Vec<f32>, device: &Device) -> Tensor<1> {
    super::tensors::vector(values, device)
}

/// One row's features.
struct Row {
    kept: Vec<Entry>,
    l0: usize,
    norm_squared: f64,
    kept_share: f32,
}

impl Row {
    fn of(row: &[f32], keep: Keep) -> Self {
        let squares = |entries: &[Entry]| entries.iter().map(|entry| f64::from(entry.0).powi(2)).sum::<f64>();
        let mut kept = positives(row, None);
        let (l0, norm_squared) = (kept.len(), squares(&kept));
        if let Keep::Top(k) = keep {
            largest(&mut kept, k.max(1));
        }
        kept.sort_unstable_by(descending);
        let kept_share = if kept.len() == l0 { 1.0 } else { (squares(&kept) / norm_squared) as f32 };
        Self { kept, l0, norm_squared, kept_share }
    }
}
