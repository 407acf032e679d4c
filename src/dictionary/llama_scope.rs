//! Llama Scope: `hyperparams.json`, `lm_config.json`, and `checkpoints/final.safetensors`.
//!
//! With `D_i` column `i` of `decoder.weight`, `norm` the average norm that `hyperparams.json` records and
//! `f = sqrt(d_model) / norm` for the input and the output, OpenMOSS's `from_config` comes to
//!
//! ```text
//! a = encoder.weight · (x × f_in) + encoder.bias          the value that SAELens and Neuronpedia report
//! feature i fires where a_i × ‖D_i‖ / f_out > threshold   in the model's units, strictly
//! x̂ = (decoder.weight · a + decoder.bias) / f_out
//! ```
//!
//! so feature `i` has the threshold `threshold × f_out / ‖D_i‖` in activation units. Where
//! `sparsity_include_decoder_norm` is false, the same derivation gives `threshold × f_in`.

use std::path::{Path, PathBuf};

use burn::tensor::Device;
use serde::Deserialize;

use super::canonical::{Activation, Dictionary, Expected, Input, Provenance};
use super::error::DictionaryError;
use super::format::Format;
use super::tensors::{Weights, bytes, matrix, row_norms, vector};
use crate::model::{Hook, Site};

/// The file that says what the dictionary is.
pub(crate) const CONFIG: &str = "hyperparams.json";
/// The file that says what model it was trained on.
pub(crate) const MODEL_CONFIG: &str = "lm_config.json";
/// The weights, where OpenMOSS looks for them, in its order.
const WEIGHTS: [&str; 2] = ["sae_weights.safetensors", "checkpoints/final.safetensors"];

/// What is read of `hyperparams.json`.
#[derive(Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "the file has them")]
struct Hyperparams {
    hook_point_in: String,
    hook_point_out: Option<String>,
    d_model: usize,
    d_sae: Option<usize>,
    expansion_factor: Option<f64>,
    act_fn: String,
    #[serde(default)]
    jump_relu_threshold: f64,
    top_k: Option<usize>,
    norm_activation: String,
    dataset_average_activation_norm: Option<AverageNorm>,
    sparsity_include_decoder_norm: bool,
    apply_decoder_bias_to_pre_encoder: bool,
    #[serde(default = "yes")]
    use_decoder_bias: bool,
    #[serde(default)]
    use_glu_encoder: bool,
    /// What this program recorded when it trained the dictionary.
    saelake: Option<Recorded>,
}

#[derive(Deserialize)]
struct AverageNorm {
    #[serde(rename = "in")]
    input: f64,
    #[serde(rename = "out")]
    output: f64,
}

#[derive(Deserialize)]
struct Recorded {
    l0: Option<f32>,
    explained_variance: Option<f32>,
}

#[derive(Default, Deserialize)]
struct ModelConfig {
    model_name: Option<String>,
}

const fn yes() -> bool {
    true
}

/// The place that the dictionary in `folder` reads.
pub(crate) fn hook(folder: &Path) -> Result<Hook, DictionaryError> {
    let path = folder.join(CONFIG);
    let hyperparams = parse(&path, &bytes(&path)?)?;
    hook_of(&path, &hyperparams)
}

