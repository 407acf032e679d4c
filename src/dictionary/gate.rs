//! Whether what a dictionary does to this model's activations is plausible.
//!
//! A dictionary that is read at the wrong layer, without its norm or without its threshold still gives numbers.
//! They show in two figures: how many features fire, and how much of the variance they explain.

use burn::tensor::{FloatDType, Int, Tensor, TensorData};

use super::canonical::{Activation, Dictionary};
use super::encode::norm;
use super::error::DictionaryError;
use super::outliers::usual;

/// A dictionary of which less than one feature fires on average says nothing.
pub const MIN_L0: f64 = 1.0;
/// Published dictionaries fire on at most a few hundredths of their features; an eighth is not sparse.
pub const MAX_L0_SHARE: f64 = 1.0 / 8.0;
/// Text of another kind moves the mean number of active features by less than this factor either way; a
/// missing threshold moves it by 20 (Llama Scope's layer 15: 1,089 features instead of 42).
pub const L0_FACTOR: f64 = 4.0;
/// Published dictionaries explain 0.6 to 0.95 of the variance of what they were trained on.
pub const MIN_EXPLAINED_VARIANCE: f64 = 0.3;
/// The same factor for a dictionary whose files record what it does to this model, on rows of the kind that it
/// was measured on. Without their threshold, those for `SmolLM2` fire 1.8 to 3.2 times as many features.
pub const RECORDED_L0_FACTOR: f64 = 1.6;
/// How much less than its record such a dictionary may explain. At a neighboring layer, those for `SmolLM2`
/// explain 0.12 to 1.9 less.
pub const EXPLAINED_VARIANCE_SLACK: f64 = 0.1;
/// Rows that are encoded at once while measuring, which bounds the memory.
const CHUNK: usize = 1024;

/// What a dictionary does to some rows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Measured {
    /// How many rows were measured.
    pub rows: usize,
    /// How many more were left out, for they are longer than [`LONGEST`](super::LONGEST) times the median.
    pub outliers: usize,
    /// Mean number of active features.
    pub l0: f64,
    /// `1 − Σ‖x − x̂‖² / Σ‖x − mean‖²`.
    pub explained_variance: f64,
    /// Share of the features that fire on none of the rows.
    pub dead_share: f64,
}

/// Which figure is out of which bound.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum Implausible {
    /// One row has no variance.
    #[error("{rows} rows are too few to measure it on")]
    NothingToMeasure {
        /// How many rows there were.
        rows: usize,
    },
    /// A figure is not a number.
    #[error("its activations on this model are not finite")]
    NotFinite,
    /// Almost nothing fires.
    #[error("{l0:.2} features fire on average, fewer than {bound}")]
    TooSparse {
        /// Measured.
        l0: f64,
        /// At least this.
        bound: f64,
    },
    /// Too much fires.
    #[error("{l0:.1} features fire on average, more than {bound:.1}")]
    TooDense {
        /// Measured.
        l0: f64,
        /// At most this.
        bound: f64,
    },
    /// The reconstruction is poor.
    #[error("it explains {explained_variance:.3} of the variance, less than {bound:.3}")]
    Unexplained {
        /// Measured.
        explained_variance: f64,
        /// At least this.
        bound: f64,
    },
}

impl Implausible {
    /// What it usually means.
    pub const fn usual_cause(&self) -> &'static str {
        match self {
            Self::NothingToMeasure { .. } => "measure it on positions of real prompts",
            Self::NotFinite => "the model overflowed; try --dtype f32 or bf16",
            Self::TooSparse { .. } => "usually a wrong layer, a missing input norm or another model",
            Self::TooDense { .. } => "usually a missing or wrong threshold, or a missing input norm",
            Self::Unexplained { .. } => {
                "usually a dictionary of another layer or model, a missing norm, or a residual read after the final norm"
            }
        }
    }
}

/// Measures a dictionary over any number of batches.
pub struct Gauge<'a> {
    dictionary: &'a Dictionary,
    rows: usize,
    outliers: usize,
    active: f64,
    error: f64,
    /// `Σ‖x − mean‖²` and the mean, merged batch by batch.
    spread: f64,
    mean: Vec<f64>,
    fired: Vec<bool>,
}

impl<'a> Gauge<'a> {
    /// Starts with no rows.
    pub fn new(dictionary: &'a Dictionary) -> Self {
        let (mean, fired) = (vec![0.0; dictionary.d_in], vec![false; dictionary.d_sae]);
        Self { dictionary, rows: 0, outliers: 0, active: 0.0, error: 0.0, spread: 0.0, mean, fired }
    }

