//! The shape of a Llama, read from `config.json` and checked.

use std::path::Path;

use serde::Deserialize;

use super::error::ModelError;
use super::rope::{Rope, Scaling};

/// Limits far above every model's, so that no product of two sizes overflows and no list is made for a number alone:
/// of blocks, heads and what is in a head, of the width of a stream and the vocabulary, and of positions.
const MOST: usize = 1 << 16;
const WIDEST: usize = 1 << 24;
const LONGEST: usize = 1 << 31;

/// The shape of a Llama.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Width of the residual stream.
    pub d_model: usize,
    /// Number of blocks.
    pub n_layers: usize,
    /// Query heads in a block.
    pub n_heads: usize,
    /// Key and value heads in a block; every one serves `n_heads / n_kv_heads` query heads.
    pub n_kv_heads: usize,
    /// Width of a head.
    pub head_dim: usize,
    /// Width of the MLP.
    pub d_mlp: usize,
    /// Number of token ids.
    pub vocab: usize,
    /// The longest sequence, in tokens, that the model was made for.
    pub context: usize,
    /// What RMSNorm adds to the mean square.
    pub rms_eps: f64,
    /// The rotary position embedding.
    pub rope: Rope,
    /// Whether the unembedding is the embedding.
    pub tied: bool,
    /// The token that starts a text, where the model has one.
    pub bos: Option<u32>,
    /// The tokens that end an answer.
    pub eos: Vec<u32>,
}

/// `config.json` as Hugging Face writes it; of `rope_scaling` both the newer and the older form.
#[derive(Deserialize)]
struct Json {
    hidden_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    num_key_value_heads: Option<usize>,
    head_dim: Option<usize>,
    intermediate_size: usize,
    vocab_size: usize,
    #[serde(default = "default_context")]
    max_position_embeddings: usize,
    #[serde(default = "default_eps")]
    rms_norm_eps: f64,
    rope_theta: Option<f64>,
    rope_scaling: Option<JsonRope>,
    rope_parameters: Option<JsonRope>,
    #[serde(default)]
    tie_word_embeddings: bool,
    #[serde(default)]
    attention_bias: bool,
    #[serde(default)]
    mlp_bias: bool,
    hidden_act: Option<String>,
    bos_token_id: Option<u32>,
    eos_token_id: Option<OneOrMore>,
}

/// transformers' default.
const fn default_context() -> usize {
    2048
}

/// transformers' default.
const fn default_eps() -> f64 {
    1e-6
}

#[derive(Deserialize)]
struct JsonRope {
    #[serde(alias = "type")]
    rope_type: Option<String>,
    rope_theta: Option<f64>,
    factor: Option<f64>,
    low_freq_factor: Option<f64>,
    high_freq_factor: Option<f64>,
    original_max_position_embeddings: Option<usize>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMore {
    One(u32),
    More(Vec<u32>),
}

impl Config {
    /// Reads `config.json`.
    ///
    /// # Errors
    /// When the file cannot be read, is no JSON, lacks a key, is not of a Llama, or asks for what this Llama
    /// does not have (biases, another activation, another rope scaling than llama3).
    pub fn read(path: &Path) -> Result<Self, ModelError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ModelError::Read { path: path.to_owned(), source })?;
        Self::from_json(&text, path)
    }

    /// Parses the text of `config.json`; `path` is for messages.
    fn from_json(text: &str, path: &Path) -> Result<Self, ModelError> {
        let malformed = |source| ModelError::MalformedJson { path: path.to_owned(), source };
        // The architecture first: another one's keys would only confuse.
        let kind: serde_json::Value = serde_json::from_str(text).map_err(malformed)?;
        let found = kind.get("model_type").and_then(serde_json::Value::as_str);
        match found {
            Some("llama") => {}
            Some(other) => {
                return Err(ModelError::NotLlama { path: path.to_owned(), found: other.to_owned() });
            }
            None => return Err(ModelError::MissingKey { path: path.to_owned(), key: "model_type".into() }),
        }
        let json: Json = serde_json::from_value(kind).map_err(malformed)?;
        json.refuse_unknown_parts(path)?;
        let config = Self {
            d_model: json.hidden_size,
            n_layers: json.num_hidden_layers,
            n_heads: json.num_attention_heads,
            n_kv_heads: json.num_key_value_heads.unwrap_or(json.num_attention_heads),
            head_dim: json
                .head_dim
                .unwrap_or(json.hidden_size.checked_div(json.num_attention_heads).unwrap_or(0)),
            d_mlp: json.intermediate_size,
            vocab: json.vocab_size,
            context: json.max_position_embeddings,
            rms_eps: json.rms_norm_eps,
            rope: json.rope(path)?,
            tied: json.tie_word_embeddings,
            bos: json.bos_token_id,
            eos: match json.eos_token_id {
                None => Vec::new(),
                Some(OneOrMore::One(id)) => vec![id],
                Some(OneOrMore::More(ids)) => ids,
            },
        };
        config.check(path)?;
        Ok(config)
    }

    /// Refuses sizes that cannot be.
    pub(crate) fn check(&self, path: &Path) -> Result<(), ModelError> {
        let bad = |key: &str, found: String, expected| {
            Err(ModelError::BadValue { path: path.to_owned(), key: key.to_owned(), found, expected })
        };
        for (key, size, most) in [
            ("hidden_size", self.d_model, WIDEST),
            ("num_hidden_layers", self.n_layers, MOST),
            ("num_attention_heads", self.n_heads, MOST),
            ("num_key_value_heads", self.n_kv_heads, MOST),
            ("intermediate_size", self.d_mlp, WIDEST),
            ("vocab_size", self.vocab, WIDEST),
            ("max_position_embeddings", self.context, LONGEST),
        ] {
            if size == 0 {
                return bad(key, size.to_string(), "at least 1");
            }
            if size > most {
                return bad(key, size.to_string(), "a size that a model can have");
            }
        }
        if !self.n_heads.is_multiple_of(self.n_kv_heads) {
            let found = self.n_kv_heads.to_string();
            return bad("num_key_value_heads", found, "a divisor of num_attention_heads");
        }
        if self.head_dim == 0 || !self.head_dim.is_multiple_of(2) || self.head_dim > MOST {
            return bad("head_dim", self.head_dim.to_string(), "even, at least 2 and at most 65536");
        }
        if !(self.rms_eps.is_finite() && self.rms_eps >= 0.0) {
            return bad("rms_norm_eps", self.rms_eps.to_string(), "finite and not negative");
        }
        if !(self.rope.theta.is_finite() && self.rope.theta > 0.0) {
            return bad("rope_theta", self.rope.theta.to_string(), "finite and positive");
        }
        Ok(())
    }
}

