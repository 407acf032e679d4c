//! What must hold by itself, without reference numbers.

use burn::tensor::{Device, Tensor};
use saelake::model::{Cache, Dtype, Hook, Llama, ModelError, Packed, Site, Tap, open_llama};

use super::{F32, Numbers, Recorder, fixture, floats, open, record, worst_row};
use crate::support::relative_error;

/// Sums of probabilities in f32.
const SUM: f32 = 1e-5;
/// The same sums over other numbers of rows at a time: a product's blocks differ with the number of rows.
const REGROUPED: f64 = 1e-5;
/// bf16 keeps 8 bits and f16 11; the weights' rounding grows through the blocks.
const BF16: f64 = 4e-2;
const F16: f64 = 5e-3;

const IDS: [u32; 12] = [5, 17, 3, 3, 40, 22, 8, 63, 1, 0, 31, 9];

fn tiny() -> Llama {
    open(&fixture("tiny-gqa"))
}

#[test]
fn pattern_rows_sum_to_one_and_look_back_only() {
    let llama = tiny();
    let (seen, _) = record(&llama, &IDS);
    let n = IDS.len();
    assert_eq!(seen.patterns.len(), llama.config().n_layers);
    for pattern in seen.patterns.values() {
        assert_eq!(pattern.len(), llama.config().n_heads * n * n);
        for (index, row) in pattern.chunks(n).enumerate() {
            let (before, after) = row.split_at(index % n + 1);
            assert!((before.iter().sum::<f32>() - 1.0).abs() <= SUM);
            assert!(after.iter().all(|weight| *weight == 0.0));
        }
    }
}

/// Computes the attention's output anew from what the tap saw and the file's own output weights, in f64.
#[test]
fn pattern_times_values_times_output_is_what_attention_adds() {
    let llama = tiny();
    let config = llama.config().clone();
    let (seen, _) = record(&llama, &IDS);
    let (n, width) = (IDS.len(), config.head_dim);
    let group = config.n_heads / config.n_kv_heads;
    for layer in 0..config.n_layers {
        let pattern = &seen.patterns[&(layer, 0)];
        let values = &seen.activations[&Hook { layer, site: Site::Value }];
        let output = file_tensor(&format!("model.layers.{layer}.self_attn.o_proj.weight"));
        let columns = config.n_heads * width;
        let mut expected = vec![0.0_f64; n * config.d_model];
        for query in 0..n {
            for column in 0..columns {
                let (head, offset) = (column / width, column % width);
                let mixed: f64 = (0..n)
                    .map(|key| {
                        let value = values[key * config.n_kv_heads * width + head / group * width + offset];
                        f64::from(pattern[(head * n + query) * n + key]) * f64::from(value)
                    })
                    .sum();
                for out in 0..config.d_model {
                    expected[query * config.d_model + out] +=
                        mixed * f64::from(output[out * columns + column]);
                }
            }
        }
        let expected: Vec<f32> = expected.into_iter().map(|x| x as f32).collect();
        let error = relative_error(&seen.activations[&Hook { layer, site: Site::AttnOut }], &expected);
        assert!(error <= 1e-5, "block {layer}: {error:e}");
    }
}

/// A tensor of the sharded model, wherever it lies.
fn file_tensor(name: &str) -> Vec<f32> {
    let mut shards = std::fs::read_dir(fixture("tiny-gqa")).unwrap().map(|entry| entry.unwrap().path());
    shards
        .find_map(|path| {
            let is_shard = path.extension().is_some_and(|extension| extension == "safetensors");
            is_shard.then(|| Numbers::read(&path)).filter(|numbers| numbers.0.contains_key(name))
        })
        .unwrap()
        .get(name)
        .to_vec()
}

#[test]
fn what_blocks_add_adds_up() {
    let llama = tiny();
    let (seen, residual) = record(&llama, &IDS);
    for layer in 1..llama.config().n_layers {
        let [before, attention, mlp, after] = [
            Hook::resid_post(layer - 1),
            Hook { layer, site: Site::AttnOut },
            Hook { layer, site: Site::MlpOut },
            Hook::resid_post(layer),
        ]
        .map(|hook| &seen.activations[&hook]);
        let sum: Vec<f32> = before.iter().zip(attention).zip(mlp).map(|((a, b), c)| (a + b) + c).collect();
        assert_eq!(&sum, after, "block {layer}");
    }
    assert_eq!(floats(residual), seen.activations[&Hook::resid_post(llama.config().n_layers - 1)]);
}

