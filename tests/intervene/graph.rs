//! The graph of what adds to a metric: sums that must hold, and what is planted.

use std::collections::BTreeMap;

use saelake::intervene::graph::{Edge, Feature, Graph, Limits, Source, Target};
use saelake::intervene::{Base, Metric};
use saelake::model::Freeze;

use crate::support::{BALANCE, BET, DECISION, FEATURES, STOP, planted};
use crate::support::{demo_dictionaries, smollm2};

/// Sums of thousands of products in f32, of which many cancel, after up to 15 blocks.
const SUM: f64 = 1e-3;

const ALL: Limits = Limits { nodes: 1.0, most: usize::MAX, edges: 1.0, freeze: Freeze::PatternsAndNorms };

/// The sums of the weights into each target.
fn sums(edges: &[Edge]) -> BTreeMap<Target, f64> {
    let mut sums = BTreeMap::new();
    for edge in edges {
        *sums.entry(edge.target).or_default() += edge.weight;
    }
    sums
}

fn share(graph: &Graph) -> f64 {
    let share = graph.share;
    share.tokens + share.errors + share.biases + share.pruned
}

/// Nothing is pruned in a model without an MLP in the way: the edges of a feature add up to what it reads, the metric's
/// to the metric, and the planted way is there from the metric to the balance.
#[test]
fn the_planted_way_is_in_the_graph() {
    let planted = planted();
    let base = Base::run(&planted.llama, &planted.clean, &Metric::Difference([BET, STOP]), &[]).unwrap();
    let graph = base.graph(&planted.dictionaries, ALL).unwrap();
    assert!((share(&graph) - 1.0).abs() < 1e-9, "{:?}", graph.share);
    assert!((graph.explained - base.value).abs() <= SUM * base.value.abs(), "{}", graph.explained);
    let sums = sums(&graph.edges);
    assert!((sums[&Target::Metric { position: DECISION }] - base.value).abs() <= SUM * base.value.abs());

    // Every feature reads one dimension of the residual plus 3, which is its encoder's bias and in no edge.
    let [(first, balance), (second, decides)] = FEATURES;
    let decides = Feature { layer: second, position: DECISION, feature: decides };
    let balance = Feature { layer: first, position: BALANCE, feature: balance };
    let activation = |of: Feature| {
        graph.features.iter().find(|(feature, ..)| *feature == of).map(|(_, activation, _)| *activation)
    };
    for (feature, ..) in &graph.features {
        let read = f64::from(activation(*feature).unwrap()) - 3.0;
        let found = sums.get(&Target::Feature(*feature)).copied().unwrap_or_default();
        assert!((found - read).abs() <= SUM, "{feature}: {found} and {read}");
    }

    let weight = |source: Source, target: Target| {
        let edge = graph.edges.iter().find(|edge| (edge.source, edge.target) == (source, target));
        edge.map_or(0.0, |edge| edge.weight)
    };
    let way = [
        weight(Source::Feature(decides), Target::Metric { position: DECISION }),
        weight(Source::Feature(balance), Target::Feature(decides)),
        weight(Source::Token { position: BALANCE }, Target::Feature(balance)),
    ];
    assert!(way.iter().all(|weight| *weight > 0.1), "{way:?}");
    // Nothing else of the features adds to the metric.
    let others = graph.edges.iter().filter(|edge| edge.target == Target::Metric { position: DECISION });
    for edge in others {
        if let Source::Feature(feature) = edge.source {
            assert_eq!(feature, decides, "{}", edge.weight);
        }
    }
}