/// Reads the dictionary in `folder`.
pub(crate) fn read(folder: &Path, device: &Device) -> Result<Dictionary, DictionaryError> {
    let path = folder.join(CONFIG);
    let config = bytes(&path)?;
    let hyperparams = parse(&path, &config)?;
    let hook = hook_of(&path, &hyperparams)?;
    let scales = Scales::of(&path, &hyperparams)?;
    refuse_unsupported(&path, &hyperparams, scales)?;

    let weights = Weights::read(&weights_path(folder)?)?;
    let tensors = weights.tensors()?;
    let d_in = hyperparams.d_model;
    let d_sae = d_sae(&path, &hyperparams)?;
    let w_enc = tensors.get_transposed("encoder.weight", [d_sae, d_in])?;
    let b_enc = tensors.get("encoder.bias", &[d_sae])?;
    let w_dec = tensors.get_transposed("decoder.weight", [d_in, d_sae])?;
    let b_dec =
        if hyperparams.use_decoder_bias { tensors.get("decoder.bias", &[d_in])? } else { vec![0.0; d_in] };
    let decoder_norms = row_norms(&w_dec, d_in);

    let model_config = model_config(folder)?;
    let provenance = Provenance {
        format: Format::LlamaScope,
        source: folder.display().to_string(),
        revision: None,
        hash: weights.hash(&[&config, &model_config.0]),
        neuronpedia: neuronpedia(hook, d_in, d_sae, model_config.1.model_name.as_deref()),
        expected: expected(&hyperparams),
    };
    Ok(Dictionary {
        hook,
        d_in,
        d_sae,
        input: scales.input(),
        w_enc: matrix(w_enc, [d_in, d_sae], device),
        b_enc: vector(b_enc, device),
        subtracts_decoder_bias: hyperparams.apply_decoder_bias_to_pre_encoder,
        activation: activation(&path, &hyperparams, scales, &decoder_norms, device)?,
        w_dec: matrix(w_dec, [d_sae, d_in], device),
        b_dec: vector(b_dec, device),
        output_scale: (1.0 / scales.output) as f32,
        decoder_norms,
        provenance,
    })
}

/// The factors between the model's units and the dictionary's.
#[derive(Clone, Copy)]
struct Scales {
    input: f64,
    output: f64,
}

impl Scales {
    fn of(path: &Path, hyperparams: &Hyperparams) -> Result<Self, DictionaryError> {
        let average =
            match (hyperparams.norm_activation.as_str(), &hyperparams.dataset_average_activation_norm) {
                ("none" | "inference", _) => return Ok(Self { input: 1.0, output: 1.0 }),
                ("dataset-wise", Some(average)) => average,
                (value, average) => {
                    let (key, value) = match average {
                        None if value == "dataset-wise" => ("dataset_average_activation_norm", "null"),
                        _ => ("norm_activation", value),
                    };
                    return Err(DictionaryError::Unsupported {
                        path: path.to_owned(),
                        key,
                        value: value.to_owned(),
                        supported: "dataset-wise with its average norms, inference, none",
                    });
                }
            };
        for value in [average.input, average.output] {
            if !(value.is_finite() && value > 0.0) {
                return Err(DictionaryError::OutOfRange {
                    path: path.to_owned(),
                    key: "dataset_average_activation_norm",
                    value,
                    rule: "an average norm is positive",
                });
            }
        }
        let root = (hyperparams.d_model as f64).sqrt();
        Ok(Self { input: root / average.input, output: root / average.output })
    }

    fn input(self) -> Input {
        Input::Scale(self.input as f32)
    }
}

fn activation(
    path: &Path,
    hyperparams: &Hyperparams,
    scales: Scales,
    decoder_norms: &[f32],
    device: &Device,
) -> Result<Activation, DictionaryError> {
    let theta = hyperparams.jump_relu_threshold;
    let by_norm = hyperparams.sparsity_include_decoder_norm;
    let out_of_range =
        |key, value, rule| DictionaryError::OutOfRange { path: path.to_owned(), key, value, rule };
    if !(theta.is_finite() && theta >= 0.0) {
        return Err(out_of_range("jump_relu_threshold", theta, "a threshold is 0 or more"));
    }
    match hyperparams.act_fn.as_str() {
        "relu" => Ok(Activation::Relu),
        // OpenMOSS's loader turns a top-k dictionary with a threshold into a JumpReLU one.
        "topk" if theta == 0.0 => {
            let k = hyperparams.top_k.unwrap_or(0);
            if k == 0 || k > decoder_norms.len() {
                return Err(out_of_range("top_k", k as f64, "it lies between 1 and the number of features"));
            }
            let rank_by = by_norm.then(|| vector(decoder_norms.to_vec(), device));
            Ok(Activation::TopK { k, rank_by })
        }
        "jumprelu" | "topk" => {
            let threshold = |norm: &f32| {
                let scale = if by_norm { scales.output / f64::from(*norm) } else { scales.input };
                (theta * scale) as f32
            };
            let threshold: Vec<f32> = decoder_norms.iter().map(threshold).collect();
            Ok(Activation::JumpRelu { threshold: vector(threshold, device) })
        }
        other => Err(DictionaryError::Unsupported {
            path: path.to_owned(),
            key: "act_fn",
            value: other.to_owned(),
            supported: "jumprelu, topk, relu",
        }),
    }
}

