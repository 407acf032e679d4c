//! Encoding and decoding against the f64 reading, for every format.

use std::path::Path;

use burn::tensor::Device;
use saelake::dictionary::{Format, find, open};
use serde_json::{Value, json};
use tempfile::tempdir;

use super::raw::{
    LlamaScope, Random, Row, into, norm, numbers, read_tensors, tensor, times, write_json, write_tensors,
};
use crate::support::relative_error;

const D_IN: usize = 48;
const D_SAE: usize = 192;
const ROWS: usize = 64;

/// f32 sums of some tens of products err by some 1e-7 of the largest term.
const RELATIVE: f64 = 1e-5;
/// A feature whose pre-activation is this close to its threshold, as a share of the row's largest, may fire in
/// one precision and not in the other.
const MARGIN: f64 = 1e-6;
/// So few of all (row, feature) pairs may lie within the margin: with pre-activations spread over the whole
/// range, about 2e-6 do.
const MARGIN_SHARE: f64 = 1e-4;

/// Compares the program with `reference` on random rows; gives the mean L0.
fn compare(folder: &Path, size: f64, reference: impl Fn(&[f64]) -> Row) -> f64 {
    let x = Random::new(99).normals(ROWS * D_IN, size);
    let dictionary = open(folder, "test", None, &Device::flex()).unwrap().remove(0);
    let f = numbers(dictionary.encode(tensor(&x, D_IN)));
    let x_hat = numbers(dictionary.decode(dictionary.encode(tensor(&x, D_IN)), &tensor(&x, D_IN)));

    let (mut close, mut active) = (0_usize, 0_usize);
    for (at, row) in x.chunks(D_IN).enumerate() {
        let row: Vec<f64> = row.iter().map(|x| f64::from(*x)).collect();
        let expected = reference(&row);
        let got = &f[at * D_SAE..][..D_SAE];
        let mut checked = (Vec::new(), Vec::new());
        for (feature, got) in got.iter().copied().enumerate() {
            if expected.margin[feature] < MARGIN {
                close += 1;
                continue;
            }
            assert_eq!(got > 0.0, expected.f[feature] > 0.0, "row {at}, feature {feature}");
            active += usize::from(expected.f[feature] > 0.0);
            checked.0.push(got);
            checked.1.push(expected.f[feature] as f32);
        }
        assert!(relative_error(&checked.0, &checked.1) < RELATIVE, "row {at}");
        let decoded: Vec<f32> = expected.x_hat.iter().map(|x| *x as f32).collect();
        assert!(relative_error(&x_hat[at * D_IN..][..D_IN], &decoded) < RELATIVE, "row {at} decoded");
    }
    assert!(close as f64 <= MARGIN_SHARE * (ROWS * D_SAE) as f64, "{close} pairs within the margin");
    active as f64 / ROWS as f64
}

fn largest(a: &[f64]) -> f64 {
    a.iter().fold(0.0, |largest, a| a.abs().max(largest))
}

/// What fires where each pre-activation is compared with a threshold of its own.
fn gated_by(a: &[f64], distance: impl Fn(usize) -> f64) -> (Vec<f64>, Vec<f64>) {
    let size = largest(a);
    let f = (0..a.len()).map(|i| if distance(i) > 0.0 && a[i] > 0.0 { a[i] } else { 0.0 }).collect();
    let margin = (0..a.len()).map(|i| distance(i).abs().min(a[i].abs()) / size).collect();
    (f, margin)
}

/// What fires where the `k` largest ranks win.
fn ranked_by(a: &[f64], ranks: &[f64], k: usize) -> (Vec<f64>, Vec<f64>) {
    let mut sorted: Vec<f64> = ranks.to_vec();
    sorted.sort_by(|a, b| b.total_cmp(a));
    let cut = f64::midpoint(sorted[k - 1], sorted[k]);
    let size = largest(ranks);
    let f = (0..a.len()).map(|i| if ranks[i] > cut && a[i] > 0.0 { a[i] } else { 0.0 }).collect();
    let margin = ranks.iter().map(|rank| (rank - cut).abs().min(rank.abs()) / size).collect();
    (f, margin)
}

