//! Which features have stopped firing.

use burn::tensor::Tensor;

use crate::dictionary::error::DictionaryError;

/// How many rows each feature has been silent for.
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

    /// The features that have been silent for more than `rows` rows, in ascending order.
    pub(crate) fn dead(&self, rows: usize) -> Vec<usize> {
        let silent = self.rows.iter().enumerate().filter(|(_, silent)| **silent > rows);
        silent.map(|(feature, _)| feature).collect()
    }
}
