//! Everything that a captured block, or the embeddings, can add to targets above.

use burn::tensor::{DType, Tensor};

use super::edges::{Feature, Source};
use crate::dictionary::Dictionary;
use crate::intervene::error::InterveneError;
use crate::intervene::kept::Base;
use crate::intervene::on_host::{numbers, products};

/// Rows that are encoded at once, which bounds the memory.
const CHUNK: usize = 256;

/// The sources of one level.
pub(super) struct Level<'a> {
    /// The dictionary of the block; the embeddings have none.
    dictionary: Option<&'a Dictionary>,
    /// The residual: `[tokens, d_model]`, f32.
    residual: Tensor<2>,
    /// The active features, by position and feature, with their activations.
    active: Vec<(Feature, f32)>,
    /// What the dictionary leaves unexplained, and its bias, in the model's units: `[tokens, d_model]` each.
    rest: Option<[Tensor<2>; 2]>,
}

impl<'a> Level<'a> {
    /// The embeddings.
    pub(super) fn tokens(base: &Base<'_>) -> Result<Self, InterveneError> {
        let residual = base.entering(0)?.clone().cast(DType::F32);
        Ok(Self { dictionary: None, residual, active: Vec::new(), rest: None })
    }

    /// The residual after the block that `dictionary` reads.
    pub(super) fn block(base: &Base<'_>, dictionary: &'a Dictionary) -> Result<Self, InterveneError> {
        let layer = dictionary.hook.layer;
        let residual = base.residual(layer)?.clone().cast(DType::F32);
        let [tokens, width] = residual.dims();
        let (mut active, mut errors, mut biases) = (Vec::new(), Vec::new(), Vec::new());
        for start in (0..tokens).step_by(CHUNK) {
            let x = residual.clone().slice([start..(start + CHUNK).min(tokens), 0..width]);
            let f = dictionary.encode(x.clone());
            errors.push(x.clone() - dictionary.decode(f.clone(), &x));
            biases.push(dictionary.decode(f.zeros_like(), &x));
            let f = numbers(f)?;
            for (row, f) in f.chunks(dictionary.d_sae).enumerate() {
                let position = start + row;
                let firing = f.iter().enumerate().filter(|(_, activation)| **activation > 0.0);
                active.extend(firing.map(|(feature, activation)| {
                    (Feature { layer, position, feature: feature as u32 }, *activation)
                }));
            }
        }
        let rest = Some([Tensor::cat(errors, 0), Tensor::cat(biases, 0)]);
        Ok(Self { dictionary: Some(dictionary), residual, active, rest })
    }

    /// The sources, in the order of [`Level::weights`].
    pub(super) fn sources(&self) -> Vec<Source> {
        let tokens = self.residual.dims()[0];
        let Some(dictionary) = self.dictionary else {
            return (0..tokens).map(|position| Source::Token { position }).collect::<Vec<_>>();
        };
        let layer = dictionary.hook.layer;
        let features = self.active.iter().map(|(feature, _)| Source::Feature(*feature));
        let errors = (0..tokens).map(|position| Source::Error { layer, position });
        let biases = (0..tokens).map(|position| Source::Bias { layer, position });
        features.chain(errors).chain(biases).collect::<Vec<_>>()
    }

    /// What each source adds to a target, from the target's gradient at this residual: `[tokens, d_model]`.
    pub(super) fn weights(&self, gradient: &Tensor<2>) -> Result<Vec<f64>, InterveneError> {
        let (Some(dictionary), Some([errors, biases])) = (self.dictionary, &self.rest) else {
            return products(&self.residual, gradient);
        };
        let [tokens, width] = self.residual.dims();
        let mut weights = Vec::with_capacity(self.active.len() + 2 * tokens);
        let mut active = self.active.iter().peekable();
        for start in (0..tokens).step_by(CHUNK) {
            let rows = [start..(start + CHUNK).min(tokens), 0..width];
            let [x, g] = [&self.residual, gradient].map(|x| x.clone().slice(rows.clone()));
            let slopes = numbers(dictionary.slopes(g, &x))?;
            while let Some((feature, activation)) = active.next_if(|(at, _)| at.position < rows[0].end) {
                let at = (feature.position - start) * dictionary.d_sae + feature.feature as usize;
                weights.push(f64::from(*activation) * f64::from(slopes[at]));
            }
        }
        weights.extend(products(errors, gradient)?);
        weights.extend(products(biases, gradient)?);
        Ok(weights)
    }

    /// The activation of an active feature.
    pub(super) fn activation(&self, feature: Feature) -> f32 {
        let found = self.active.binary_search_by_key(&feature, |(feature, _)| *feature);
        found.map_or(0.0, |at| self.active[at].1)
    }

    /// The gradient of a feature before its nonlinearity at this residual: `[tokens, d_model]`, 0 but at its position.
    pub(super) fn gradient_of(&self, feature: Feature) -> Result<Tensor<2>, InterveneError> {
        let nothing = self.residual.zeros_like();
        let Some(dictionary) = self.dictionary else { return Ok(nothing) };
        let (row, width) = (feature.position, self.residual.dims()[1]);
        let x = self.residual.clone().slice([row..row + 1, 0..width]);
        let gradient = dictionary.gradient_of(feature.feature, &x)?;
        Ok(nothing.slice_assign([row..row + 1, 0..width], gradient))
    }
}