fn llama_scope(folder: &Path, made: &LlamaScope) -> impl Fn(&[f64]) -> Row {
    let tensors = read_tensors(&folder.join("checkpoints/final.safetensors"));
    let made = made.clone();
    let root = (made.d_in as f64).sqrt();
    let (f_in, f_out) = (root / made.norm_in, root / made.norm_out);
    move |x| {
        let scaled: Vec<f64> = x.iter().map(|x| x * f_in).collect();
        let mut a = times(&tensors["encoder.weight"], &scaled);
        a.iter_mut().zip(&tensors["encoder.bias"]).for_each(|(a, bias)| *a += bias);
        let decoder = &tensors["decoder.weight"];
        let column = |i: usize| (0..D_IN).map(|row| decoder[row * D_SAE + i]).collect::<Vec<f64>>();
        let norms: Vec<f64> = (0..D_SAE).map(|i| norm(&column(i))).collect();
        let (f, margin) = match made.act_fn {
            "relu" => gated_by(&a, |i| a[i]),
            "topk" if made.threshold == 0.0 => {
                let ranks: Vec<f64> = if made.include_decoder_norm {
                    a.iter().zip(&norms).map(|(a, n)| a * n).collect()
                } else {
                    a.clone()
                };
                ranked_by(&a, &ranks, made.top_k)
            }
            _ if made.include_decoder_norm => gated_by(&a, |i| a[i] * norms[i] / f_out - made.threshold),
            _ => gated_by(&a, |i| a[i] / f_in - made.threshold),
        };
        let bias = &tensors["decoder.bias"];
        let x_hat = times(decoder, &f).iter().zip(bias).map(|(x, bias)| (x + bias) / f_out).collect();
        Row { f, margin, x_hat }
    }
}

#[test]
fn llama_scope_agrees_with_f64() {
    let base = LlamaScope { norm_in: 20.0, norm_out: 13.0, ..LlamaScope::default() };
    let cases = [
        base.clone(),
        LlamaScope { include_decoder_norm: false, ..base.clone() },
        LlamaScope { act_fn: "relu", ..base.clone() },
        LlamaScope { act_fn: "topk", threshold: 0.0, ..base.clone() },
        LlamaScope { act_fn: "topk", threshold: 0.0, include_decoder_norm: false, ..base.clone() },
        LlamaScope { act_fn: "topk", ..base.clone() },
    ];
    for (seed, case) in cases.iter().enumerate() {
        let dir = tempdir().unwrap();
        case.write(dir.path(), 8, seed as u64);
        let l0 = compare(dir.path(), 3.0, llama_scope(dir.path(), case));
        assert!((2.0..150.0).contains(&l0), "{l0} features fire: nothing is tested");
    }
}

