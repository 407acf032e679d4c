//! The tap that keeps activations, and changes nothing.

use std::collections::BTreeMap;

use burn::tensor::Tensor;

use crate::model::{Hook, Site, Tap};

/// Keeps the residual after every block, and every activation at some sites.
#[derive(Default)]
pub(super) struct Record {
    /// The sites that are kept beside the residual.
    pub(super) sites: Vec<Site>,
    /// The residual after each block, in their order: `[tokens, d_model]`.
    pub(super) residuals: Vec<Tensor<2>>,
    /// The activations at the sites: `[tokens, width]`.
    pub(super) activations: BTreeMap<Hook, Tensor<2>>,
    /// The patterns by block, if patterns are kept: `[head, query, key]`.
    pub(super) patterns: BTreeMap<usize, Tensor<3>>,
}

impl Tap for Record {
    fn activation(&mut self, hook: Hook, x: Tensor<2>) -> Tensor<2> {
        if hook.site == Site::ResidPost {
            self.residuals.push(x.clone());
        } else if self.sites.contains(&hook.site) {
            self.activations.insert(hook, x.clone());
        }
        x
    }

    fn wants_pattern(&self, _layer: usize) -> bool {
        self.sites.contains(&Site::Pattern)
    }

    fn pattern(&mut self, layer: usize, _sequence: usize, pattern: Tensor<3>) -> Tensor<3> {
        self.patterns.insert(layer, pattern.clone());
        pattern
    }
}