#[test]
fn normalized_rows_have_mean_square_one() {
    let llama = tiny();
    let (seen, _) = record(&llama, &IDS);
    for layer in 0..llama.config().n_layers {
        let rows = &seen.activations[&Hook { layer, site: Site::Ln2Normalized }];
        for row in rows.chunks(llama.config().d_model) {
            let mean_square = row.iter().map(|x| x * x).sum::<f32>() / row.len() as f32;
            assert!((mean_square - 1.0).abs() <= 1e-3, "{mean_square}");
        }
    }
}

/// Watches the activations but not the pattern.
struct Watcher;

impl Tap for Watcher {
    fn activation(&mut self, _hook: Hook, x: Tensor<2>) -> Tensor<2> {
        let _ = floats(x.clone());
        x
    }
}

/// Asks for the pattern and does nothing with it.
struct Patterns;

impl Tap for Patterns {
    fn wants_pattern(&self, _layer: usize) -> bool {
        true
    }
}

#[test]
fn watching_changes_nothing() {
    let llama = tiny();
    let batch = Packed::new([&IDS[..], &IDS[..5]]);
    let unseen = floats(llama.forward(&batch, &mut ()));
    assert_eq!(unseen, floats(llama.forward(&batch, &mut Watcher)), "watching activations");
    let plain = floats(llama.forward(&batch, &mut Patterns));
    assert_eq!(plain, floats(llama.forward(&batch, &mut Recorder::default())), "watching patterns");
}

#[test]
fn attention_with_and_without_pattern_agree() {
    for llama in [tiny(), open(&fixture("tiny-tied")), open(&crate::support::smollm2())] {
        let batch = Packed::new([&IDS[..], &IDS[..5], &IDS[..1]]);
        let fast = floats(llama.forward(&batch, &mut ()));
        let plain = floats(llama.forward(&batch, &mut Patterns));
        let error = worst_row(&fast, &plain, llama.config().d_model);
        assert!(error <= F32, "{error:e}");
    }
}

#[test]
fn two_runs_are_identical() {
    let llama = tiny();
    let batch = Packed::new([&IDS[..], &IDS[3..]]);
    let first = floats(llama.logits(llama.forward(&batch, &mut ())));
    let second = floats(llama.logits(tiny().forward(&batch, &mut ())));
    assert_eq!(first, second);
}

/// Sequences of one batch do not see each other, whatever their lengths.
#[test]
fn a_packed_batch_gives_what_each_prompt_gives_alone() {
    let llama = tiny();
    let sequences = [&IDS[..], &IDS[2..3], &IDS[4..11], &IDS[..6]];
    let d_model = llama.config().d_model;
    let batch = Packed::new(sequences);
    let mut together = Recorder::default();
    let residual = floats(llama.forward(&batch, &mut together));
    for (sequence, range) in batch.ranges().enumerate() {
        let (alone, expected) = record(&llama, sequences[sequence]);
        let actual = &residual[range.start * d_model..range.end * d_model];
        let error = worst_row(actual, &floats(expected), d_model);
        assert!(error <= REGROUPED, "sequence {sequence}: {error:e}");
        for layer in 0..llama.config().n_layers {
            let expected = &alone.patterns[&(layer, 0)];
            let error = worst_row(&together.patterns[&(layer, sequence)], expected, range.len());
            assert!(error <= REGROUPED, "pattern of sequence {sequence} in block {layer}: {error:e}");
        }
    }
    // A neighbor changed from end to end changes nothing at all, bit for bit.
    let others = [&IDS[..], &[60], &[9, 9, 9, 9, 9, 9, 9], &[1, 2, 3, 4, 5, 6]];
    let changed = floats(llama.forward(&Packed::new(others), &mut Patterns));
    assert_eq!(residual[..IDS.len() * d_model], changed[..IDS.len() * d_model]);
}

