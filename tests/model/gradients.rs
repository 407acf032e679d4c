//! Gradients against those of PyTorch's autograd (see `fixtures/model/make_gradients.py`), and against central
//! differences of a reference in f64.

use burn::tensor::Tensor;
use saelake::model::{Dtype, Freeze, Llama, Packed, Stream};

use super::{Numbers, fixture, floats, open, worst_row};
use crate::support::{At, Held, Nudge, Reference, relative_error, smollm2};

/// Products of up to 30 blocks in f32, there and back, against f64.
const GOLDEN: f64 = 2e-4;
/// Half the distance of two points. A central difference is off by its square times the third derivative, and by
/// 1e-15 over it, both far below what f32 loses.
const STEP: f64 = 1e-4;
/// What f32 loses in a few blocks.
const DIFFERENCE: f64 = 1e-4;
/// bf16 keeps 8 bits, and a gradient goes through twice as many products as a forward pass.
const BF16: f64 = 8e-2;
/// The tokens of the metric, as in the script.
const TOKENS: [u32; 2] = [3, 60];
const FROZEN: [Freeze; 4] = [Freeze::Nothing, Freeze::Patterns, Freeze::Norms, Freeze::PatternsAndNorms];

/// The gradients of a metric at every site, by block.
#[derive(Default)]
struct Gradients {
    embed: Vec<f32>,
    after: Vec<Vec<f32>>,
    middle: Vec<Vec<f32>>,
    heads: Vec<Vec<f32>>,
}

/// From a gradient at the last residual back to the embeddings.
fn pull_back(llama: &Llama, stream: &Stream, last: Tensor<2>, freeze: Freeze) -> Gradients {
    let layers = llama.config().n_layers;
    let mut found = Gradients::default();
    let embed = llama.pull_back(stream, 0..layers, vec![last], freeze, &mut |which, at| {
        assert_eq!(which, 0);
        found.after.push(floats(at.after.clone()));
        found.middle.push(floats(at.middle.clone()));
        found.heads.push(floats(at.heads.clone()));
    });
    for blocks in [&mut found.after, &mut found.middle, &mut found.heads] {
        assert_eq!(blocks.len(), layers);
        blocks.reverse();
    }
    Gradients { embed: floats(embed[0].clone()), ..found }
}

/// Rows of a gradient put where they belong among `tokens` rows of zeros.
fn placed(rows: Tensor<2>, first: usize, tokens: usize) -> Tensor<2> {
    let [count, width] = rows.dims();
    rows.zeros_like().slice(0..1).repeat_dim(0, tokens).slice_assign([first..first + count, 0..width], rows)
}

fn gradient_of_difference(llama: &Llama, stream: &Stream, freeze: Freeze) -> Tensor<2> {
    let tokens = stream.lengths()[0];
    let row = stream.last().slice(tokens - 1..tokens);
    placed(llama.gradient_of_difference(row, TOKENS[0], TOKENS[1], freeze), tokens - 1, tokens)
}

/// That of the last three tokens after those before.
fn gradient_of_text(llama: &Llama, stream: &Stream, ids: &[u32], freeze: Freeze) -> Tensor<2> {
    let tokens = ids.len();
    let rows = stream.last().slice(tokens - 4..tokens - 1);
    placed(llama.gradient_of_log_probability(rows, &ids[tokens - 3..], freeze), tokens - 4, tokens)
}

fn check_tiny(name: &str) {
    let llama = open(&fixture(name));
    let golden = Numbers::read(&fixture(&format!("{name}-gradients.safetensors")));
    let ids = golden.ids("ids");
    let stream = llama.stream(&Packed::new([ids.as_slice()]), 0);
    let width = llama.config().d_model;
    for freeze in FROZEN {
        let metrics = [
            ("difference", gradient_of_difference(&llama, &stream, freeze)),
            ("text", gradient_of_text(&llama, &stream, &ids, freeze)),
        ];
        for (metric, at_last) in metrics {
            let found = pull_back(&llama, &stream, at_last, freeze);
            let check = |site: &str, layer: usize, found: &[f32]| {
                let expected = golden.entry(&format!("{metric}.{freeze}.{site}"), layer);
                let error = relative_error(found, expected);
                assert!(error <= GOLDEN, "{name}, {metric}, {freeze} frozen, {site} {layer}: {error:e}");
            };
            check("embed", 0, &found.embed);
            for layer in 0..llama.config().n_layers {
                check("after", layer, &found.after[layer]);
                check("middle", layer, &found.middle[layer]);
                check("heads", layer, &found.heads[layer]);
            }
            assert_eq!(found.embed.len() % width, 0);
        }
    }
}