/// On the default model: with the last block captured and the norm frozen the metric is the sum of its edges; the
/// shares of the influence add up to all of it, however much is pruned; less pruning never follows fewer features.
#[test]
fn shares_add_up_on_smollm2() {
    let device = burn::tensor::Device::flex();
    let model = smollm2();
    let opened = saelake::model::open(model.to_str().unwrap(), &device, saelake::model::Dtype::F32).unwrap();
    let ids: Vec<u32> = opened
        .tokenizer
        .encode_rendered("Your balance is $100. Final Decision:")
        .unwrap()
        .iter()
        .map(|token| token.id)
        .collect();
    let metric = Metric::difference(&opened.tokenizer, " Bet", " Stop").unwrap();
    let base = Base::run(&opened.llama, &ids, &metric, &[]).unwrap();
    let dictionaries = demo_dictionaries();
    let mut followed = Vec::new();
    for (nodes, most) in [(0.3, 4), (0.8, 8)] {
        for freeze in [Freeze::PatternsAndNorms, Freeze::Nothing] {
            let limits = Limits { nodes, most, edges: 0.98, freeze };
            let graph = base.graph(&dictionaries, limits).unwrap();
            assert!((share(&graph) - 1.0).abs() < 1e-9, "{:?}", graph.share);
            assert!(graph.share.tokens > 0.0 && graph.share.errors > 0.0 && graph.share.pruned > 0.0);
            if freeze == Freeze::PatternsAndNorms {
                let error = (graph.explained - base.value).abs();
                assert!(error <= SUM * (1.0 + base.value.abs()), "{} and {}", graph.explained, base.value);
            }
            for layer in [8, 15, 29] {
                let of_layer = graph.features.iter().filter(|(feature, ..)| feature.layer == layer).count();
                assert!(of_layer >= 1 && of_layer <= most, "layer {layer}: {of_layer}");
            }
            // Every target but the metric is followed, and nothing looks ahead.
            for edge in &graph.edges {
                if let Target::Feature(target) = edge.target {
                    assert!(graph.features.iter().any(|(feature, ..)| *feature == target));
                    let position = match edge.source {
                        Source::Feature(feature) => feature.position,
                        Source::Error { position, .. }
                        | Source::Bias { position, .. }
                        | Source::Token { position } => position,
                    };
                    assert!(position <= target.position, "{} -> {}", edge.source, edge.target);
                }
            }
            followed.push(graph.features.len());
        }
    }
    assert!(followed[0] <= followed[2] && followed[1] <= followed[3], "{followed:?}");
}

/// Weights are what they say: the weight of a token into a feature is the gradient that differences of the reference
/// find, times the token's embedding.
#[test]
fn a_weight_is_a_slope_times_what_the_source_writes() {
    let planted = planted();
    let metric = Metric::Difference([BET, STOP]);
    let base = Base::run(&planted.llama, &planted.clean, &metric, &[]).unwrap();
    let limits = Limits { freeze: Freeze::Nothing, ..ALL };
    let graph = base.graph(&planted.dictionaries, limits).unwrap();
    let target = Target::Metric { position: DECISION };
    for edge in graph.edges.iter().filter(|edge| edge.target == target) {
        let Source::Feature(feature) = edge.source else { continue };
        let dictionary = &planted.dictionaries[feature.layer];
        // The metric's slope in the feature's activation, by patches that raise and lower it a little.
        let patched = |by: f32| {
            let features = vec![saelake::intervene::FeatureEdit {
                feature: feature.feature,
                change: saelake::intervene::FeatureChange::Add(by),
            }];
            let edit = saelake::intervene::Edit {
                hook: dictionary.hook,
                sequence: None,
                positions: saelake::intervene::Positions::At(vec![feature.position]),
                heads: None,
                change: saelake::intervene::Change::Features { dictionary, features },
            };
            base.edited(&[edit], 2048).unwrap()[0]
        };
        let slope = (patched(0.05) - patched(-0.05)) / 0.1;
        let found = graph.features.iter().find(|(of, ..)| *of == feature).unwrap();
        let expected = slope * f64::from(found.1);
        assert!((edge.weight - expected).abs() <= 0.01, "{feature}: {} and {expected}", edge.weight);
    }
}
