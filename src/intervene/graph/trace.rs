//! The graph, from the metric down.

use std::collections::BTreeMap;

use burn::tensor::Tensor;

use super::edges::{Edge, Feature, Source, Target};
use super::level::Level;
use super::prune::holding;
use crate::dictionary::Dictionary;
use crate::intervene::error::InterveneError;
use crate::intervene::kept::Base;
use crate::model::{Freeze, Hook};

/// Gradients that go through a block together, which bounds the memory.
const TOGETHER: usize = 32;

/// What is followed and kept.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Of each captured block the features are followed that hold this share of the influence of its features.
    pub nodes: f64,
    /// So many of a block at most.
    pub most: usize,
    /// Of the edges between what is followed, those are kept that carry this share of the influence.
    pub edges: f64,
    /// What gradients take as constant.
    pub freeze: Freeze,
}

/// The graph of a metric.
#[derive(Clone, Debug)]
pub struct Graph {
    /// The edges that are kept, the largest influence first, level by level.
    pub edges: Vec<Edge>,
    /// The features that were followed, with their activations and their influence.
    pub features: Vec<(Feature, f32, f64)>,
    /// Where the influence of the metric ends.
    pub share: Share,
    /// What the sources of the metric add to it, all of them: with norms frozen and the last block captured, the
    /// metric itself; with norms moving nothing, since the metric does not change if the last residual gets longer.
    pub explained: f64,
}

/// Where influence ends. The four add up to 1.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Share {
    /// In the embeddings of tokens.
    pub tokens: f64,
    /// In what dictionaries leave unexplained.
    pub errors: f64,
    /// In the biases of decoders.
    pub biases: f64,
    /// In features that were not followed, or that nothing adds to.
    pub pruned: f64,
}

/// A target with the influence that it hands on, and its gradient at the residual of its own level.
struct Above {
    target: Target,
    influence: f64,
    gradient: Tensor<2>,
}

/// What comes into a level from the targets above.
struct Inflow {
    sources: Vec<Source>,
    /// By source.
    influence: Vec<f64>,
    edges: Vec<(usize, Edge)>,
    /// The sum of the weights of each target.
    sums: Vec<f64>,
    /// The influence of targets that nothing adds to.
    lost: f64,
}

impl Base<'_> {
    /// The graph of the metric through the blocks that the dictionaries read, down to the tokens.
    ///
    /// With K features followed of a block, K + 1 gradients go through the blocks below it, down to the next one that
    /// is captured.
    ///
    /// # Errors
    /// If a dictionary does not read the residual after a block of the model, or the device fails.
    pub fn graph(&self, dictionaries: &[Dictionary], limits: Limits) -> Result<Graph, InterveneError> {
        let mut dictionaries = dictionaries.iter().collect::<Vec<_>>();
        dictionaries.sort_by_key(|dictionary| std::cmp::Reverse(dictionary.hook.layer));
        for dictionary in &dictionaries {
            if dictionary.hook != Hook::resid_post(dictionary.hook.layer) {
                return Err(InterveneError::NotResidual { hook: dictionary.hook });
            }
        }
        let mut graph =
            Graph { edges: Vec::new(), features: Vec::new(), share: Share::default(), explained: 0.0 };
        let target = Target::Metric { position: self.n_prompt - 1 };
        let gradient = self.gradient_at_last(limits.freeze)?;
        let mut above = vec![Above { target, influence: 1.0, gradient }];
        let mut top = self.llama.config().n_layers;
        for dictionary in dictionaries.iter().map(Some).chain([None]) {
            let bottom = dictionary.map_or(0, |dictionary| dictionary.hook.layer + 1);
            let level = match dictionary {
                Some(dictionary) => Level::block(self, dictionary)?,
                None => Level::tokens(self)?,
            };
            let inflow = self.inflow(&level, above, bottom..top, limits.freeze)?;
            if top == self.llama.config().n_layers && graph.edges.is_empty() {
                graph.explained = inflow.sums.iter().sum();
            }
            above = graph.take(&level, &inflow, limits)?;
            top = bottom;
        }
        Ok(graph)
    }

    /// What the sources of a level add to the targets above it.
    fn inflow(
        &self,
        level: &Level<'_>,
        above: Vec<Above>,
        blocks: std::ops::Range<usize>,
        freeze: Freeze,
    ) -> Result<Inflow, InterveneError> {
        let sources = level.sources();
        let stream = self.stream(blocks.start)?;
        let mut inflow = Inflow {
            influence: vec![0.0; sources.len()],
            sources,
            edges: Vec::new(),
            sums: Vec::new(),
            lost: 0.0,
        };
        let mut above = above.into_iter().peekable();
        while above.peek().is_some() {
            let (heads, gradients): (Vec<_>, Vec<_>) = above
                .by_ref()
                .take(TOGETHER)
                .map(|above| ((above.target, above.influence), above.gradient))
                .unzip();
            let gradients = self.llama.pull_back(&stream, blocks.clone(), gradients, freeze, &mut |_, _| ());
            for ((target, influence), gradient) in heads.into_iter().zip(gradients) {
                inflow.add(target, influence, &level.weights(&gradient)?);
            }
        }
        Ok(inflow)
    }
}