#[test]
fn grouped_queries_agree_with_autograd() {
    check_tiny("tiny-gqa");
}

#[test]
fn tied_with_wide_heads_agrees_with_autograd() {
    check_tiny("tiny-tied");
}

/// Freezing is not nothing: the goldens of one way must not pass for those of another.
#[test]
fn each_way_of_freezing_is_noticed() {
    let golden = Numbers::read(&fixture("tiny-gqa-gradients.safetensors"));
    for one in FROZEN {
        for other in FROZEN.into_iter().filter(|other| *other != one) {
            let [a, b] = [one, other].map(|freeze| golden.entry(&format!("difference.{freeze}.embed"), 0));
            assert!(relative_error(a, b) > 100.0 * GOLDEN, "{one} passes for {other}");
        }
    }
}

#[test]
fn smollm2_agrees_with_autograd() {
    let llama = open(&smollm2());
    let golden = Numbers::read(&fixture("smollm2-gradients.safetensors"));
    let ids = golden.ids("ids");
    let stream = llama.stream(&Packed::new([ids.as_slice()]), 0);
    let rows: Vec<usize> = golden.ids("rows").iter().map(|row| *row as usize).collect();
    let kept = |x: &[f32], width: usize| -> Vec<f32> {
        rows.iter().flat_map(|row| &x[row * width..][..width]).copied().collect()
    };
    let width = llama.config().d_model;
    for freeze in [Freeze::Nothing, Freeze::PatternsAndNorms] {
        let metrics = [
            ("difference", gradient_of_difference(&llama, &stream, freeze)),
            ("text", gradient_of_text(&llama, &stream, &ids, freeze)),
        ];
        for (metric, at_last) in metrics {
            let found = pull_back(&llama, &stream, at_last, freeze);
            let sites = [("after", &found.after), ("middle", &found.middle), ("heads", &found.heads)];
            for (index, block) in [8, 29].into_iter().enumerate() {
                for (site, blocks) in sites {
                    let expected = golden.entry(&format!("{metric}.{freeze}.{site}"), index);
                    let error = relative_error(&kept(&blocks[block], width), expected);
                    assert!(error <= GOLDEN, "{metric}, {freeze} frozen, {site} {block}: {error:e}");
                }
            }
            let expected = golden.entry(&format!("{metric}.{freeze}.embed"), 0);
            let error = relative_error(&kept(&found.embed, width), expected);
            assert!(error <= GOLDEN, "{metric}, {freeze} frozen, embeddings: {error:e}");
        }
    }
}

/// Every number of every site, nudged up and down in the reference.
#[test]
fn gradients_are_differences() {
    let ids = [5, 17, 3, 3, 40, 22];
    for name in ["tiny-gqa", "tiny-tied"] {
        let (llama, reference) = (open(&fixture(name)), Reference::read(&fixture(name)));
        let (stream, x) = (llama.stream(&Packed::new([&ids[..]]), 0), reference.embeddings(&ids));
        let width = llama.config().d_model;
        for freeze in FROZEN {
            let mut start = reference.run(0, &x, &Held::default(), None);
            let _ = reference.logits(&mut start, ids.len() - 1, &Held::default());
            let held = Held {
                patterns: freeze.patterns().then(|| start.patterns.clone()),
                scales: freeze.norms().then(|| start.scales.clone()),
            };
            let metric = |nudge: Nudge| {
                let mut pass = reference.run(0, &x, &held, Some(nudge));
                let logits = reference.logits(&mut pass, ids.len() - 1, &held);
                logits[TOKENS[0] as usize] - logits[TOKENS[1] as usize]
            };
            let check = |at: At, found: &[f32]| {
                // Every seventh number: 7 divides no width, so that all columns come up.
                let places = (0..found.len()).step_by(7);
                let [expected, found]: [Vec<f32>; 2] = [
                    places
                        .clone()
                        .map(|i| ((metric((at, i, STEP)) - metric((at, i, -STEP))) / (2.0 * STEP)) as f32)
                        .collect(),
                    places.map(|i| found[i]).collect(),
                ];
                let error = relative_error(&found, &expected);
                assert!(error <= DIFFERENCE, "{name}, {freeze} frozen, {at:?}: {error:e}");
            };
            let last = gradient_of_difference(&llama, &stream, freeze);
            let found = pull_back(&llama, &stream, last, freeze);
            check(At::Before(0), &found.embed);
            for layer in 0..llama.config().n_layers {
                check(At::Heads(layer), &found.heads[layer]);
                check(At::Attention(layer), &found.middle[layer]);
                check(At::Mlp(layer), &found.after[layer]);
            }
            assert_eq!(found.embed.len(), ids.len() * width);
        }
    }
}

