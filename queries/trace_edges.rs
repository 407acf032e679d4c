//! The edges of the trace over all games, layer by layer: what goes together with the targets most.

use std::{cmp::Ordering, sync::Arc};

use polars::prelude::{DataFrame, PlHashMap, PlHashSet, PolarsResult, df};

use crate::{
    add_up::{self, BySpan},
    correlation::{X, pearson},
    prompts::{Prompts, floats, ints},
    ranking::keep_first,
    tally::{Chosen, Token, by_span},
    trace_sums::{Source, Sources, Targets, Ys},
    walk::Rows,
};

/// What the edges of every layer are chosen by.
pub(crate) struct Choice {
    /// The targets.
    pub(crate) targets: Targets,
    /// What they add up to over the steps that have each span.
    pub(crate) of_spans: Vec<Ys>,
    /// The one span asked for.
    pub(crate) span: Option<u32>,
    /// In how many games a source must fire in the span.
    pub(crate) support: i64,
    /// How many sources each target has.
    pub(crate) limit: u32,
    /// By layer and feature of the source, layer and feature of the target.
    pub(crate) couplings: Option<PlHashMap<[i32; 4], f64>>,
}

/// The sums of a layer of sources: its edges are `to_layer`, `to_feature`, `from_layer`, `from_span`, `from_feature`,
/// `n_steps`, activation, coupling, score, correlation, of each target those with the largest scores in this layer.
pub(crate) struct Edges {
    layer: i32,
    choice: Arc<Choice>,
    spans: BySpan<Sources>,
}

struct Edge {
    /// Where the target is among the targets.
    target: usize,
    span: u32,
    feature: i32,
    activation: f32,
    coupling: Option<f64>,
    score: f32,
    correlation: f32,
}

impl Edges {
    /// Nothing yet.
    pub(crate) fn new(layer: i32, choice: Arc<Choice>) -> Self {
        Self { layer, choice, spans: BySpan::default() }
    }
}

impl Choice {
    /// The best edges into each target from a source in a span, in the order of targets.
    fn edges(&self, (layer, span): (i32, u32), mut sources: Sources, prompts: &Prompts) -> Vec<Edge> {
        let ys = &self.of_spans[span as usize];
        let mut edges = ys.sums.iter().map(|_| Vec::new()).collect::<Vec<_>>();
        for (feature, source, products) in sources.take(self.targets.features.len()) {
            if source.support >= self.support && ys.n_steps > 0 {
                for (target, xy) in products.iter().enumerate() {
                    let of = (target, span, feature);
                    edges[target].extend(self.edge(layer, of, &source, (*xy, ys)));
                }
            }
        }
        for edges in &mut edges {
            keep_first(edges, self.limit, |one, other| one.compare(other, prompts));
        }
        edges.into_iter().flatten().collect::<Vec<_>>()
    }

    fn edge(
        &self,
        layer: i32,
        (target, span, feature): (usize, u32, i32),
        source: &Source,
        (xy, ys): (f64, &Ys),
    ) -> Option<Edge> {
        let n = ys.n_steps as f64;
        let correlation = pearson(n, X { x: source.x, xx: source.xx }, ys.sums[target], xy)?;
        let coupling = match &self.couplings {
            Some(given) => {
                let to = self.targets.features[target];
                Some(*given.get(&[layer, feature, self.targets.layer, to])?)
            }
            None => None,
        };
        let score = (correlation * coupling.unwrap_or(1.0)) as f32;
        let activation = (source.x / n) as f32;
        let correlation = correlation as f32;
        (score != 0.0).then_some(Edge { target, span, feature, activation, coupling, score, correlation })
    }
}

impl Edge {
    /// Larger scores first.
    fn compare(&self, other: &Self, prompts: &Prompts) -> Ordering {
        let size = other.score.abs().total_cmp(&self.score.abs());
        size.then_with(|| prompts.name(self.span).cmp(prompts.name(other.span)))
            .then(self.feature.cmp(&other.feature))
    }
}

impl add_up::Sums for Edges {
    fn add(&mut self, rows: &Rows<'_>) -> PolarsResult<()> {
        let positions = ints(rows.frame, "position")?;
        let (features, activations) = (ints(rows.frame, "feature")?, floats(rows.frame, "activation")?);
        let steps = rows.by_step().collect::<Vec<_>>();
        let chosen = Chosen { span: self.choice.span, feature: None };
        let targets = &self.choice.targets;
        self.spans.add(&by_span(&steps, positions, chosen, |_| true), |_, sums, tokens| {
            for tokens in tokens.chunk_by(|one, next| one.step == next.step) {
                for Token { rows, .. } in tokens {
                    for (feature, activation) in features[rows.clone()].iter().zip(&activations[rows.clone()])
                    {
                        sums.see(*feature, *activation);
                    }
                }
                sums.close_step(steps[tokens[0].step].0, targets);
            }
        });
        Ok(())
    }

    fn rows(self, prompts: &Prompts) -> PolarsResult<DataFrame> {
        let Self { layer, choice, spans } = self;
        let edges = spans.rows(|span, sources| choice.edges((layer, span), sources, prompts));
        let to = |edge: &Edge| choice.targets.features[edge.target];
        df!(
            "to_layer" => vec![choice.targets.layer; edges.len()],
            "to_feature" => edges.iter().map(to).collect::<Vec<_>>(),
            "from_layer" => vec![layer; edges.len()],
            "from_span" => edges.iter().map(|edge| prompts.name(edge.span)).collect::<Vec<_>>(),
            "from_feature" => edges.iter().map(|edge| edge.feature).collect::<Vec<_>>(),
            "n_steps" => edges.iter().map(|edge| choice.of_spans[edge.span as usize].n_steps).collect::<Vec<_>>(),
            "activation" => edges.iter().map(|edge| edge.activation).collect::<Vec<_>>(),
            "coupling" => edges.iter().map(|edge| edge.coupling.map(|coupling| coupling as f32)).collect::<Vec<_>>(),
            "score" => edges.iter().map(|edge| edge.score).collect::<Vec<_>>(),
            "correlation" => edges.iter().map(|edge| edge.correlation).collect::<Vec<_>>(),
        )
    }
}

/// The features of a layer that fire in a span: layer, feature.
pub(crate) struct Firing {
    layer: i32,
    span: Option<u32>,
    features: PlHashSet<i32>,
}

impl Firing {
    /// None yet; of one span, or of any.
    pub(crate) fn new(layer: i32, span: Option<u32>) -> Self {
        Self { layer, span, features: PlHashSet::default() }
    }
}

impl add_up::Sums for Firing {
    fn add(&mut self, rows: &Rows<'_>) -> PolarsResult<()> {
        let (positions, features) = (ints(rows.frame, "position")?, ints(rows.frame, "feature")?);
        let steps = rows.by_step().collect::<Vec<_>>();
        let chosen = Chosen { span: self.span, feature: None };
        for token in by_span(&steps, positions, chosen, |_| true).into_values().flatten() {
            self.features.extend(&features[token.rows]);
        }
        Ok(())
    }

    fn rows(self, _: &Prompts) -> PolarsResult<DataFrame> {
        let mut features = self.features.into_iter().collect::<Vec<_>>();
        features.sort_unstable();
        df!("from_layer" => vec![self.layer; features.len()], "from_feature" => features)
    }
}
