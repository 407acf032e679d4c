//! `cfg.json` of SAELens, nested (version 6) or flat (before it).

use std::path::Path;

use serde_json::{Map, Value};

use super::canonical::Input;
use super::error::DictionaryError;
use crate::model::Hook;

/// What is read of `cfg.json`.
pub(crate) struct Config {
    pub(crate) hook: Hook,
    pub(crate) d_in: usize,
    pub(crate) d_sae: usize,
    pub(crate) architecture: Architecture,
    pub(crate) input: Input,
    pub(crate) subtracts_decoder_bias: bool,
    pub(crate) neuronpedia: Option<String>,
}

/// The architectures that are read.
#[derive(Clone, Copy)]
pub(crate) enum Architecture {
    Standard,
    JumpRelu,
    TopK { k: usize, ranks_by_contribution: bool },
    Gated,
}

impl Architecture {
    /// How many features fire, where that is fixed.
    pub(crate) fn k(self) -> Option<usize> {
        if let Self::TopK { k, .. } = self { Some(k) } else { None }
    }
}

impl Config {
    /// Reads the file's bytes; `path` is for errors.
    pub(crate) fn parse(path: &Path, json: &[u8]) -> Result<Self, DictionaryError> {
        let keys: Map<String, Value> = serde_json::from_slice(json)
            .map_err(|source| DictionaryError::Json { path: path.to_owned(), source })?;
        let keys = Keys { path, keys };
        keys.refuse_unsupported()?;
        let name: String = keys.require(&["hook_name", "hook_point"])?;
        Ok(Self {
            hook: name.parse().map_err(|source| DictionaryError::Hook { path: path.to_owned(), source })?,
            d_in: keys.require(&["d_in"])?,
            d_sae: keys.require(&["d_sae"])?,
            architecture: keys.architecture()?,
            input: keys.input()?,
            subtracts_decoder_bias: keys.optional(&["apply_b_dec_to_input"])?.unwrap_or(true),
            neuronpedia: keys.optional(&["neuronpedia_id"])?,
        })
    }
}

/// The keys of the file. Version 6 keeps some in `metadata` that were at the top before.
struct Keys<'a> {
    path: &'a Path,
    keys: Map<String, Value>,
}

impl Keys<'_> {
    /// The value of the first of `names` that is there and not null.
    fn value(&self, names: &[&str]) -> Option<&Value> {
        let places = [Some(&self.keys), self.keys.get("metadata").and_then(Value::as_object)];
        let mut values =
            places.into_iter().flatten().flat_map(|map| names.iter().filter_map(|name| map.get(*name)));
        values.find(|value| !value.is_null())
    }

    fn optional<T: serde::de::DeserializeOwned>(&self, names: &[&str]) -> Result<Option<T>, DictionaryError> {
        let parse = |value: &Value| {
            serde_json::from_value(value.clone()).map_err(|source| self.malformed(names, &source.to_string()))
        };
        self.value(names).map(parse).transpose()
    }

    fn require<T: serde::de::DeserializeOwned>(&self, names: &[&str]) -> Result<T, DictionaryError> {
        self.optional(names)?.ok_or_else(|| self.malformed(names, "missing"))
    }

    fn architecture(&self) -> Result<Architecture, DictionaryError> {
        let architecture: String = self.optional(&["architecture"])?.unwrap_or_else(|| "standard".to_owned());
        let function: String =
            self.optional(&["activation_fn", "activation_fn_str"])?.unwrap_or_else(|| "relu".to_owned());
        match (architecture.as_str(), function.as_str()) {
            ("topk", _) | ("standard", "topk") => Ok(Architecture::TopK {
                k: self.k()?,
                ranks_by_contribution: self.optional(&["rescale_acts_by_decoder_norm"])?.unwrap_or(false),
            }),
            ("standard", "relu") => Ok(Architecture::Standard),
            ("jumprelu", _) => Ok(Architecture::JumpRelu),
            ("gated", _) => Ok(Architecture::Gated),
            ("standard", _) => Err(self.unsupported("activation_fn", function, "relu, topk")),
            _ => Err(self.unsupported("architecture", architecture, "standard, jumprelu, topk, gated")),
        }
    }

    /// `k`, which was in `activation_fn_kwargs` before version 6.
    fn k(&self) -> Result<usize, DictionaryError> {
        let nested = self.value(&["activation_fn_kwargs"]).and_then(|kwargs| kwargs.get("k")?.as_u64());
        let (k, d_sae) = match nested {
            Some(k) => (k as usize, self.require::<usize>(&["d_sae"])?),
            None => (self.require(&["k"])?, self.require(&["d_sae"])?),
        };
        if (1..=d_sae).contains(&k) {
            return Ok(k);
        }
        Err(DictionaryError::OutOfRange {
            path: self.path.to_owned(),
            key: "k",
            value: k as f64,
            rule: "it lies between 1 and d_sae",
        })
    }

    fn input(&self) -> Result<Input, DictionaryError> {
        const SUPPORTED: &str = "none, constant_norm_rescale, layer_norm, and expected_average_only_in where \
                                 norm_scaling_factor is given";
        let value = match self.value(&["normalize_activations"]) {
            None | Some(Value::Bool(false)) => "none",
            Some(Value::Bool(true)) => "expected_average_only_in",
            Some(value) => value.as_str().unwrap_or_default(),
        };
        match (value, self.optional::<f32>(&["norm_scaling_factor"])?) {
            ("none", _) => Ok(Input::None),
            ("constant_norm_rescale", _) => Ok(Input::ConstantNorm),
            ("layer_norm", _) => Ok(Input::LayerNorm),
            ("expected_average_only_in", Some(factor)) if factor > 0.0 => Ok(Input::Scale(factor)),
            _ => Err(self.unsupported("normalize_activations", value.to_owned(), SUPPORTED)),
        }
    }

    fn refuse_unsupported(&self) -> Result<(), DictionaryError> {
        if self.optional::<bool>(&["finetuning_scaling_factor"])? == Some(true) {
            return Err(self.unsupported("finetuning_scaling_factor", "true".to_owned(), "false"));
        }
        if let Some(head) = self.value(&["hook_head_index", "hook_point_head_index"]) {
            return Err(self.unsupported("hook_head_index", head.to_string(), "null"));
        }
        match self.optional::<String>(&["reshape_activations"])? {
            Some(value) if value != "none" => Err(self.unsupported("reshape_activations", value, "none")),
            _ => Ok(()),
        }
    }

    fn unsupported(&self, key: &'static str, value: String, supported: &'static str) -> DictionaryError {
        DictionaryError::Unsupported { path: self.path.to_owned(), key, value, supported }
    }

    fn malformed(&self, names: &[&str], what: &str) -> DictionaryError {
        let source = serde::de::Error::custom(format_args!("`{}`: {what}", names[0]));
        DictionaryError::Json { path: self.path.to_owned(), source }
    }
}