/// The reference itself, against the numbers of transformers.
#[test]
fn the_reference_agrees_with_the_goldens() {
    for name in ["tiny-gqa", "tiny-tied"] {
        let (reference, golden) =
            (Reference::read(&fixture(name)), Numbers::read(&fixture(&format!("{name}.safetensors"))));
        let ids = golden.ids("2.ids");
        let mut pass = reference.run(0, &reference.embeddings(&ids), &Held::default(), None);
        let logits = reference.logits(&mut pass, ids.len() - 1, &Held::default());
        let logits: Vec<f32> = logits.into_iter().map(|x| x as f32).collect();
        let expected = golden.entry("2.logits", ids.len() - 1);
        assert!(relative_error(&logits, expected) <= super::F32, "{name}");
    }
}

/// Two sequences in a batch, several gradients at once, and a stream that begins above the first block.
#[test]
fn gradients_do_not_depend_on_company() {
    let llama = open(&fixture("tiny-gqa"));
    let width = llama.config().d_model;
    let sequences: [&[u32]; 2] = [&[5, 17, 3, 3, 40, 22], &[8, 63, 1]];
    let alone = sequences.map(|ids| {
        let stream = llama.stream(&Packed::new([ids]), 0);
        pull_back(&llama, &stream, gradient_of_difference(&llama, &stream, Freeze::Nothing), Freeze::Nothing)
    });
    let stream = llama.stream(&Packed::new(sequences), 1);
    let at = |row: usize| {
        let rows = stream.last().slice(row..row + 1);
        placed(llama.gradient_of_difference(rows, TOKENS[0], TOKENS[1], Freeze::Nothing), row, 9)
    };
    let both = llama.pull_back(&stream, 1..3, vec![at(5), at(8)], Freeze::Nothing, &mut |_, _| ());
    let [first, second] = [floats(both[0].clone()), floats(both[1].clone())];
    assert!(
        first[6 * width..].iter().all(|x| *x == 0.0),
        "the first metric does not see the second sequence"
    );
    assert!(second[..6 * width].iter().all(|x| *x == 0.0), "nor the second the first");
    assert!(worst_row(&first[..6 * width], &alone[0].after[0], width) <= 1e-4);
    assert!(worst_row(&second[6 * width..], &alone[1].after[0], width) <= 1e-4);
}

/// A pass that begins in the middle is the pass.
#[test]
fn a_pass_may_begin_at_any_block() {
    for llama in [open(&fixture("tiny-gqa")), open(&smollm2())] {
        let batch = Packed::new([&[5_u32, 17, 3, 3, 40, 22][..], &[8, 63, 1]]);
        let whole = llama.stream(&batch, 0);
        assert_eq!(floats(whole.last()), floats(llama.forward(&batch, &mut ())));
        for first in 0..=llama.config().n_layers {
            let from = llama.stream_from(first, whole.before(first), &batch.lengths);
            assert_eq!(floats(from.last()), floats(whole.last()), "from block {first}");
            let kept = llama.stream(&batch, first);
            assert_eq!(floats(kept.before(first)), floats(whole.before(first)), "kept from block {first}");
        }
    }
}

/// The way that GPUs take gradients, here on the CPU: plain operations, in f32 and with weights in bf16.
#[test]
fn other_devices_ways_agree() {
    let llama = open(&fixture("tiny-gqa"));
    let golden = Numbers::read(&fixture("tiny-gqa-gradients.safetensors"));
    for (dtype, tolerance) in [(Dtype::F32, GOLDEN), (Dtype::Bf16, BF16)] {
        let plain = llama.plain(dtype);
        let stream = plain.stream(&Packed::new([golden.ids("ids").as_slice()]), 0);
        let last = gradient_of_difference(&plain, &stream, Freeze::Nothing);
        let found = pull_back(&plain, &stream, last, Freeze::Nothing);
        let error = relative_error(&found.embed, golden.entry("difference.nothing.embed", 0));
        assert!(error <= tolerance, "{dtype}: {error:e}");
    }
}
