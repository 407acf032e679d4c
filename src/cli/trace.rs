//! `saelake trace`: the graph of what adds to the metric.

use std::time::Instant;

use queries::Format;
use schemas::{Values, edges};

use super::analysis::{Described, add};
use super::attribute_answer::write;
use super::subject::{self, Subject};
use super::{Ending, ui};
use crate::error::{Error, UsageError};
use crate::intervene::Base;
use crate::intervene::graph::{Edge, Graph, Limits, Source, Target};
use crate::lake::Analysis;
use crate::model::Freeze;

/// Trace the metric back to features, to features below them, and to tokens, by gradients: what adds how much to what
///
/// Edges go from each captured block to the next one, and to the metric: what the blocks below know reaches those above
/// through the captured residual alone. A weight is what the source writes, times the gradient of the target before its
/// nonlinearity, through the blocks between, at the activations of this run. Influence is handed down by the size of the
/// weights; features that hold little of it are not followed. What dictionaries leave unexplained stays in the graph.
#[derive(Debug, clap::Args)]
pub(super) struct Options {
    #[command(flatten)]
    subject: subject::Options,
    /// Trace by gradients. (By attention and correlation: `saelake query trace`)
    #[arg(long, required = true)]
    causal: bool,
    /// Take as constant in the gradients: `nothing`, or attention patterns and what norms divide by
    #[arg(
        long,
        default_value = "patterns+norms",
        value_name = "nothing|patterns+norms",
        help_heading = "Graph"
    )]
    freeze: Freeze,
    /// Follow the features of a block that hold this share of the influence of its features
    #[arg(long, default_value_t = 0.8, value_name = "SHARE", help_heading = "Graph")]
    node_share: f64,
    /// Follow so many features of a block at most
    #[arg(long, default_value_t = 16, value_name = "N", help_heading = "Graph")]
    max_nodes: usize,
    /// Of the edges between what is followed, keep those that carry this share of the influence
    #[arg(long, default_value_t = 0.9, value_name = "SHARE", help_heading = "Graph")]
    edge_share: f64,
}

/// Traces, prints, and adds the graph to the lake.
pub(super) fn run(options: &Options) -> Result<Ending, Error> {
    let format: Format = options.subject.format.parse()?;
    let limits = options.limits()?;
    let mut subject = options.subject.open()?;
    let started = Instant::now();
    let base = Base::run(&subject.opened.llama, &Subject::ids(&subject.prompt), &subject.metric, &[])?;
    let graph = base.graph(&subject.dictionaries, limits)?;
    options.say(&subject, base.value, &graph, started.elapsed().as_secs_f64());
    let limit = options.subject.limit.or((format == Format::Table).then_some(20));
    let shown = &graph.edges[..graph.edges.len().min(limit.unwrap_or(usize::MAX))];
    let bytes = write(columns(&subject, shown), format)?;
    drop(base);
    if !options.subject.print_only {
        let (described, analysis) = options.rows(&subject, &graph);
        add(&mut subject.lake, &described, analysis)?;
    }
    ui::data(&bytes)?;
    Ok(Ending::Done)
}

impl Options {
    fn limits(&self) -> Result<Limits, UsageError> {
        for (option, share) in [("node-share", self.node_share), ("edge-share", self.edge_share)] {
            if !(0.0..=1.0).contains(&share) {
                let value = share.to_string();
                return Err(UsageError::Value { option, value, expected: "a share between 0 and 1" });
            }
        }
        if !matches!(self.freeze, Freeze::Nothing | Freeze::PatternsAndNorms) {
            let (option, value) = ("freeze", self.freeze.to_string());
            return Err(UsageError::Value { option, value, expected: "`nothing` or `patterns+norms`" });
        }
        if self.max_nodes == 0 {
            let (option, value) = ("max-nodes", "0".to_owned());
            return Err(UsageError::Value { option, value, expected: "at least 1" });
        }
        Ok(Limits {
            nodes: self.node_share,
            most: self.max_nodes,
            edges: self.edge_share,
            freeze: self.freeze,
        })
    }

