//! The one form that every dictionary is brought into.

use burn::tensor::{Device, Tensor};

use super::{error::DictionaryError, format::Format};
use crate::model::{Hook, Site};

/// A sparse autoencoder at one place of the model.
///
/// With `x` a row of the model's activations: `a = (input(x) [− b_dec]) · w_enc + b_enc`, `f = activation(a)`
/// and `x̂ = (f · w_dec + b_dec) × output_scale`, after which a norm that was taken from the row itself is
/// put back. All weights are f32.
#[derive(Clone, Debug)]
pub struct Dictionary {
    /// Where it reads, and what it reconstructs.
    pub hook: Hook,
    /// Width of what it reads.
    pub d_in: usize,
    /// Number of features.
    pub d_sae: usize,
    /// What is done to a row before it is encoded.
    pub input: Input,
    /// Encoder: `[d_in, d_sae]`.
    pub w_enc: Tensor<2>,
    /// Encoder bias: `[d_sae]`.
    pub b_enc: Tensor<1>,
    /// Whether the decoder bias is taken from the (scaled) row before the encoder.
    pub subtracts_decoder_bias: bool,
    /// The nonlinearity.
    pub activation: Activation,
    /// Decoder: `[d_sae, d_in]`.
    pub w_dec: Tensor<2>,
    /// Decoder bias: `[d_in]`.
    pub b_dec: Tensor<1>,
    /// Factor that brings the decoder's output into the model's units.
    pub output_scale: f32,
    /// L2 norm of every row of `w_dec`. A feature adds a vector of length
    /// `activation * decoder_norm * output_scale` to the reconstruction.
    pub decoder_norms: Vec<f32>,
    /// Where it came from.
    pub provenance: Provenance,
}

/// What is done to a row before it is encoded.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Input {
    /// Nothing.
    None,
    /// One factor for all rows.
    Scale(f32),
    /// Each row is brought to the norm `sqrt(d_in)`; put back after decoding.
    ConstantNorm,
    /// Each row is centered and divided by its standard deviation; put back after decoding.
    LayerNorm,
}

/// The nonlinearity of the encoder, in activation units.
#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "there is one of it in a dictionary")]
pub enum Activation {
    /// `max(a, 0)`.
    Relu,
    /// `a` where `a > threshold` (strictly) and `a > 0`, else 0.
    JumpRelu {
        /// One threshold a feature: `[d_sae]`.
        threshold: Tensor<1>,
    },
    /// The `k` largest of a row that are positive.
    TopK {
        /// How many.
        k: usize,
        /// What `a` is multiplied by to rank it, where ranks are not by `a` itself: `[d_sae]`.
        rank_by: Option<Tensor<1>>,
    },
    /// The largest of each of `k` equal, consecutive groups of features, where positive.
    GroupMax {
        /// How many groups.
        k: usize,
    },
    /// `max(a * scale + b_mag, 0)` where `a + b_gate > 0`, else 0.
    Gated {
        /// `[d_sae]`.
        b_gate: Tensor<1>,
        /// `[d_sae]`; the exponential of what SAELens stores as `r_mag`.
        scale: Tensor<1>,
        /// `[d_sae]`.
        b_mag: Tensor<1>,
    },
}

/// Where a dictionary came from.
#[derive(Clone, Debug, PartialEq)]
pub struct Provenance {
    /// The layout of its files.
    pub format: Format,
    /// The folder or Hugging Face id that it was asked for by.
    pub source: String,
    /// The commit, for a Hugging Face id.
    pub revision: Option<String>,
    /// SHA-256 over its configuration and weights, in hexadecimal.
    pub hash: String,
    /// Its Neuronpedia id (`llama3.1-8b/8-llamascope-res-32k`), where one is known.
    pub neuronpedia: Option<String>,
    /// What it says of itself.
    pub expected: Expected,
}

/// What a dictionary's own files say it does on the text it was measured on.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Expected {
    /// Mean number of active features.
    pub l0: Option<f32>,
    /// Share of the variance that it reconstructs.
    pub explained_variance: Option<f32>,
}

impl Activation {
    /// Its name, as the lake stores it.
    pub fn name(&self) -> String {
        match self {
            Self::Relu => "relu".to_owned(),
            Self::JumpRelu { .. } => "jumprelu".to_owned(),
            Self::TopK { k, .. } => format!("topk:{k}"),
            Self::GroupMax { k } => format!("groupmax:{k}"),
            Self::Gated { .. } => "gated".to_owned(),
        }
    }
}

impl Dictionary {
    /// The factor that all rows are multiplied by before the encoder; 1 where there is none, or where each
    /// row has its own.
    pub const fn input_scale(&self) -> f32 {
        match self.input {
            Input::Scale(factor) => factor,
            Input::None | Input::ConstantNorm | Input::LayerNorm => 1.0,
        }
    }

    /// The device that it encodes on.
    pub fn device(&self) -> Device {
        self.w_enc.device()
    }

    /// Refuses a dictionary that a model of this width and depth has no place for.
    pub fn check_fits(&self, d_model: usize, n_layers: usize) -> Result<(), DictionaryError> {
        let (hook, d_in, origin) = (self.hook, self.d_in, || self.provenance.source.clone());
        if hook.layer >= n_layers {
            return Err(DictionaryError::NoSuchLayer { origin: origin(), hook, n_layers });
        }
        if d_in != d_model && !matches!(hook.site, Site::Value | Site::Z) {
            return Err(DictionaryError::WrongWidth { origin: origin(), hook, d_in, d_model });
        }
        Ok(())
    }
}
