//! The model against the numbers of Hugging Face transformers; see `fixtures/model/make_goldens.py`.

use saelake::model::{Hook, Llama, Site};

use super::{F32, Numbers, fixture, floats, open, record, worst_row};
use crate::support::{relative_error, smollm2};

/// Rows of `x: [tokens, width]`.
fn rows(x: &[f32], width: usize, rows: &[usize]) -> Vec<f32> {
    rows.iter().flat_map(|row| &x[row * width..(row + 1) * width]).copied().collect()
}

/// Checks the model of `file` against the numbers of `name`.
fn check_tiny(file: &str, name: &str) {
    let llama = open(&fixture(file));
    let golden = Numbers::read(&fixture(&format!("{name}.safetensors")));
    let config = llama.config().clone();
    for prompt in ["0", "1", "2"] {
        let ids = golden.ids(&format!("{prompt}.ids"));
        let (seen, residual) = record(&llama, &ids);
        for layer in 0..config.n_layers {
            let check = |what: &str, actual: &[f32], width: usize| {
                let error = worst_row(actual, golden.entry(&format!("{prompt}.{what}"), layer), width);
                assert!(error <= F32, "{file}, prompt {prompt}, {what} of block {layer}: {error:e}");
            };
            check("residual", &seen.activations[&Hook::resid_post(layer)], config.d_model);
            let attention_out = Hook { layer, site: Site::AttnOut };
            check("attention_out", &seen.activations[&attention_out], config.d_model);
            check("pattern", &seen.patterns[&(layer, 0)], ids.len());
        }
        let logits = floats(llama.logits(residual));
        let error = worst_row(&logits, golden.get(&format!("{prompt}.logits")), config.vocab);
        assert!(error <= F32, "{file}, prompt {prompt}, logits: {error:e}");
    }
}

#[test]
fn grouped_queries_scaled_rope_untied_and_sharded_agree() {
    check_tiny("tiny-gqa", "tiny-gqa");
}

/// The same model as llama.cpp would convert it: other rows in queries and keys, rope scaling as divisors.
#[test]
fn the_same_model_as_gguf_agrees() {
    check_tiny("tiny-gqa.gguf", "tiny-gqa");
}

#[test]
fn tied_with_wide_heads_agrees() {
    check_tiny("tiny-tied", "tiny-tied");
}

fn check_smollm2(llama: &Llama, golden: &Numbers, prompt: &str) {
    let config = llama.config();
    let ids = golden.ids(&format!("{prompt}.ids"));
    let kept: Vec<usize> = golden.ids(&format!("{prompt}.rows")).iter().map(|row| *row as usize).collect();
    let (seen, residual) = record(llama, &ids);
    for layer in 0..config.n_layers {
        let actual = rows(&seen.activations[&Hook::resid_post(layer)], config.d_model, &kept);
        let error = worst_row(&actual, golden.entry(&format!("{prompt}.residual"), layer), config.d_model);
        assert!(error <= F32, "{prompt}, residual of block {layer}: {error:e}");

        let pattern = &seen.patterns[&(layer, 0)];
        let heads = pattern.chunks(ids.len() * ids.len());
        let actual: Vec<f32> = heads.flat_map(|head| rows(head, ids.len(), &kept)).collect();
        let error = worst_row(&actual, golden.entry(&format!("{prompt}.pattern"), layer), ids.len());
        assert!(error <= F32, "{prompt}, pattern of block {layer}: {error:e}");
    }
    let logits = floats(llama.logits(residual));
    let sixteenth: Vec<f32> = rows(&logits, config.vocab, &kept).into_iter().step_by(16).collect();
    let expected = golden.get(&format!("{prompt}.logits"));
    let error = worst_row(&sixteenth, expected, config.vocab / 16);
    assert!(error <= F32, "{prompt}, logits: {error:e}");

    let all = logits.chunks(config.vocab);
    let best: Vec<u32> = all
        .clone()
        .map(|row| (0..row.len()).max_by(|a, b| row[*a].total_cmp(&row[*b])).unwrap() as u32)
        .collect();
    assert_eq!(best, golden.ids(&format!("{prompt}.argmax")), "{prompt}: another token is the likeliest");
    let log_sum_exp: Vec<f32> =
        all.map(|row| row.iter().map(|x| f64::from(*x).exp()).sum::<f64>().ln() as f32).collect();
    let error = relative_error(&log_sum_exp, golden.get(&format!("{prompt}.log_sum_exp")));
    assert!(error <= F32, "{prompt}, log-sum-exp: {error:e}");
}

#[test]
fn smollm2_agrees_on_three_prompts() {
    let llama = open(&smollm2());
    let golden = Numbers::read(&fixture("smollm2.safetensors"));
    for prompt in ["short", "chat", "unicode"] {
        check_smollm2(&llama, &golden, prompt);
    }
}

/// The errors that are easily made in reading a residual must not pass the checks above.
#[test]
fn a_layer_off_or_a_norm_too_many_is_noticed() {
    let golden = Numbers::read(&fixture("tiny-gqa.safetensors"));
    let llama = open(&fixture("tiny-gqa"));
    let ids = golden.ids("2.ids");
    let (seen, residual) = record(&llama, &ids);
    let last = llama.config().n_layers - 1;
    let d_model = llama.config().d_model;
    for layer in 0..=last {
        let actual = &seen.activations[&Hook::resid_post(layer)];
        for other in (0..=last).filter(|other| *other != layer) {
            let error = worst_row(actual, golden.entry("2.residual", other), d_model);
            assert!(error > 100.0 * F32, "block {layer} passes for block {other}: {error:e}");
        }
    }
    let error = worst_row(&floats(residual), golden.get("2.post_norm"), d_model);
    assert!(error > 100.0 * F32, "the last residual passes for the normalized one: {error:e}");
}

/// The pattern's rows are queries: the last row is what the last token attends to, the last column is not.
#[test]
fn columns_of_the_pattern_are_not_its_rows() {
    let golden = Numbers::read(&fixture("tiny-gqa.safetensors"));
    let llama = open(&fixture("tiny-gqa"));
    let ids = golden.ids("2.ids");
    let n = ids.len();
    let (seen, _) = record(&llama, &ids);
    for layer in 0..llama.config().n_layers {
        for (head, pattern) in seen.patterns[&(layer, 0)].chunks(n * n).enumerate() {
            let row = &pattern[(n - 1) * n..];
            let column: Vec<f32> = (0..n).map(|query| pattern[query * n + n - 1]).collect();
            let expected = &golden.entry("2.pattern", layer)[head * n * n..][(n - 1) * n..n * n];
            assert!(relative_error(row, expected) <= F32);
            assert!(relative_error(&column, expected) > 100.0 * F32);
        }
    }
}
