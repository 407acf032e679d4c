//! SAELens: `cfg.json` and `sae_weights.safetensors`.
//!
//! The nested configuration of version 6 and the flat one before it are both read. The formulas are those of
//! `sae_lens/saes/{standard,jumprelu,topk,gated}_sae.py`.

use std::path::Path;

use burn::tensor::Device;

use super::canonical::{Activation, Dictionary, Expected, Input, Provenance};
use super::error::DictionaryError;
use super::format::Format;
use super::saelens_config::{Architecture, Config};
use super::tensors::{Tensors, Weights, bytes, matrix, row_norms, vector};
use crate::model::Hook;

/// The file that says what the dictionary is.
pub(crate) const CONFIG: &str = "cfg.json";
/// The weights.
pub(crate) const WEIGHTS: &str = "sae_weights.safetensors";

/// The place that the dictionary in `folder` reads.
pub(crate) fn hook(folder: &Path) -> Result<Hook, DictionaryError> {
    let path = folder.join(CONFIG);
    Ok(Config::parse(&path, &bytes(&path)?)?.hook)
}

/// Reads the dictionary in `folder`.
pub(crate) fn read(folder: &Path, device: &Device) -> Result<Dictionary, DictionaryError> {
    let path = folder.join(CONFIG);
    let json = bytes(&path)?;
    let config = Config::parse(&path, &json)?;
    let (d_in, d_sae) = (config.d_in, config.d_sae);

    let weights = Weights::read(&folder.join(WEIGHTS))?;
    let tensors = weights.tensors()?;
    let mut w_enc = tensors.get("W_enc", &[d_in, d_sae])?;
    let mut b_enc = match config.architecture {
        Architecture::Gated => vec![0.0; d_sae],
        _ => tensors.get("b_enc", &[d_sae])?,
    };
    let mut w_dec = tensors.get("W_dec", &[d_sae, d_in])?;
    let b_dec = tensors.get("b_dec", &[d_in])?;
    if let Architecture::TopK { ranks_by_contribution: true, .. } = config.architecture {
        fold_decoder_norms(&mut w_enc, &mut b_enc, &mut w_dec, d_in);
    }
    let scale = if let Input::Scale(scale) = config.input { scale } else { 1.0 };
    Ok(Dictionary {
        hook: config.hook,
        d_in,
        d_sae,
        input: config.input,
        subtracts_decoder_bias: config.subtracts_decoder_bias,
        activation: activation(config.architecture, &tensors, d_sae, device)?,
        decoder_norms: row_norms(&w_dec, d_in),
        w_enc: matrix(w_enc, [d_in, d_sae], device),
        b_enc: vector(b_enc, device),
        w_dec: matrix(w_dec, [d_sae, d_in], device),
        b_dec: vector(b_dec, device),
        output_scale: 1.0 / scale,
        provenance: Provenance {
            format: Format::SaeLens,
            source: folder.display().to_string(),
            revision: None,
            hash: weights.hash(&[&json]),
            neuronpedia: config.neuronpedia,
            expected: Expected { l0: config.architecture.k().map(|k| k as f32), explained_variance: None },
        },
    })
}

fn activation(
    architecture: Architecture,
    tensors: &Tensors<'_>,
    d_sae: usize,
    device: &Device,
) -> Result<Activation, DictionaryError> {
    let get = |name| Ok::<_, DictionaryError>(vector(tensors.get(name, &[d_sae])?, device));
    Ok(match architecture {
        Architecture::Standard => Activation::Relu,
        Architecture::JumpRelu => Activation::JumpRelu { threshold: get("threshold")? },
        Architecture::TopK { k, .. } => Activation::TopK { k, rank_by: None },
        Architecture::Gated => {
            Activation::Gated { b_gate: get("b_gate")?, scale: get("r_mag")?.exp(), b_mag: get("b_mag")? }
        }
    })
}

/// Brings the decoder's rows to unit norm and moves their norms into the encoder, as SAELens's own
/// `fold_W_dec_norm` does: where `rescale_acts_by_decoder_norm` is set, the activation that SAELens reports is
/// already multiplied by the norm. A row of zeros stays one.
fn fold_decoder_norms(w_enc: &mut [f32], b_enc: &mut [f32], w_dec: &mut [f32], d_in: usize) {
    let norms = row_norms(w_dec, d_in);
    for row in w_enc.chunks_exact_mut(norms.len()) {
        row.iter_mut().zip(&norms).for_each(|(weight, norm)| *weight *= norm);
    }
    b_enc.iter_mut().zip(&norms).for_each(|(bias, norm)| *bias *= norm);
    for (row, norm) in w_dec.chunks_exact_mut(d_in).zip(&norms).filter(|(_, norm)| **norm > 0.0) {
        for weight in row {
            *weight /= norm;
        }
    }
}
