//! EleutherAI sparsify: `cfg.json` and `sae.safetensors` in a folder that is named after the module it reads.
//!
//! `f = topk(relu(encoder.weight · (x − b_dec) + encoder.bias))` and `x̂ = f · W_dec + b_dec`.

use std::path::Path;

use burn::tensor::Device;
use serde::Deserialize;

use super::canonical::{Activation, Dictionary, Expected, Input, Provenance};
use super::error::DictionaryError;
use super::format::Format;
use super::tensors::{Weights, bytes, matrix, row_norms, vector};
use crate::model::{Hook, Site, UnknownHook};

/// The file that says what the dictionary is.
pub(crate) const CONFIG: &str = "cfg.json";
/// The weights.
pub(crate) const WEIGHTS: &str = "sae.safetensors";

/// What is read of `cfg.json`; the defaults are those of sparsify's `SparseCoderConfig`.
#[derive(Deserialize)]
struct Config {
    d_in: usize,
    #[serde(default = "topk")]
    activation: String,
    #[serde(default = "expansion")]
    expansion_factor: usize,
    #[serde(default)]
    num_latents: usize,
    #[serde(default = "k")]
    k: usize,
    #[serde(default)]
    signed: bool,
    #[serde(default)]
    transcode: bool,
    #[serde(default)]
    skip_connection: bool,
}

fn topk() -> String {
    "topk".to_owned()
}

const fn expansion() -> usize {
    32
}

const fn k() -> usize {
    32
}

/// The place that the dictionary in `folder` reads, by the folder's name: `layers.8` is the output of block 8,
/// `layers.8.mlp` that of its MLP, and `layer_8` the oldest spelling of the former.
pub(crate) fn hook(folder: &Path) -> Result<Hook, DictionaryError> {
    let absolute = folder
        .canonicalize()
        .map_err(|source| DictionaryError::Unreadable { path: folder.to_owned(), source })?;
    let name = absolute.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let (number, site) = match name.strip_suffix(".mlp") {
        Some(rest) => (rest, Site::MlpOut),
        None => (name.as_str(), Site::ResidPost),
    };
    let number = ["model.layers.", "layers.", "layer_"].iter().find_map(|prefix| number.strip_prefix(prefix));
    match number.and_then(|number| number.parse().ok()) {
        Some(layer) => Ok(Hook { layer, site }),
        None => Err(DictionaryError::Hook { path: folder.to_owned(), source: UnknownHook(name) }),
    }
}

/// Reads the dictionary in `folder`.
pub(crate) fn read(folder: &Path, device: &Device) -> Result<Dictionary, DictionaryError> {
    let path = folder.join(CONFIG);
    let json = bytes(&path)?;
    let config: Config = serde_json::from_slice(&json)
        .map_err(|source| DictionaryError::Json { path: path.clone(), source })?;
    let d_in = config.d_in;
    let d_sae = if config.num_latents == 0 { d_in * config.expansion_factor } else { config.num_latents };
    let activation = activation(&path, &config, d_sae)?;

    let weights = Weights::read(&folder.join(WEIGHTS))?;
    let tensors = weights.tensors()?;
    let w_dec = tensors.get("W_dec", &[d_sae, d_in])?;
    Ok(Dictionary {
        hook: hook(folder)?,
        d_in,
        d_sae,
        input: Input::None,
        w_enc: matrix(tensors.get_transposed("encoder.weight", [d_sae, d_in])?, [d_in, d_sae], device),
        b_enc: vector(tensors.get("encoder.bias", &[d_sae])?, device),
        subtracts_decoder_bias: true,
        activation,
        decoder_norms: row_norms(&w_dec, d_in),
        w_dec: matrix(w_dec, [d_sae, d_in], device),
        b_dec: vector(tensors.get("b_dec", &[d_in])?, device),
        output_scale: 1.0,
        provenance: Provenance {
            format: Format::Sparsify,
            source: folder.display().to_string(),
            revision: None,
            hash: weights.hash(&[&json]),
            neuronpedia: None,
            expected: Expected { l0: Some(config.k as f32), explained_variance: None },
        },
    })
}

fn activation(path: &Path, config: &Config, d_sae: usize) -> Result<Activation, DictionaryError> {
    let refuse = |key, value: &str, supported| {
        Err(DictionaryError::Unsupported { path: path.to_owned(), key, value: value.to_owned(), supported })
    };
    let k = config.k;
    let out_of_range =
        |rule| Err(DictionaryError::OutOfRange { path: path.to_owned(), key: "k", value: k as f64, rule });
    match config.activation.as_str() {
        _ if config.transcode => refuse("transcode", "true", "false (no transcoders yet)"),
        _ if config.skip_connection => refuse("skip_connection", "true", "false"),
        _ if config.signed => refuse("signed", "true", "false"),
        _ if !(1..=d_sae).contains(&k) => out_of_range("it lies between 1 and the number of features"),
        "topk" => Ok(Activation::TopK { k, rank_by: None }),
        "groupmax" if d_sae.is_multiple_of(k) => Ok(Activation::GroupMax { k }),
        "groupmax" => out_of_range("groupmax needs a divisor of the number of features"),
        other => refuse("activation", other, "topk, groupmax"),
    }
}
