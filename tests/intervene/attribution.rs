//! Attribution: what must hold by itself, what is planted, and how the scores compare.

use burn::tensor::Tensor;
use saelake::dictionary::Dictionary;
use saelake::intervene::attribute::{
    Agreement, Ask, Attributed, Effect, Node, Part, Plan, Score, Values, Wanted, Writer, verdicts,
};
use saelake::intervene::{Base, Metric};
use saelake::model::{Freeze, Hook, Site};

use super::{CLEAN, CORRUPTED, floats, run, tiny};
use crate::support::{BALANCE, BET, DECISION, FEATURES, HEAD_INDEX, LAYER, STOP, planted};
use crate::support::{demo_dictionaries, smollm2};

/// Thousands of products in f32, added up in different orders.
const IDENTITY: f64 = 1e-4;
/// What rounding in f32 through three blocks makes of nothing, as a share of the whole difference.
const NOTHING: f64 = 1e-5;

fn partners(tokens: usize) -> Vec<Option<usize>> {
    (0..tokens).map(Some).collect()
}

/// Every part of the change of every block, one after the other.
fn effects<'a>(attributed: &'a [Attributed<'_>]) -> Vec<&'a Effect> {
    attributed.iter().flat_map(|attributed| &attributed.effects).collect()
}

fn ask(values: Values<'_>) -> Ask<'_> {
    Ask { values, freeze: Freeze::Nothing }
}

/// The demo dictionaries on the default model: two prompts that differ in the middle.
fn with_smollm2(check: impl Fn(&Base<'_>, &Base<'_>, &[Dictionary])) {
    let device = burn::tensor::Device::flex();
    let model = smollm2();
    let opened = saelake::model::open(model.to_str().unwrap(), &device, saelake::model::Dtype::F32).unwrap();
    let ids = |text: &str| -> Vec<u32> {
        opened.tokenizer.encode_rendered(text).unwrap().iter().map(|token| token.id).collect()
    };
    let prompt = |balance| format!("The slot machine. Your balance is ${balance}. Final Decision:");
    let metric = Metric::difference(&opened.tokenizer, " Bet", " Stop").unwrap();
    let [clean, corrupted] =
        [100, 200].map(|balance| Base::run(&opened.llama, &ids(&prompt(balance)), &metric, &[]).unwrap());
    assert_eq!(clean.n_tokens(), corrupted.n_tokens());
    check(&clean, &corrupted, &demo_dictionaries());
}

/// `Σ_j AtP_j + rest = Δx · g`, with each side summed for itself, at every block and for every kind of change.
#[test]
fn the_parts_add_up_to_the_change_along_the_gradient() {
    with_smollm2(|clean, corrupted, dictionaries| {
        let partners = partners(clean.n_tokens());
        let means: Vec<(usize, Vec<f32>)> =
            dictionaries.iter().map(|d| (d.hook.layer, vec![0.5; d.d_sae])).collect();
        for values in [Values::Run(corrupted, &partners), Values::Zero, Values::Mean(&means)] {
            for attributed in clean.attributed(dictionaries, ask(values)).unwrap() {
                let layer = attributed.changed.dictionary.hook.layer;
                let wanted = Wanted { after: &[layer], ..Wanted::default() };
                let gradient = floats(clean.gradients(wanted).unwrap().after[&layer].clone());
                let whole = floats(attributed.changed.whole.clone());
                let products = whole.iter().zip(&gradient).map(|(x, g)| f64::from(*x) * f64::from(*g));
                let expected: f64 = products.clone().sum();
                // Relative to what is added up: the terms cancel.
                let scale: f64 = products.map(f64::abs).sum();
                let error = (attributed.sum() - expected).abs() / scale;
                assert!(error <= IDENTITY, "layer {layer}: {} and {expected}", attributed.sum());
                assert!((attributed.whole - expected).abs() / scale <= IDENTITY, "layer {layer}");
                assert!(attributed.changed.features.len() > 10, "layer {layer} has features that change");
            }
        }
    });
}

/// The change itself is cut without loss: features along their decoder rows and the rest add up to it, row by row.
#[test]
fn features_and_rest_are_the_whole_change() {
    with_smollm2(|clean, corrupted, dictionaries| {
        let partners = partners(clean.n_tokens());
        for attributed in clean.attributed(dictionaries, ask(Values::Run(corrupted, &partners))).unwrap() {
            let changed = &attributed.changed;
            let x = changed.dictionary.hook.layer;
            let [tokens, width] = changed.whole.dims();
            let mut sum = floats(changed.rest.clone());
            let w_dec = floats(changed.dictionary.w_dec.clone());
            for change in &changed.features {
                let row = &w_dec[change.feature as usize * width..][..width];
                let factor = (change.after - change.before) * changed.dictionary.output_scale;
                for (sum, weight) in sum[change.position * width..][..width].iter_mut().zip(row) {
                    *sum += factor * weight;
                }
            }
            let whole = floats(changed.whole.clone());
            for position in 0..tokens {
                let [sum, whole] = [&sum, &whole].map(|x| &x[position * width..][..width]);
                if whole.iter().any(|x| *x != 0.0) {
                    let error = crate::support::relative_error(sum, whole);
                    assert!(error <= IDENTITY, "layer {x}, position {position}: {error:e}");
                }
            }
        }
    });
}

/// Where a prompt is changed into itself nothing has an effect.
#[test]
fn a_run_attributes_nothing_to_itself() {
    with_smollm2(|clean, _, dictionaries| {
        let partners = partners(clean.n_tokens());
        let found = clean.attributed(dictionaries, ask(Values::Run(clean, &partners))).unwrap();
        for effect in effects(&found) {
            assert!(effect.estimate.abs() <= 0.0, "{}", effect.node);
        }
    });
}

/// Integrated gradients add up to the metric of the wholly changed block, which is that of the other run, ever closer
/// with more steps.
#[test]
fn integrated_gradients_are_complete() {
    let llama = tiny();
    let [clean, corrupted] = [CLEAN, CORRUPTED].map(|ids| run(&llama, &ids));
    for layer in 0..3 {
        let [own, other] = [&clean, &corrupted].map(|base| base.residual(layer).unwrap().clone());
        let change: Tensor<2> = other - own;
        let errors = [4, 8, 16].map(|steps| {
            let mean = clean.integrated_gradient(layer, &change, steps).unwrap();
            let sum: f64 =
                floats(mean).iter().zip(floats(change.clone())).map(|(g, x)| f64::from(g * x)).sum();
            (sum - (corrupted.value - clean.value)).abs() / (corrupted.value - clean.value).abs()
        });
        assert!(errors[2] <= 0.01, "layer {layer}: {errors:?}");
        assert!(errors[2] < errors[0] || errors[0] < 1e-4, "layer {layer}: {errors:?}");
    }
}

/// The contributions of all parts of the model, and their sum is the difference of the logits.
#[test]
fn direct_contributions_add_up_to_the_metric() {
    let check = |base: &Base<'_>, heads: usize, layers: usize| {
        let written = base.direct().unwrap();
        assert_eq!(written.len(), 1 + layers * (heads + 1));
        let sum: f64 = written.iter().map(|(_, logit)| logit).sum();
        let scale: f64 = written.iter().map(|(_, logit)| logit.abs()).sum();
        assert!((sum - base.value).abs() <= IDENTITY * scale, "{sum} and {}", base.value);
    };
    check(&run(&tiny(), &CLEAN), 4, 3);
    with_smollm2(|clean, _, _| check(clean, 9, 30));
}

#[test]
fn a_log_probability_has_no_direct_contributions() {
    let llama = tiny();
    let base = Base::run(&llama, &CLEAN, &Metric::LogProbability(vec![3, 7]), &[]).unwrap();
    let error = base.direct().unwrap_err().to_string();
    assert!(error.contains("a log-probability is none"), "{error}");
}

/// The gradient of a log-probability over several tokens, against differences of exact patches.
#[test]
fn gradients_of_a_text_are_differences_of_patches() {
    let llama = tiny();
    let base = Base::run(&llama, &CLEAN, &Metric::LogProbability(vec![3, 7, 9]), &[]).unwrap();
    let wanted = Wanted { after: &[0, 1, 2], ..Wanted::default() };
    let gradients = base.gradients(wanted).unwrap();
    let width = llama.config().d_model;
    for layer in 0..3 {
        let gradient = floats(gradients.after[&layer].clone());
        for position in [2, 8] {
            // Along the gradient itself, where the difference is largest.
            let row = &gradient[position * width..][..width];
            let norm = row.iter().map(|g| g * g).sum::<f32>().sqrt();
            let moved = |step: f32| {
                let delta: Vec<f32> = row.iter().map(|g| step * g / norm).collect();
                let delta = burn::tensor::TensorData::new(delta, [1, width]);
                let delta = Tensor::from_data(delta, llama.device());
                let patch = saelake::intervene::Patch::adding(&base, layer, vec![position], delta);
                base.patched(&[patch.unwrap()], 100).unwrap()[0]
            };
            let slope = (moved(0.02) - moved(-0.02)) / 0.04;
            // f32 loses 1e-6 of a metric of about 10 over a step of 0.04.
            let error = (slope - f64::from(norm)).abs() / (f64::from(norm) + 0.01);
            assert!(error <= 5e-3, "layer {layer}, position {position}: {slope} and {norm}");
        }
    }
}

/// What is planted, found by attribution patching: with norms and patterns held, it is exact, and nothing else has an
/// effect; with everything moving, what is planted is the largest of its block.
#[test]
fn attribution_finds_what_is_planted() {
    let planted = planted();
    let metric = Metric::Difference([BET, STOP]);
    let [clean, corrupted] = [&planted.clean, &planted.corrupted]
        .map(|ids| Base::run(&planted.llama, ids, &metric, &[Site::Z]).unwrap());
    let whole = corrupted.value - clean.value;
    let partners = partners(clean.n_tokens());
    for freeze in [Freeze::PatternsAndNorms, Freeze::Nothing] {
        let check = |found: Vec<(Node, f64)>, expected: &[Node]| {
            if freeze == Freeze::PatternsAndNorms {
                for (node, estimate) in &found {
                    let share = if expected.contains(node) { 1.0 } else { 0.0 };
                    assert!((estimate / whole - share).abs() <= NOTHING, "{node}: {}", estimate / whole);
                }
            }
            for planted in expected {
                let of_layer = found.iter().filter(|(node, _)| node.layer == planted.layer);
                let largest = of_layer.max_by(|a, b| a.1.abs().total_cmp(&b.1.abs())).unwrap();
                assert_eq!(largest.0, *planted, "{freeze} frozen: {found:?}");
                // A derivative does not know how far it goes, but it knows the direction.
                assert!(largest.1 / whole > 0.0);
            }
        };
        let node = |layer, position, part| Node { layer, position, part };
        let positions = clean.attributed_positions(&corrupted, &partners, &[0, 1, 2], freeze).unwrap();
        let places = [(0, BALANCE), (1, DECISION), (2, DECISION)];
        check(positions, &places.map(|(layer, position)| node(layer, position, Part::Whole)));
        let heads = clean.attributed_heads(&corrupted, &partners, &[0, 1, 2], freeze).unwrap();
        check(heads, &[node(LAYER, DECISION, Part::Head(HEAD_INDEX))]);
        let values = Values::Run(&corrupted, &partners);
        let found = clean.attributed(&planted.dictionaries, Ask { values, freeze }).unwrap();
        let found = effects(&found).into_iter().map(|effect| (effect.node, effect.estimate)).collect();
        let places = [BALANCE, DECISION];
        let features = FEATURES.iter().zip(places);
        let expected: Vec<Node> =
            features.map(|((layer, feature), at)| node(*layer, at, Part::Feature(*feature))).collect();
        check(found, &expected);
    }
}

/// Beside it what readings of attention say, audited: they find what correlates as well as what decides.
#[test]
fn readings_of_attention_do_not_find_what_is_planted() {
    let planted = planted();
    let metric = Metric::Difference([BET, STOP]);
    let [clean, corrupted] =
        [&planted.clean, &planted.corrupted].map(|ids| Base::run(&planted.llama, ids, &metric, &[]).unwrap());
    let partners = partners(clean.n_tokens());
    let asked = ask(Values::Run(&corrupted, &partners));
    let mut found = clean.attributed(&planted.dictionaries, asked).unwrap();
    clean.integrate(&mut found, 20).unwrap();
    let plan = Plan { top: usize::MAX, drawn: usize::MAX, seed: 0, budget: 2048 };
    clean.audit(&mut found, plan).unwrap();
    let all = effects(&found);
    assert!(all.iter().all(|effect| effect.exact.is_some()), "everything is audited");
    let verdicts = verdicts(&all, FEATURES.len());
    let recall = |score: Score| {
        verdicts.iter().find(|verdict| verdict.score == score).map(|verdict| verdict.all.recall).unwrap()
    };
    for verdict in &verdicts {
        let Agreement { pearson, spearman, recall, .. } = verdict.all;
        println!(
            "{}: Pearson {pearson:.3}, Spearman {spearman:.3}, recall {recall:.3}",
            verdict.score.name()
        );
    }
    assert!(recall(Score::Attribution) >= 1.0 && recall(Score::Integrated) >= 1.0);
    // With everything audited the two planted features are the two effects that there are.
    assert!(recall(Score::Attention) <= 0.5 && recall(Score::Published) <= 0.5);
}

/// An audit's exact effects are those of patches made by hand, and a draw is the same with the same seed.
#[test]
fn an_audit_is_exact_and_repeatable() {
    with_smollm2(|clean, corrupted, dictionaries| {
        let partners = partners(clean.n_tokens());
        let audited = |seed| {
            let asked = ask(Values::Run(corrupted, &partners));
            let mut found = clean.attributed(&dictionaries[1..2], asked).unwrap();
            clean.audit(&mut found, Plan { top: 3, drawn: 4, seed, budget: 2048 }).unwrap();
            effects(&found).into_iter().filter(|effect| effect.audit.is_some()).copied().collect::<Vec<_>>()
        };
        let first = audited(7);
        assert!(first.len() >= 7, "{}", first.len());
        assert_eq!(first, audited(7));
        assert_ne!(first, audited(8));
        let layer = dictionaries[1].hook.layer;
        for effect in first {
            let Part::Feature(feature) = effect.node.part else { continue };
            let (before, after) = effect.activation.unwrap();
            let change = saelake::intervene::FeatureChange::Add(after - before);
            let edit = saelake::intervene::Edit {
                hook: Hook::resid_post(layer),
                sequence: None,
                positions: saelake::intervene::Positions::At(vec![effect.node.position]),
                heads: None,
                change: saelake::intervene::Change::Features {
                    dictionary: &dictionaries[1],
                    features: vec![saelake::intervene::FeatureEdit { feature, change }],
                },
            };
            let by_hand = clean.edited(&[edit], 2048).unwrap()[0] - clean.value;
            let exact = effect.exact.unwrap();
            assert!((by_hand - exact).abs() <= 1e-4, "{}: {by_hand} and {exact}", effect.node);
        }
    });
}

/// The last row of a pattern sums to 1; the last column has nothing but its last number.
#[test]
fn the_published_formula_looks_at_the_last_token_alone() {
    with_smollm2(|clean, _, _| {
        let looked_at = clean.looked_at(15).unwrap();
        assert!((looked_at.row.iter().sum::<f32>() - 1.0).abs() < 1e-5);
        let (last, before) = looked_at.column.split_last().unwrap();
        assert!(*last > 0.0 && before.iter().all(|weight| *weight == 0.0));
    });
}

#[test]
fn what_cannot_be_attributed_is_said() {
    with_smollm2(|clean, _, dictionaries| {
        let refused = |dictionaries: &[Dictionary], values| {
            clean.attributed(dictionaries, ask(values)).err().unwrap().to_string()
        };
        let elsewhere = Hook { layer: 8, site: Site::MlpOut };
        let other = Dictionary { hook: elsewhere, ..dictionaries[0].clone() };
        assert!(refused(&[other], Values::Zero).contains("blocks.8.hook_mlp_out"));
        let above = Dictionary { hook: Hook::resid_post(30), ..dictionaries[0].clone() };
        assert!(refused(&[above], Values::Zero).contains("blocks 0 to 29"));
        assert!(refused(dictionaries, Values::Mean(&[])).contains("no means of the features of layer 8"));
    });
}

/// The parts of the model have names of their own.
#[test]
fn every_writer_is_named_once() {
    let written = run(&tiny(), &CLEAN).direct().unwrap();
    for (index, (writer, _)) in written.iter().enumerate() {
        assert!(written[index + 1..].iter().all(|(other, _)| other != writer), "{writer:?}");
    }
    assert_eq!(written[0].0, Writer::Embedding);
}