#[test]
fn token_by_token_gives_what_one_pass_gives() {
    let llama = tiny();
    let d_model = llama.config().d_model;
    // Long enough that the cache grows twice.
    let ids: Vec<u32> = (0..150).map(|i| (i * 37 + 11) % 96).collect();
    let whole = floats(llama.forward(&Packed::new([&ids[..]]), &mut ()));
    let mut caches = [Cache::new()];
    let mut steps = floats(llama.extend(&Packed::new([&ids[..7]]), &mut caches, &mut ()));
    for id in &ids[7..] {
        let one = Packed::new([std::slice::from_ref(id)]);
        steps.extend(floats(llama.extend(&one, &mut caches, &mut ())));
    }
    assert_eq!(caches[0].len(), ids.len());
    let error = worst_row(&steps, &whole, d_model);
    assert!(error <= F32, "{error:e}");

    // The pattern of new queries covers the past too.
    let mut seen = Recorder::default();
    let mut caches = [Cache::new()];
    llama.extend(&Packed::new([&ids[..9]]), &mut caches, &mut ());
    llama.extend(&Packed::new([&ids[9..12]]), &mut caches, &mut seen);
    let (expected, _) = record(&llama, &ids[..12]);
    for head in 0..llama.config().n_heads {
        let actual = &seen.patterns[&(0, 0)][head * 3 * 12..(head + 1) * 3 * 12];
        let expected = &expected.patterns[&(0, 0)][head * 144 + 9 * 12..(head + 1) * 144];
        assert!(worst_row(actual, expected, 12) <= F32, "head {head}");
    }
}

#[test]
fn a_forked_cache_leaves_its_origin_alone() {
    let llama = tiny();
    let mut origin = [Cache::new()];
    llama.extend(&Packed::new([&IDS[..8]]), &mut origin, &mut ());
    let mut fork = origin.clone();
    let on_fork = floats(llama.extend(&Packed::new([&[7_u32, 7, 7][..]]), &mut fork, &mut ()));
    let on_origin = floats(llama.extend(&Packed::new([&IDS[8..]]), &mut origin, &mut ()));
    let d_model = llama.config().d_model;
    let whole = floats(llama.forward(&Packed::new([&IDS[..]]), &mut ()));
    assert!(worst_row(&on_origin, &whole[8 * d_model..], d_model) <= F32);
    let other: Vec<u32> = IDS[..8].iter().copied().chain([7, 7, 7]).collect();
    let whole = floats(llama.forward(&Packed::new([&other[..]]), &mut ()));
    assert!(worst_row(&on_fork, &whole[8 * d_model..], d_model) <= F32);
    assert_eq!((origin[0].len(), fork[0].len()), (12, 11));
}

/// Caches of one batch belong to their own sequences, of different pasts.
#[test]
fn caches_of_a_batch_keep_to_their_sequences() {
    let llama = tiny();
    let d_model = llama.config().d_model;
    let mut caches = [Cache::new(), Cache::new()];
    llama.extend(&Packed::new([&IDS[..2], &IDS[..9]]), &mut caches, &mut ());
    let steps = floats(llama.extend(&Packed::new([&IDS[2..6], &IDS[9..10]]), &mut caches, &mut ()));
    let whole = floats(llama.forward(&Packed::new([&IDS[..]]), &mut ()));
    assert!(worst_row(&steps[..4 * d_model], &whole[2 * d_model..6 * d_model], d_model) <= F32);
    assert!(worst_row(&steps[4 * d_model..], &whole[9 * d_model..10 * d_model], d_model) <= F32);
}

#[test]
fn half_float_files_are_read() {
    let golden = Numbers::read(&fixture("tiny-tied.safetensors"));
    for (name, tolerance) in [("tiny-tied-bf16", BF16), ("tiny-tied-f16", F16)] {
        let llama = open(&fixture(name));
        let ids = golden.ids("2.ids");
        let logits = floats(llama.logits(llama.forward(&Packed::new([&ids[..]]), &mut ())));
        let error = relative_error(&logits, golden.get("2.logits"));
        assert!(error <= tolerance, "{name}: {error:e}");
        // Equal numbers would mean that the f32 file was read.
        assert!(error > 1e-5, "{name}: {error:e}");
    }
}