    fn say(&self, subject: &Subject, value: f64, graph: &Graph, seconds: f64) {
        let frozen = match self.freeze {
            Freeze::Nothing => "attention patterns and norms moving",
            _ => "attention patterns and norms frozen",
        };
        ui::note(&format!(
            "{}: {value:.4}, edges into it add up to {:.4}; {frozen}; {} features followed, {} edges, {seconds:.1} s",
            subject.metric_name,
            graph.explained,
            graph.features.len(),
            graph.edges.len()
        ));
        let share = graph.share;
        ui::note(&format!(
            "the influence ends in tokens {:.3}, in what dictionaries leave unexplained {:.3}, in their biases {:.3}, \
             in features not followed {:.3}",
            share.tokens, share.errors, share.biases, share.pruned
        ));
    }

    fn rows(&self, subject: &Subject, graph: &Graph) -> (Described, Analysis) {
        let layers = subject.dictionaries.iter().map(|dictionary| dictionary.hook.layer);
        let share = graph.share;
        let settings = serde_json::json!({
            "game": subject.game, "step": subject.step, "metric": subject.metric_name,
            "layers": layers.collect::<Vec<_>>(), "freeze": self.freeze.to_string(),
            "node_share": self.node_share, "max_nodes": self.max_nodes, "edge_share": self.edge_share,
        });
        let described = Described::new("trace", &subject.opened.identity, 0, &settings);
        let mut found = settings;
        found["influence_ends_in"] = serde_json::json!({
            "tokens": share.tokens, "errors": share.errors, "biases": share.biases, "pruned": share.pruned,
        });
        found["explained"] = graph.explained.into();
        let name = format!("graph of {}", subject.metric_name);
        let arm =
            schemas::interventions::Row { settings: found.to_string(), ..described.arm(0, name, "estimate") };
        let edge = |(row, edge): (usize, &Edge)| {
            let (source_node, source_layer, source_position, source_feature) = source(edge.source);
            let (target_node, target_layer, target_position, target_feature) = target(edge.target);
            edges::Row {
                game: subject.game,
                step: subject.step,
                analysis: described.id.clone(),
                row: row as i32,
                source_node: source_node.to_owned(),
                source_layer,
                source_position,
                source_feature,
                target_node: target_node.to_owned(),
                target_layer,
                target_position,
                target_feature,
                weight: edge.weight as f32,
                method: "gradient".to_owned(),
                frozen: self.freeze != Freeze::Nothing,
            }
        };
        let analysis = Analysis {
            interventions: std::iter::once(arm).collect::<schemas::interventions::Rows>(),
            edges: graph.edges.iter().enumerate().map(edge).collect::<edges::Rows>(),
            ..Analysis::default()
        };
        (described, analysis)
    }
}

/// What an end of an edge is: its kind, block, position and feature.
type End = (&'static str, Option<i32>, i32, Option<i32>);

const fn source(source: Source) -> End {
    match source {
        Source::Feature(of) => {
            ("feature", Some(of.layer as i32), of.position as i32, Some(of.feature.cast_signed()))
        }
        Source::Error { layer, position } => ("error", Some(layer as i32), position as i32, None),
        Source::Bias { layer, position } => ("bias", Some(layer as i32), position as i32, None),
        Source::Token { position } => ("token", None, position as i32, None),
    }
}

const fn target(target: Target) -> End {
    match target {
        Target::Metric { position } => ("metric", None, position as i32, None),
        Target::Feature(of) => {
            ("feature", Some(of.layer as i32), of.position as i32, Some(of.feature.cast_signed()))
        }
    }
}

fn columns(subject: &Subject, edges: &[Edge]) -> Vec<(&'static str, Values)> {
    let text = |of: &dyn Fn(&Edge) -> String| Values::Utf8(edges.iter().map(of).collect::<Vec<_>>());
    let float =
        |of: &dyn Fn(&Edge) -> f64| Values::Float32(edges.iter().map(|edge| of(edge) as f32).collect());
    let position = |edge: &Edge| source(edge.source).2 as usize;
    vec![
        ("target", text(&|edge| edge.target.to_string())),
        ("target_token", text(&|edge| subject.token(target(edge.target).2 as usize))),
        ("source", text(&|edge| edge.source.to_string())),
        ("source_token", text(&|edge| subject.token(position(edge)))),
        ("weight", float(&|edge| edge.weight)),
        ("influence", float(&|edge| edge.influence)),
    ]
}