impl Json {
    fn refuse_unknown_parts(&self, path: &Path) -> Result<(), ModelError> {
        let bad = |key: &str, found: &str, expected| {
            Err(ModelError::BadValue {
                path: path.to_owned(),
                key: key.to_owned(),
                found: found.to_owned(),
                expected,
            })
        };
        if self.attention_bias {
            return bad("attention_bias", "true", "false: biases are not supported");
        }
        if self.mlp_bias {
            return bad("mlp_bias", "true", "false: biases are not supported");
        }
        match self.hidden_act.as_deref() {
            None | Some("silu" | "swish") => Ok(()),
            Some(other) => bad("hidden_act", other, "silu"),
        }
    }

    fn rope(&self, path: &Path) -> Result<Rope, ModelError> {
        let parameters = self.rope_parameters.as_ref().or(self.rope_scaling.as_ref());
        let theta = parameters
            .and_then(|rope| rope.rope_theta)
            .or(self.rope_theta)
            // transformers' default.
            .unwrap_or(10_000.0);
        let scaling = parameters.map_or(Ok(Scaling::None), |rope| rope.scaling(path))?;
        Ok(Rope { theta, scaling })
    }
}

impl JsonRope {
    fn scaling(&self, path: &Path) -> Result<Scaling, ModelError> {
        let needed = |key: &str, value: Option<f64>| {
            let key = format!("rope_scaling.{key}");
            match value {
                Some(value) if value.is_finite() && value > 0.0 => Ok(value),
                Some(value) => Err(ModelError::BadValue {
                    path: path.to_owned(),
                    key,
                    found: value.to_string(),
                    expected: "finite and positive",
                }),
                None => Err(ModelError::MissingKey { path: path.to_owned(), key }),
            }
        };
        match self.rope_type.as_deref() {
            None | Some("default") => Ok(Scaling::None),
            Some("llama3") => {
                let low = needed("low_freq_factor", self.low_freq_factor)?;
                let high = needed("high_freq_factor", self.high_freq_factor)?;
                if high <= low {
                    return Err(ModelError::BadValue {
                        path: path.to_owned(),
                        key: "rope_scaling.high_freq_factor".into(),
                        found: high.to_string(),
                        expected: "greater than low_freq_factor",
                    });
                }
                Ok(Scaling::Llama3 {
                    factor: needed("factor", self.factor)?,
                    low,
                    high,
                    original_context: needed(
                        "original_max_position_embeddings",
                        self.original_max_position_embeddings.map(|context| context as f64),
                    )?,
                })
            }
            Some(other) => Err(ModelError::BadValue {
                path: path.to_owned(),
                key: "rope_scaling.rope_type".into(),
                found: other.to_owned(),
                expected: "default or llama3",
            }),
        }
    }
}
