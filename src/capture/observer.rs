//! The tap that keeps what a run stores, and changes nothing.

use std::collections::BTreeMap;

use burn::tensor::Tensor;

use super::attention::{KeptPattern, keep};
use super::settings::Settings;
use crate::dictionary::{Dictionary, DictionaryError, Sparse};
use crate::model::{Hook, Tap};

/// Encodes the residual by each block's dictionary and keeps rows of its pattern, all on the device.
pub(crate) struct Observer<'a> {
    dictionaries: &'a [Dictionary],
    settings: &'a Settings,
    /// The decision position of every sequence.
    decisions: &'a [usize],
    /// What each block's dictionary found at the packed positions.
    pub(crate) features: BTreeMap<usize, Sparse>,
    /// What is kept of each block's pattern, one entry a sequence.
    pub(crate) patterns: BTreeMap<usize, Vec<KeptPattern>>,
    /// Why a block's features are missing.
    pub(crate) failed: Option<DictionaryError>,
}

impl<'a> Observer<'a> {
    pub(crate) fn new(
        dictionaries: &'a [Dictionary],
        settings: &'a Settings,
        decisions: &'a [usize],
    ) -> Self {
        Self {
            dictionaries,
            settings,
            decisions,
            features: BTreeMap::new(),
            patterns: BTreeMap::new(),
            failed: None,
        }
    }
}

impl Tap for Observer<'_> {
    fn activation(&mut self, hook: Hook, x: Tensor<2>) -> Tensor<2> {
        for dictionary in self.dictionaries.iter().filter(|dictionary| dictionary.hook == hook) {
            match dictionary.sparsify(x.clone(), self.settings.keep) {
                Ok(sparse) => {
                    self.features.insert(hook.layer, sparse);
                }
                // The forward pass cannot be left half-way; the first failure is reported after it.
                Err(error) => self.failed = self.failed.take().or(Some(error)),
            }
        }
        x
    }

    fn wants_pattern(&self, layer: usize) -> bool {
        self.settings.layers.contains(&layer)
    }

    fn pattern(&mut self, layer: usize, sequence: usize, pattern: Tensor<3>) -> Tensor<3> {
        let kept = keep(pattern.clone(), self.decisions[sequence], self.settings.attention);
        self.patterns.entry(layer).or_default().push(kept);
        pattern
    }
}