fn refuse_unsupported(path: &Path, hyperparams: &Hyperparams, scales: Scales) -> Result<(), DictionaryError> {
    let refuse = |key, value: &str, supported| {
        Err(DictionaryError::Unsupported { path: path.to_owned(), key, value: value.to_owned(), supported })
    };
    match &hyperparams.hook_point_out {
        Some(out) if *out != hyperparams.hook_point_in => {
            refuse("hook_point_out", out, "the same place as hook_point_in (no transcoders yet)")
        }
        _ if hyperparams.use_glu_encoder => refuse("use_glu_encoder", "true", "false"),
        _ if hyperparams.apply_decoder_bias_to_pre_encoder
            && scales.input.total_cmp(&scales.output).is_ne() =>
        {
            refuse(
                "apply_decoder_bias_to_pre_encoder",
                "true",
                "false where the average norms in and out differ",
            )
        }
        _ => Ok(()),
    }
}

/// The number of features: as given, or by the expansion factor.
fn d_sae(path: &Path, hyperparams: &Hyperparams) -> Result<usize, DictionaryError> {
    let value = match (hyperparams.d_sae, hyperparams.expansion_factor) {
        (Some(d_sae), _) => return Ok(d_sae),
        (None, Some(factor)) => factor * hyperparams.d_model as f64,
        (None, None) => 0.0,
    };
    if value >= 1.0 && value.fract() == 0.0 {
        return Ok(value as usize);
    }
    Err(DictionaryError::OutOfRange {
        path: path.to_owned(),
        key: "d_sae",
        value,
        rule: "it, or expansion_factor times d_model, is a whole number of features",
    })
}

/// JumpReLU thresholds are chosen so that `top_k` features fire on average.
fn expected(hyperparams: &Hyperparams) -> Expected {
    let by_top_k = || hyperparams.top_k.filter(|_| hyperparams.act_fn != "relu").map(|k| k as f32);
    let recorded = hyperparams.saelake.as_ref();
    Expected {
        l0: recorded.and_then(|recorded| recorded.l0).or_else(by_top_k),
        explained_variance: recorded.and_then(|recorded| recorded.explained_variance),
    }
}

/// The id on Neuronpedia of the published Llama Scope dictionaries.
fn neuronpedia(hook: Hook, d_in: usize, d_sae: usize, model: Option<&str>) -> Option<String> {
    let site = match hook.site {
        Site::ResidPost => "res",
        Site::MlpOut => "mlp",
        Site::AttnOut => "att",
        Site::Value | Site::Pattern | Site::Z | Site::Ln2Normalized => return None,
    };
    let width = match d_sae {
        32_768 => "32k",
        131_072 => "131k",
        _ => return None,
    };
    let is_llama = d_in == 4096 && model.is_some_and(|name| name.ends_with("Llama-3.1-8B"));
    is_llama.then(|| format!("llama3.1-8b/{}-llamascope-{site}-{width}", hook.layer))
}

fn hook_of(path: &Path, hyperparams: &Hyperparams) -> Result<Hook, DictionaryError> {
    let name = &hyperparams.hook_point_in;
    name.parse().map_err(|source| DictionaryError::Hook { path: path.to_owned(), source })
}

fn parse(path: &Path, config: &[u8]) -> Result<Hyperparams, DictionaryError> {
    serde_json::from_slice(config).map_err(|source| DictionaryError::Json { path: path.to_owned(), source })
}

/// `lm_config.json`, which may be missing: its bytes, and what they say.
fn model_config(folder: &Path) -> Result<(Vec<u8>, ModelConfig), DictionaryError> {
    let path = folder.join(MODEL_CONFIG);
    if !path.is_file() {
        return Ok(Default::default());
    }
    let config = bytes(&path)?;
    let parsed = serde_json::from_slice(&config).map_err(|source| DictionaryError::Json { path, source })?;
    Ok((config, parsed))
}

fn weights_path(folder: &Path) -> Result<PathBuf, DictionaryError> {
    let path = WEIGHTS.iter().map(|name| folder.join(name)).find(|path| path.is_file());
    let missing = || DictionaryError::MissingWeights { folder: folder.to_owned(), names: WEIGHTS.to_vec() };
    path.ok_or_else(missing)
}