impl Inflow {
    /// Hands the influence of a target on to the sources, by the sizes of their weights.
    fn add(&mut self, target: Target, influence: f64, weights: &[f64]) {
        let total = weights.iter().map(|weight| weight.abs()).sum::<f64>();
        self.sums.push(weights.iter().sum::<f64>());
        if total == 0.0 {
            self.lost += influence;
            return;
        }
        for (index, weight) in weights.iter().enumerate().filter(|(_, weight)| **weight != 0.0) {
            let share = influence * weight.abs() / total;
            self.influence[index] += share;
            let source = self.sources[index];
            self.edges.push((index, Edge { source, target, weight: *weight, influence: share }));
        }
    }
}

impl Graph {
    /// Takes in what comes into a level, and says which of its features are followed.
    fn take(
        &mut self,
        level: &Level<'_>,
        inflow: &Inflow,
        limits: Limits,
    ) -> Result<Vec<Above>, InterveneError> {
        self.share.pruned += inflow.lost;
        let of_features = |(source, influence): (&Source, &f64)| match source {
            Source::Feature(_) => *influence,
            _ => 0.0,
        };
        let sizes = inflow.sources.iter().zip(&inflow.influence).map(of_features).collect::<Vec<_>>();
        let total = sizes.iter().sum::<f64>();
        let mut followed = BTreeMap::new();
        for index in holding(&sizes, total, limits.nodes, limits.most) {
            if let Source::Feature(feature) = inflow.sources[index] {
                followed.insert(index, feature);
            }
        }
        for (index, (source, influence)) in inflow.sources.iter().zip(&inflow.influence).enumerate() {
            match source {
                Source::Token { .. } => self.share.tokens += influence,
                Source::Error { .. } => self.share.errors += influence,
                Source::Bias { .. } => self.share.biases += influence,
                Source::Feature(_) if followed.contains_key(&index) => {}
                Source::Feature(_) => self.share.pruned += influence,
            }
        }
        let is_kept = |(index, edge): &&(usize, Edge)| {
            !matches!(edge.source, Source::Feature(_)) || followed.contains_key(index)
        };
        let edges = inflow.edges.iter().filter(is_kept).map(|(_, edge)| *edge).collect::<Vec<_>>();
        let sizes = edges.iter().map(|edge| edge.influence).collect::<Vec<_>>();
        let kept = holding(&sizes, sizes.iter().sum(), limits.edges, usize::MAX);
        self.edges.extend(kept.into_iter().map(|index| edges[index]));

        let mut above = Vec::with_capacity(followed.len());
        for (index, feature) in followed {
            let influence = inflow.influence[index];
            self.features.push((feature, level.activation(feature), influence));
            let gradient = level.gradient_of(feature)?;
            above.push(Above { target: Target::Feature(feature), influence, gradient });
        }
        Ok(above)
    }
}
