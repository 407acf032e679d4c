//! What the capture keeps of a pass, against the pass itself.

use std::collections::BTreeMap;

use burn::tensor::{Device, Tensor};
use saelake::capture::{AttentionKept, Prepared, Reader, Settings, prepare};
use saelake::dictionary::{Dictionary, Keep};
use saelake::game::{Body, Decide, Prompt};
use saelake::model::{Dtype, Hook, Opened, Packed, Tap, open};

use crate::support::{relative_error, smollm2};

/// Sums of a few hundred f32 probabilities, taken on the device and again in f64.
const SUMS_AGREE: f64 = 1e-5;

/// Kept weights are copied, not computed again; only the length of the batch may move their last bits.
const BATCHES_AGREE: f64 = 1e-4;

fn opened() -> Opened {
    open(smollm2().to_str().unwrap(), &Device::flex(), Dtype::F32).unwrap()
}

fn step(opened: &Opened, text: &str) -> Prepared {
    let prompt = Prompt { body: Body::Text(text.to_owned()), spans: Vec::new(), prefill: String::new() };
    prepare((1, 0), &prompt, &opened.tokenizer, opened.llama.config().context).unwrap()
}

fn settings(attention: AttentionKept) -> Settings {
    Settings {
        layers: vec![3, 20],
        keep: Keep::Top(64),
        attention,
        decide: Decide::Choice,
        temperature: 0.0,
        max_new_tokens: 1,
        batch_tokens: 4096,
    }
}

/// The patterns themselves, by layer and sequence.
#[derive(Default)]
struct Patterns(BTreeMap<(usize, usize), Tensor<3>>);

impl Tap for Patterns {
    fn wants_pattern(&self, _: usize) -> bool {
        true
    }

    fn pattern(&mut self, layer: usize, sequence: usize, pattern: Tensor<3>) -> Tensor<3> {
        self.0.insert((layer, sequence), pattern.clone());
        pattern
    }
}

#[test]
fn kept_attention_is_that_of_the_pattern() {
    let opened = opened();
    let steps = [step(&opened, "The machine pays $100, sometimes."), step(&opened, "Stop now or bet again?")];
    let ids: Vec<Vec<u32>> = steps.iter().map(Prepared::ids).collect();
    let mut patterns = Patterns::default();
    let _ = opened.llama.forward(&Packed::new(ids.iter().map(Vec::as_slice)), &mut patterns);
    for kept in [AttentionKept::Decision, AttentionKept::Top(3), AttentionKept::Full] {
        let settings = settings(kept);
        let reader = Reader { llama: &opened.llama, dictionaries: &[], settings: &settings };
        let reading = reader.read(&steps.iter().collect::<Vec<_>>()).unwrap();
        for (sequence, (step, captured)) in steps.iter().zip(&reading.captured).enumerate() {
            for layer in [3, 20] {
                let pattern = &patterns.0[&(layer, sequence)];
                let [heads, n, _] = pattern.dims();
                let pattern: Vec<f32> = pattern.to_data().iter::<f32>().collect();
                let rows = &captured.attention_rows[&(layer as i32)];
                assert_eq!(rows.len(), heads * n, "every row is there");
                let attention = &captured.attention[&(layer as i32)];
                for row in 0..rows.len() {
                    let (head, query) = (rows.head[row] as usize, rows.query[row] as usize);
                    let whole = &pattern[(head * n + query) * n..][..=query];
                    let weights: BTreeMap<i32, f32> = (0..attention.len())
                        .filter(|i| {
                            attention.head[*i] as usize == head && attention.query[*i] as usize == query
                        })
                        .map(|i| (attention.key[i], attention.weight[i]))
                        .collect();
                    check_row(kept, query == step.decision, whole, &weights);
                    let mass: f64 = weights.values().map(|weight| f64::from(*weight)).sum();
                    assert!((mass - f64::from(rows.kept_mass[row])).abs() < SUMS_AGREE);
                    let entropy: f64 =
                        whole.iter().map(|p| f64::from(*p)).filter(|p| *p > 0.0).map(|p| -p * p.ln()).sum();
                    assert!((entropy - f64::from(rows.entropy[row])).abs() < 1e-4, "{entropy}");
                }
            }
        }
    }
}

/// The kept weights are those of the pattern, and the strongest of them.
fn check_row(kept: AttentionKept, is_decision: bool, whole: &[f32], weights: &BTreeMap<i32, f32>) {
    let expected = match kept {
        _ if is_decision => whole.len(),
        AttentionKept::Decision => 0,
        AttentionKept::Top(keys) => keys.min(whole.len()),
        AttentionKept::Full => whole.len(),
    };
    assert_eq!(weights.len(), expected);
    for (key, weight) in weights {
        assert!((whole[*key as usize] - weight).abs() < BATCHES_AGREE as f32);
    }
    let weakest = weights.values().copied().fold(f32::INFINITY, f32::min);
    let left_out = (0..whole.len()).filter(|key| !weights.contains_key(&(*key as i32)));
    if expected > 0 {
        for key in left_out {
            assert!(whole[key] <= weakest + BATCHES_AGREE as f32);
        }
    }
}

#[test]
fn the_decision_row_is_the_last_row_and_not_the_last_column() {
    let opened = opened();
    let step = step(&opened, "Current balance: $90. You may bet or stop.");
    let settings = settings(AttentionKept::Full);
    let reader = Reader { llama: &opened.llama, dictionaries: &[], settings: &settings };
    let reading = reader.read(&[&step]).unwrap();
    let rows = &reading.captured[0].attention[&20];
    let last = step.decision as i32;
    let mass = |of: &dyn Fn(usize) -> bool| -> f64 {
        (0..rows.len()).filter(|i| rows.head[*i] == 0 && of(*i)).map(|i| f64::from(rows.weight[i])).sum()
    };
    assert!((mass(&|i| rows.query[i] == last) - 1.0).abs() < SUMS_AGREE);
    // The column of the last position holds its attention to itself and nothing else.
    let column = mass(&|i| rows.key[i] == last);
    let itself = mass(&|i| rows.key[i] == last && rows.query[i] == last);
    assert!((column - itself).abs() < f64::EPSILON && column < 0.9, "{column}");
}

#[test]
fn a_batch_of_mixed_lengths_captures_what_each_step_does_alone() {
    let opened = opened();
    let dictionaries = crate::support::demo_dictionaries();
    let settings = Settings { layers: vec![15], keep: Keep::All, ..settings(AttentionKept::Top(8)) };
    let dictionaries: Vec<Dictionary> =
        dictionaries.into_iter().filter(|dictionary| dictionary.hook == Hook::resid_post(15)).collect();
    let reader = Reader { llama: &opened.llama, dictionaries: &dictionaries, settings: &settings };
    let texts = ["You have $100.", "Round 1: bet $10, lost. Round 2: bet $10, won. What now?", "Bet"];
    let steps: Vec<Prepared> = texts.iter().map(|text| step(&opened, text)).collect();
    let together = reader.read(&steps.iter().collect::<Vec<_>>()).unwrap();
    for (step, together) in steps.iter().zip(&together.captured) {
        let alone = reader.read(&[step]).unwrap();
        let (alone, together) = (&alone.captured[0].positions[&15], &together.positions[&15]);
        assert_eq!(alone.position, together.position);
        assert!(relative_error(&together.residual_norm, &alone.residual_norm) < BATCHES_AGREE);
        assert!(relative_error(&together.feature_norm, &alone.feature_norm) < BATCHES_AGREE);
    }
}
