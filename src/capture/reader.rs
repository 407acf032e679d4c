//! One packed forward pass over steps, and the rows that it leaves.

use burn::tensor::{Int, Tensor, TensorData};

use super::CaptureError;
use super::attention::KeptPattern;
use super::observer::Observer;
use super::prepare::Prepared;
use super::readback::{Readback, Received};
use super::rows::{Features, Pattern};
use super::settings::Settings;
use crate::dictionary::{Dictionary, Sparse};
use crate::lake::Captured;
use crate::model::{Cache, Llama, Packed};

/// What a pass over several steps gives.
pub struct Reading {
    /// The rows of each step.
    pub captured: Vec<Captured>,
    /// The last block's residual at each step's decision position: `[steps, d_model]`.
    pub decisions: Tensor<2>,
    /// What each step's attention remembers, to go on from.
    pub caches: Vec<Cache>,
}

/// Reads steps with a model and its dictionaries.
pub struct Reader<'a> {
    /// The model.
    pub llama: &'a Llama,
    /// The dictionaries of the captured blocks.
    pub dictionaries: &'a [Dictionary],
    /// What is kept.
    pub settings: &'a Settings,
}

impl Reader<'_> {
    /// Runs `steps` in one packed pass and keeps what the settings ask for.
    ///
    /// # Errors
    /// If the device fails.
    pub fn read(&self, steps: &[&Prepared]) -> Result<Reading, CaptureError> {
        let ids: Vec<Vec<u32>> = steps.iter().map(|step| step.ids()).collect();
        let packed = Packed::new(ids.iter().map(Vec::as_slice));
        let positions: Vec<usize> = steps.iter().map(|step| step.decision).collect();
        let mut observer = Observer::new(self.dictionaries, self.settings, &positions);
        let mut caches = vec![Cache::default(); steps.len()];
        let residual = self.llama.extend(&packed, &mut caches, &mut observer);
        if let Some(error) = observer.failed.take() {
            return Err(error.into());
        }
        let rows = packed.ranges().zip(&positions).map(|(range, position)| (range.start + position) as i64);
        let rows = TensorData::from(rows.collect::<Vec<i64>>().as_slice());
        let rows = Tensor::<1, Int>::from_data(rows, self.llama.device());
        let decisions = residual.select(0, rows);
        let captured = self.bring(observer, &packed, steps)?;
        Ok(Reading { captured, decisions, caches })
    }

    /// Copies what the observer kept to the host, once, and makes rows of it.
    fn bring(
        &self,
        observer: Observer<'_>,
        packed: &Packed,
        steps: &[&Prepared],
    ) -> Result<Vec<Captured>, CaptureError> {
        let mut readback = Readback::default();
        let widths: Vec<(usize, usize)> = observer
            .features
            .into_iter()
            .map(|(layer, sparse)| (layer, ask_sparse(&mut readback, sparse)))
            .collect();
        let patterns: Vec<(usize, Vec<PatternShape>)> = observer
            .patterns
            .into_iter()
            .map(|(layer, kept)| {
                (layer, kept.into_iter().map(|kept| ask_pattern(&mut readback, kept)).collect())
            })
            .collect();
        let mut received = readback.read()?;
        let mut captured = vec![Captured::default(); steps.len()];
        for (layer, width) in widths {
            let found = FoundFeatures::receive(&mut received, width)?;
            let layer = layer as i32;
            for ((step, range), captured) in steps.iter().zip(packed.ranges()).zip(&mut captured) {
                let features = captured.features.entry(layer).or_default();
                let positions = captured.positions.entry(layer).or_default();
                found.rows().push((step.game, step.step), range, features, positions);
            }
        }
        for (layer, shapes) in patterns {
            let layer = layer as i32;
            for ((step, shape), captured) in steps.iter().zip(shapes).zip(&mut captured) {
                let pattern = FoundPattern::receive(&mut received, shape)?;
                let attention = captured.attention.entry(layer).or_default();
                let rows = captured.attention_rows.entry(layer).or_default();
                let place = (step.game, step.step);
                pattern.rows(step.decision).push(place, self.settings.attention, attention, rows);
            }
        }
        Ok(captured)
    }
}

/// The shape of a kept pattern while its tensors are under way.
struct PatternShape {
    heads: usize,
    positions: usize,
    strongest: Option<usize>,
    whole: bool,
}

fn ask_sparse(readback: &mut Readback, sparse: Sparse) -> usize {
    let width = sparse.index.dims()[1];
    readback.integers(sparse.index);
    readback.floats(sparse.value);
    readback.floats(sparse.l0);
    readback.floats(sparse.feature_norm);
    readback.floats(sparse.residual_norm);
    readback.floats(sparse.reconstruction_error);
    readback.floats(sparse.kept_share);
    width
}

/// What a dictionary found, on the host.
struct FoundFeatures {
    index: Vec<i32>,
    width: usize,
    value: Vec<f32>,
    l0: Vec<f32>,
    feature_norm: Vec<f32>,
    residual_norm: Vec<f32>,
    reconstruction_error: Vec<f32>,
    kept_share: Vec<f32>,
}

impl FoundFeatures {
    fn receive(received: &mut Received, width: usize) -> Result<Self, CaptureError> {
        Ok(Self {
            index: received.integers()?,
            value: received.floats()?,
            width,
            l0: received.floats()?,
            feature_norm: received.floats()?,
            residual_norm: received.floats()?,
            reconstruction_error: received.floats()?,
            kept_share: received.floats()?,
        })
    }

    fn rows(&self) -> Features<'_> {
        Features {
            index: &self.index,
            value: &self.value,
            width: self.width,
            l0: &self.l0,
            feature_norm: &self.feature_norm,
            residual_norm: &self.residual_norm,
            reconstruction_error: &self.reconstruction_error,
            kept_share: &self.kept_share,
        }
    }
}

fn ask_pattern(readback: &mut Readback, kept: KeptPattern) -> PatternShape {
    let [heads, positions] = kept.decision.dims();
    readback.floats(kept.decision);
    readback.floats(kept.entropy);
    let strongest = kept.strongest.map(|(weights, keys)| {
        let width = weights.dims()[2];
        readback.floats(weights);
        readback.integers(keys);
        width
    });
    let whole = kept.whole.map(|whole| readback.floats(whole));
    PatternShape { heads, positions, strongest, whole: whole.is_some() }
}

/// What is kept of a pattern, on the host.
struct FoundPattern {
    shape: PatternShape,
    decision_row: Vec<f32>,
    entropy: Vec<f32>,
    strongest: Option<(Vec<f32>, Vec<i32>, usize)>,
    whole: Option<Vec<f32>>,
}

impl FoundPattern {
    fn receive(received: &mut Received, shape: PatternShape) -> Result<Self, CaptureError> {
        Ok(Self {
            decision_row: received.floats()?,
            entropy: received.floats()?,
            strongest: match shape.strongest {
                Some(width) => Some((received.floats()?, received.integers()?, width)),
                None => None,
            },
            whole: if shape.whole { Some(received.floats()?) } else { None },
            shape,
        })
    }

    fn rows(&self, decision: usize) -> Pattern<'_> {
        let PatternShape { heads, positions, .. } = self.shape;
        Pattern {
            heads,
            positions,
            decision,
            decision_row: &self.decision_row,
            strongest: self
                .strongest
                .as_ref()
                .map(|(weights, keys, width)| (weights.as_slice(), keys.as_slice(), *width)),
            whole: self.whole.as_deref(),
            entropy: &self.entropy,
            first: 0,
            stride: positions,
        }
    }
}
