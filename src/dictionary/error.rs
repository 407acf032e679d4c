//! What can go wrong with a dictionary.

use std::path::PathBuf;

use super::gate::Implausible;
use crate::model::{Hook, UnknownHook};

/// Why a dictionary could not be read, trained or trusted.
#[derive(Debug, thiserror::Error)]
pub enum DictionaryError {
    /// The fused kernels of a GPU do not know something about it.
    #[error("{origin}: the kernels of the GPU do not know {what}")]
    NotFused {
        /// Where it came from.
        origin: String,
        /// What.
        what: &'static str,
    },
    /// The GPU refused.
    #[error(transparent)]
    Gpu(#[from] gpu::GpuError),
    /// A file or folder could not be read.
    #[error("{} cannot be read", path.display())]
    Unreadable {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file could not be written.
    #[error("{} cannot be written", path.display())]
    Unwritable {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// No file of any known format lies there.
    #[error(
        "{} holds no dictionary: neither it nor its folders have hyperparams.json (Llama Scope), cfg.json with \
         sae_weights.safetensors (SAELens) or cfg.json with sae.safetensors (sparsify)",
        path.display()
    )]
    UnknownFormat {
        /// The folder that was searched.
        path: PathBuf,
    },
    /// A dictionary's description is there, its weights are not.
    #[error("{} has no weights: looked for {}", folder.display(), names.join(", "))]
    MissingWeights {
        /// The dictionary's folder.
        folder: PathBuf,
        /// The file names that were looked for.
        names: Vec<&'static str>,
    },
    /// A JSON file is malformed, or a key has the wrong type.
    #[error("{} is not the JSON it should be: {source}", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// What is wrong in it.
        source: serde_json::Error,
    },
    /// A weights file is cut short or malformed.
    #[error("{} is not a whole safetensors file: {source}", path.display())]
    Safetensors {
        /// The file.
        path: PathBuf,
        /// What is wrong in it.
        source: safetensors::SafeTensorError,
    },
    /// A tensor is missing.
    #[error("{} has no tensor `{name}`; it has {}", path.display(), found.join(", "))]
    MissingTensor {
        /// The file.
        path: PathBuf,
        /// The tensor's name.
        name: String,
        /// The names that are there.
        found: Vec<String>,
    },
    /// A tensor has another shape than the configuration says.
    #[error("`{name}` in {} has shape {found:?}, where the configuration says {expected:?}", path.display())]
    WrongShape {
        /// The file.
        path: PathBuf,
        /// The tensor's name.
        name: String,
        /// The shape by the configuration.
        expected: Vec<usize>,
        /// The shape in the file.
        found: Vec<usize>,
    },
    /// A tensor's numbers are of a type that is not read.
    #[error("`{name}` in {} is of type {found:?}; BF16, F16, F32 and F64 can be read", path.display())]
    WrongDtype {
        /// The file.
        path: PathBuf,
        /// The tensor's name.
        name: String,
        /// The type in the file.
        found: safetensors::Dtype,
    },
    /// A tensor holds a number that is not finite.
    #[error("`{name}` in {} holds a number that is not finite, at {at}", path.display())]
    NotFinite {
        /// The file.
        path: PathBuf,
        /// The tensor's name.
        name: String,
        /// The flat index of the first such number.
        at: usize,
    },
    /// A setting that is understood but not supported.
    #[error("{} has {key} = {value}, which is not supported; supported: {supported}", path.display())]
    Unsupported {
        /// The configuration file.
        path: PathBuf,
        /// The setting.
        key: &'static str,
        /// Its value in the file.
        value: String,
        /// What can be read.
        supported: &'static str,
    },
    /// A setting is out of range.
    #[error("{} has {key} = {value}, but {rule}", path.display())]
    OutOfRange {
        /// The configuration file.
        path: PathBuf,
        /// The setting.
        key: &'static str,
        /// Its value in the file.
        value: f64,
        /// What it has to be.
        rule: &'static str,
    },
    /// The configuration names a place in the model that is not known.
    #[error("{}: {source}", path.display())]
    Hook {
        /// The configuration file or the folder whose name says the place.
        path: PathBuf,
        /// The name.
        source: UnknownHook,
    },
    /// Two dictionaries for one place.
    #[error("{} and {} both read {hook}", first.display(), second.display())]
    Twice {
        /// The place.
        hook: Hook,
        /// The first folder.
        first: PathBuf,
        /// The second folder.
        second: PathBuf,
    },
    /// The dictionary is for another width.
    #[error(
        "the dictionary from {origin} for {hook} reads vectors of {d_in}, but the model's have {d_model}"
    )]
    WrongWidth {
        /// Where it came from.
        origin: String,
        /// The place that it reads.
        hook: Hook,
        /// Its width.
        d_in: usize,
        /// The model's width.
        d_model: usize,
    },
    /// The dictionary is for a layer that the model lacks.
    #[error("the dictionary from {origin} reads {hook}, but the model has layers 0 to {}", n_layers - 1)]
    NoSuchLayer {
        /// Where it came from.
        origin: String,
        /// The place that it reads.
        hook: Hook,
        /// How many layers the model has.
        n_layers: usize,
    },
    /// What the dictionary's features write or read is not the residual stream.
    #[error("the features of {hook} do not {does} the residual stream")]
    OutsideStream {
        /// The place that it reads.
        hook: Hook,
        /// What they would have to do.
        does: &'static str,
    },
    /// The dictionary has no such feature.
    #[error("the dictionary for {hook} has no feature {feature}: it has {d_sae}, from 0 on")]
    NoSuchFeature {
        /// The place that it reads.
        hook: Hook,
        /// The feature.
        feature: u32,
        /// How many it has.
        d_sae: usize,
    },
    /// What the dictionary does to the model's activations is implausible.
    #[error("the dictionary from {origin} for {hook} is implausible: {why}")]
    Implausible {
        /// Where it came from.
        origin: String,
        /// The place that it reads.
        hook: Hook,
        /// Which number is out of which bound.
        why: Implausible,
    },
    /// There is too little to train on.
    #[error("{rows} positions are too few to {purpose}; at least {needed} are needed")]
    TooFewRows {
        /// How many there are.
        rows: usize,
        /// How many are needed.
        needed: usize,
        /// For what.
        purpose: &'static str,
    },
    /// A setting of the training makes no sense.
    #[error("the training cannot have {setting} = {value}: {rule}")]
    BadSetting {
        /// The setting.
        setting: &'static str,
        /// Its value.
        value: f64,
        /// What it has to be.
        rule: &'static str,
    },
    /// The device failed while it computed or read back.
    #[error("the device failed while it worked with a dictionary: {reason}")]
    Device {
        /// What burn said.
        reason: String,
    },
}

impl DictionaryError {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Safetensors { .. } | Self::MissingWeights { .. } => "download the dictionary's files again",
            Self::WrongWidth { .. } | Self::NoSuchLayer { .. } => {
                "give a dictionary that was trained on this model"
            }
            Self::NotFused { .. } | Self::Gpu(_) => "use --device cpu",
            Self::Twice { .. } => "give one dictionary for each place",
            Self::Implausible { why, .. } => why.usual_cause(),
            Self::TooFewRows { .. } => "give more games or more text",
            Self::UnknownFormat { .. } => {
                "give the folder of one layer, or the folder that holds the layers' folders"
            }
            _ => return None,
        };
        Some(hint.to_owned())
    }

    /// 2: bad input; 3: a file cannot be written; 4: the device failed.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Unwritable { .. } => 3,
            Self::Device { .. } | Self::Gpu(_) => 4,
            _ => 2,
        }
    }
}

impl From<burn::tensor::TensorReadError> for DictionaryError {
    fn from(error: burn::tensor::TensorReadError) -> Self {
        Self::Device { reason: error.to_string() }
    }
}