/// The way that GPUs run a model, here on the CPU: weights and activations in half floats.
#[test]
fn half_floats_from_end_to_end_agree_with_f32() {
    let golden = Numbers::read(&fixture("tiny-gqa.safetensors"));
    let ids = golden.ids("2.ids");
    for (dtype, tolerance) in [(Dtype::Bf16, BF16), (Dtype::F16, F16)] {
        let llama = tiny().plain(dtype);
        let (seen, residual) = record(&llama, &ids);
        let last = &seen.activations[&Hook::resid_post(llama.config().n_layers - 1)];
        let error = relative_error(last, golden.entry("2.residual", llama.config().n_layers - 1));
        assert!(error <= tolerance && error > 1e-5, "{dtype}: {error:e}");
        let error = relative_error(&floats(llama.logits(residual)), golden.get("2.logits"));
        assert!(error <= tolerance && error > 1e-5, "{dtype}: {error:e}");
        let sums = seen.patterns[&(0, 0)].chunks(ids.len()).map(|row| row.iter().sum::<f32>());
        assert!(sums.into_iter().all(|sum| (sum - 1.0).abs() <= SUM), "the softmax is in f32");
    }
}

#[test]
fn the_cpu_computes_in_f32_only() {
    let folder = fixture("tiny-tied");
    for dtype in [Dtype::Bf16, Dtype::F16] {
        let error = open_llama(folder.to_str().unwrap(), &Device::flex(), dtype).unwrap_err();
        assert!(matches!(error, ModelError::CpuDtype { .. }), "{error}");
        assert!(error.hint().unwrap().contains("--dtype f32"));
    }
}

/// The CPU's own loops against plain tensor operations, at every site of every block.
#[test]
fn cpu_kernels_agree_with_plain_operations() {
    for path in [fixture("tiny-gqa"), fixture("tiny-tied"), crate::support::smollm2()] {
        let llama = open(&path);
        let plain = llama.plain(Dtype::F32);
        // More queries than one task of the attention takes, and one row alone.
        let long: Vec<u32> = (0..77).map(|i| (i * 37 + 11) % 64).collect();
        let batch = Packed::new([&long[..], &IDS[..1], &IDS[..]]);
        let (mut fast, mut judge) = (Sites::default(), Sites::default());
        let residuals = [llama.forward(&batch, &mut fast), plain.forward(&batch, &mut judge)];
        for (hook, (actual, width)) in &fast.0 {
            let error = worst_row(actual, &judge.0[hook].0, *width);
            assert!(error <= F32, "{}, {hook}: {error:e}", path.display());
        }
        let [actual, expected] = residuals;
        let last = |x: Tensor<2>| floats(llama.logits(x.slice(89..90)));
        let expected = floats(plain.logits(expected.slice(89..90)));
        assert!(relative_error(&last(actual), &expected) <= F32, "{}", path.display());
    }
}

/// Every activation with its width.
#[derive(Default)]
struct Sites(std::collections::BTreeMap<Hook, (Vec<f32>, usize)>);

impl Tap for Sites {
    fn activation(&mut self, hook: Hook, x: Tensor<2>) -> Tensor<2> {
        let [_, width] = x.dims();
        self.0.insert(hook, (floats(x.clone()), width));
        x
    }
}

/// The direction of two tokens times a residual over its root mean square, against the logits.
#[test]
fn the_logit_direction_is_what_the_logits_differ_by() {
    for name in ["tiny-gqa", "tiny-tied"] {
        let llama = open(&fixture(name));
        let residual = llama.forward(&Packed::new([IDS.as_slice()]), &mut ());
        let width = llama.config().d_model;
        let logits = floats(llama.logits(residual.clone()));
        let plain = llama.plain(Dtype::F32);
        for (first, second) in [(3, 60), (0, 63), (17, 16)] {
            let direction = floats(llama.logit_direction(first, second));
            assert_eq!(direction, floats(plain.logit_direction(first, second)), "{name}");
            let rows = floats(residual.clone());
            for (row, logits) in rows.chunks(width).zip(logits.chunks(llama.config().vocab)) {
                let square = row.iter().map(|x| f64::from(*x) * f64::from(*x)).sum::<f64>() / width as f64;
                let rms = (square + llama.config().rms_eps).sqrt();
                let products = row.iter().zip(&direction).map(|(x, d)| f64::from(*x) * f64::from(*d) / rms);
                let expected = f64::from(logits[first as usize]) - f64::from(logits[second as usize]);
                let found = products.sum::<f64>();
                assert!(
                    (found - expected).abs() <= 1e-5 * (1.0 + expected.abs()),
                    "{name}: {found}, {expected}"
                );
            }
        }
    }
}