/// The formulas of SAELens, on its own files, in f64.
fn saelens(folder: &Path, cfg: &Value) -> impl Fn(&[f64]) -> Row {
    let t = read_tensors(&folder.join("sae_weights.safetensors"));
    let cfg = cfg.clone();
    move |x| {
        let width = x.len() as f64;
        let mean = x.iter().sum::<f64>() / width;
        let deviation = (x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (width - 1.0)).sqrt();
        let factor = cfg["norm_scaling_factor"].as_f64().unwrap_or(1.0);
        // In: (x − shift) × gain. Out: x × back + shift.
        let (shift, gain, back) = match cfg["normalize_activations"].as_str().unwrap() {
            "layer_norm" => (mean, 1.0 / (deviation + 1e-5), deviation),
            "constant_norm_rescale" => (0.0, width.sqrt() / norm(x), norm(x) / width.sqrt()),
            "expected_average_only_in" => (0.0, factor, 1.0 / factor),
            _ => (0.0, 1.0, 1.0),
        };
        let bias = if cfg["apply_b_dec_to_input"] == json!(true) { 1.0 } else { 0.0 };
        let input: Vec<f64> = x.iter().zip(&t["b_dec"]).map(|(x, b)| (x - shift) * gain - b * bias).collect();
        let product = into(&input, &t["W_enc"]);
        let plus = |name: &str| product.iter().zip(&t[name]).map(|(a, b)| a + b).collect::<Vec<f64>>();
        let norms: Vec<f64> = t["W_dec"].chunks(D_IN).map(norm).collect();
        let rescale = cfg["rescale_acts_by_decoder_norm"] == json!(true);
        let (f, margin) = match cfg["architecture"].as_str().unwrap() {
            "jumprelu" => {
                let a = plus("b_enc");
                gated_by(&a, |i| a[i] - t["threshold"][i])
            }
            "topk" => {
                let a = plus("b_enc");
                let a: Vec<f64> =
                    if rescale { a.iter().zip(&norms).map(|(a, n)| a * n).collect() } else { a };
                ranked_by(&a, &a, cfg["k"].as_u64().unwrap() as usize)
            }
            "gated" => {
                let gate = plus("b_gate");
                let magnitude: Vec<f64> =
                    (0..D_SAE).map(|i| product[i] * t["r_mag"][i].exp() + t["b_mag"][i]).collect();
                gated_by(&magnitude, |i| gate[i])
            }
            _ => {
                let a = plus("b_enc");
                gated_by(&a, |i| a[i])
            }
        };
        let decoded: Vec<f64> =
            if rescale { f.iter().zip(&norms).map(|(f, n)| f / n).collect() } else { f.clone() };
        let decoded = into(&decoded, &t["W_dec"]);
        let x_hat = decoded.iter().zip(&t["b_dec"]).map(|(x, b)| (x + b) * back + shift).collect();
        Row { f, margin, x_hat }
    }
}

fn write_saelens(folder: &Path, cfg: &Value, seed: u64) {
    let mut random = Random::new(seed);
    let mut vector = |name, size| (name, vec![D_SAE], random.normals(D_SAE, size));
    let (b_enc, b_gate, b_mag, r_mag) =
        (vector("b_enc", 0.5), vector("b_gate", 0.5), vector("b_mag", 0.5), vector("r_mag", 0.3));
    let threshold = ("threshold", vec![D_SAE], random.numbers(D_SAE, 1.0).iter().map(|x| 2.0 + x).collect());
    let mut tensors = vec![
        ("W_enc", vec![D_IN, D_SAE], random.normals(D_IN * D_SAE, 0.15)),
        ("W_dec", vec![D_SAE, D_IN], random.normals(D_IN * D_SAE, 0.3)),
        ("b_dec", vec![D_IN], random.normals(D_IN, 0.4)),
    ];
    match cfg["architecture"].as_str().unwrap() {
        "gated" => tensors.extend([b_gate, b_mag, r_mag]),
        "jumprelu" => tensors.extend([b_enc, threshold]),
        _ => tensors.push(b_enc),
    }
    write_tensors(&folder.join("sae_weights.safetensors"), &tensors);
    write_json(&folder.join("cfg.json"), cfg);
}

#[test]
fn saelens_agrees_with_f64() {
    let cfg = |change: &Value| {
        let mut cfg = json!({
            "architecture": "standard", "d_in": D_IN, "d_sae": D_SAE, "dtype": "float32",
            "apply_b_dec_to_input": true, "normalize_activations": "none", "reshape_activations": "none",
            "metadata": {"hook_name": "blocks.2.hook_resid_post", "sae_lens_version": "6.18.0"},
        });
        cfg.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        cfg
    };
    let cases = [
        json!({}),
        json!({"apply_b_dec_to_input": false}),
        json!({"normalize_activations": "layer_norm"}),
        json!({"normalize_activations": "constant_norm_rescale", "architecture": "jumprelu"}),
        json!({"normalize_activations": "expected_average_only_in", "norm_scaling_factor": 0.37}),
        json!({"architecture": "jumprelu"}),
        json!({"architecture": "topk", "k": 11}),
        json!({"architecture": "topk", "k": 11, "rescale_acts_by_decoder_norm": true}),
        json!({"architecture": "gated"}),
    ];
    for (seed, case) in cases.into_iter().enumerate() {
        let (dir, cfg) = (tempdir().unwrap(), cfg(&case));
        write_saelens(dir.path(), &cfg, seed as u64);
        let l0 = compare(dir.path(), 2.0, saelens(dir.path(), &cfg));
        assert!((1.0..150.0).contains(&l0), "{cfg}: {l0} features fire: nothing is tested");
    }
}