    /// Adds rows of the model: `[n, d_in]`, in its units. Those that are far longer than the others are left
    /// out and counted.
    pub fn add(&mut self, x: &Tensor<2>) -> Result<(), DictionaryError> {
        let norms = values(norm(&x.clone().cast(FloatDType::F32)))?;
        let rows: Vec<i32> = usual(&norms).into_iter().map(|row| row as i32).collect();
        self.outliers += norms.len() - rows.len();
        for rows in rows.chunks(CHUNK) {
            let rows = TensorData::new(rows.to_vec(), [rows.len()]);
            let chunk = x.clone().select(0, Tensor::<1, Int>::from_data(rows, &x.device()));
            self.add_chunk(chunk.cast(FloatDType::F32))?;
        }
        Ok(())
    }

    fn add_chunk(&mut self, x: Tensor<2>) -> Result<(), DictionaryError> {
        let rows = x.dims()[0];
        let f = self.dictionary.encode(x.clone());
        let fires = f.clone().greater_scalar(0.0).cast(FloatDType::F32);
        self.active += sum(fires.clone().sum_dim(1))?;
        for (fired, count) in self.fired.iter_mut().zip(values(fires.sum_dim(0))?) {
            *fired |= count > 0.0;
        }
        let error = x.clone() - self.dictionary.decode(f, &x);
        self.error += sum(error.square().sum_dim(1))?;

        // The mean is taken off before squaring, and batches are merged as Chan, Golub and LeVeque do, so that
        // a large mean does not drown the spread.
        let mean = x.clone().mean_dim(0);
        let spread = sum((x - mean.clone()).square().sum_dim(1))?;
        let (before, now) = (self.rows as f64, rows as f64);
        let mut shift = 0.0;
        for (total, mean) in self.mean.iter_mut().zip(values(mean)?) {
            let difference = f64::from(mean) - *total;
            shift += difference * difference;
            *total += difference * now / (before + now);
        }
        self.spread += spread + shift * before * now / (before + now);
        self.rows += rows;
        Ok(())
    }

    /// The figures over all rows so far.
    pub fn measured(&self) -> Measured {
        let dead = self.fired.iter().filter(|fired| !**fired).count();
        Measured {
            rows: self.rows,
            outliers: self.outliers,
            l0: self.active / self.rows as f64,
            explained_variance: 1.0 - self.error / self.spread,
            dead_share: dead as f64 / self.fired.len() as f64,
        }
    }
}

impl Dictionary {
    /// Measures the dictionary on rows of the model: `[n, d_in]`, in its units, without position 0 and special
    /// tokens, which no dictionary was trained on.
    pub fn measure(&self, x: &Tensor<2>) -> Result<Measured, DictionaryError> {
        let mut gauge = Gauge::new(self);
        gauge.add(x)?;
        Ok(gauge.measured())
    }

    /// Refuses figures that no well-read dictionary has.
    pub fn check(&self, measured: &Measured) -> Result<(), DictionaryError> {
        self.judge(measured).map_err(|why| DictionaryError::Implausible {
            origin: self.provenance.source.clone(),
            hook: self.hook,
            why,
        })
    }

    fn judge(&self, measured: &Measured) -> Result<(), Implausible> {
        let &Measured { rows, l0, explained_variance, .. } = measured;
        let expected = self.provenance.expected;
        if rows < 2 {
            return Err(Implausible::NothingToMeasure { rows });
        }
        if !explained_variance.is_finite() {
            return Err(Implausible::NotFinite);
        }
        // Only this program records the explained variance, together with the L0 that it measured.
        let factor = if expected.explained_variance.is_some() { RECORDED_L0_FACTOR } else { L0_FACTOR };
        let low = expected.l0.map_or(MIN_L0, |l0| MIN_L0.max(f64::from(l0) / factor));
        if l0 < low {
            return Err(Implausible::TooSparse { l0, bound: low });
        }
        let high = match (&self.activation, expected.l0) {
            (Activation::TopK { .. } | Activation::GroupMax { .. }, _) => f64::INFINITY,
            (_, Some(l0)) => f64::from(l0) * factor,
            (_, None) => self.d_sae as f64 * MAX_L0_SHARE,
        };
        if l0 > high {
            return Err(Implausible::TooDense { l0, bound: high });
        }
        let recorded = expected.explained_variance.map_or(f64::NEG_INFINITY, f64::from);
        let bound = MIN_EXPLAINED_VARIANCE.max(recorded - EXPLAINED_VARIANCE_SLACK);
        if explained_variance < bound {
            return Err(Implausible::Unexplained { explained_variance, bound });
        }
        Ok(())
    }
}

fn values(x: Tensor<2>) -> Result<Vec<f32>, DictionaryError> {
    Ok(x.try_into_data_as::<f32>()?.iter::<f32>().collect())
}

fn sum(x: Tensor<2>) -> Result<f64, DictionaryError> {
    Ok(values(x)?.into_iter().map(f64::from).sum())
}