#[test]
fn sparsify_agrees_with_f64() {
    for (activation, k) in [("topk", 9), ("groupmax", 12)] {
        let dir = tempdir().unwrap();
        let folder = dir.path().join("layers.5");
        let mut random = Random::new(k as u64);
        write_tensors(
            &folder.join("sae.safetensors"),
            &[
                ("encoder.weight", vec![D_SAE, D_IN], random.normals(D_IN * D_SAE, 0.15)),
                ("encoder.bias", vec![D_SAE], random.normals(D_SAE, 0.5)),
                ("W_dec", vec![D_SAE, D_IN], random.normals(D_IN * D_SAE, 0.15)),
                ("b_dec", vec![D_IN], random.normals(D_IN, 0.4)),
            ],
        );
        let cfg = json!({"activation": activation, "expansion_factor": D_SAE / D_IN, "normalize_decoder": true,
            "num_latents": 0, "k": k, "multi_topk": false, "skip_connection": false, "d_in": D_IN});
        write_json(&folder.join("cfg.json"), &cfg);
        let t = read_tensors(&folder.join("sae.safetensors"));
        let l0 = compare(&folder, 2.0, |x| {
            let input: Vec<f64> = x.iter().zip(&t["b_dec"]).map(|(x, b)| x - b).collect();
            let a: Vec<f64> = times(&t["encoder.weight"], &input)
                .iter()
                .zip(&t["encoder.bias"])
                .map(|(a, b)| a + b)
                .collect();
            let (f, margin) = if activation == "topk" {
                ranked_by(&a, &a, k)
            } else {
                let groups = a.chunks(D_SAE / k).map(|group| ranked_by(group, group, 1));
                let (f, margin): (Vec<_>, Vec<_>) = groups.unzip();
                (f.concat(), margin.concat())
            };
            let x_hat = into(&f, &t["W_dec"]).iter().zip(&t["b_dec"]).map(|(x, b)| x + b).collect();
            Row { f, margin, x_hat }
        });
        assert!((l0 - k as f64).abs() < 0.5, "{activation}: {l0} features fire");
        let hook = find(&folder).unwrap()[0].hook;
        assert_eq!(hook.to_string(), "blocks.5.hook_resid_post");
    }
}

#[test]
fn layers_are_sorted_and_recognized() {
    let dir = tempdir().unwrap();
    let made = LlamaScope::default();
    for layer in [15, 8, 31] {
        made.write(&dir.path().join(format!("Llama3_1-8B-Base-L{layer}R-8x")), layer, 1);
    }
    let dictionaries =
        open(dir.path(), "fnlp/Llama3_1-8B-Base-LXR-8x", Some("abc"), &Device::flex()).unwrap();
    let layers: Vec<usize> = dictionaries.iter().map(|dictionary| dictionary.hook.layer).collect();
    assert_eq!(layers, [8, 15, 31]);
    let provenance = &dictionaries[0].provenance;
    assert_eq!(provenance.format, Format::LlamaScope);
    assert_eq!(provenance.revision.as_deref(), Some("abc"));
    assert_eq!(provenance.source, "fnlp/Llama3_1-8B-Base-LXR-8x");
    assert_eq!(provenance.hash.len(), 64);
    assert_ne!(provenance.hash, dictionaries[1].provenance.hash);
    assert_eq!(provenance.expected.l0, Some(10.0));
    // Only the published widths have an id.
    assert_eq!(provenance.neuronpedia, None);
}
