//! What can go wrong with a model, as data.

use std::path::PathBuf;

use super::dtype::Dtype;

/// What can go wrong with a model.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// The source is no folder, no file and no Hugging Face id.
    #[error("`{name}` is no folder, no .gguf file and no Hugging Face id")]
    NotFound {
        /// What was asked for.
        name: String,
    },
    /// A file could not be opened or read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A folder lacks a file that a model needs.
    #[error("{} has no {name}", folder.display())]
    MissingFile {
        /// Where it was looked for.
        folder: PathBuf,
        /// The file's name.
        name: String,
    },
    /// A JSON file is not what it should be.
    #[error("{} is malformed: {source}", path.display())]
    MalformedJson {
        /// The file.
        path: PathBuf,
        /// Where and why.
        source: serde_json::Error,
    },
    /// The GPU cannot run the model.
    #[error(transparent)]
    Gpu(#[from] gpu::GpuError),
    /// The fused kernels compute in 16 bits.
    #[error("the kernels of the GPU do not compute in {dtype}: bf16 and f16 only")]
    GpuDtype {
        /// What was asked for.
        dtype: Dtype,
    },
    /// The model is of another architecture.
    #[error("{} holds a model of architecture `{found}`, not `llama`", path.display())]
    NotLlama {
        /// The configuration or the GGUF file.
        path: PathBuf,
        /// The architecture.
        found: String,
    },
    /// The configuration lacks a key.
    #[error("{} has no `{key}`", path.display())]
    MissingKey {
        /// The configuration or the GGUF file.
        path: PathBuf,
        /// The key.
        key: String,
    },
    /// The configuration has a value that cannot be.
    #[error("{}: `{key}` is {found}, but must be {expected}", path.display())]
    BadValue {
        /// The configuration or the GGUF file.
        path: PathBuf,
        /// The key.
        key: String,
        /// Its value.
        found: String,
        /// What it may be.
        expected: &'static str,
    },
    /// An index entry leads out of its folder.
    #[error("{}: the file of `{tensor}` is `{file}`, which is not a name in that folder", index.display())]
    IndexEscapes {
        /// The index.
        index: PathBuf,
        /// The tensor.
        tensor: String,
        /// Where the index says it is.
        file: String,
    },
    /// The header of a safetensors file cannot be read, or the file is cut off.
    #[error("{} is malformed or cut off: {source}", path.display())]
    Safetensors {
        /// The file.
        path: PathBuf,
        /// Why.
        source: safetensors::SafeTensorError,
    },
    /// The header of a GGUF file cannot be read.
    #[error("{} is no GGUF file, or cut off: {source}", path.display())]
    Gguf {
        /// The file.
        path: PathBuf,
        /// Why.
        source: Box<candle_core::Error>,
    },
    /// A tensor of a GGUF file cannot be read.
    #[error("{}: `{name}` is malformed or cut off: {source}", path.display())]
    GgufTensor {
        /// The file.
        path: PathBuf,
        /// The tensor.
        name: String,
        /// Why.
        source: Box<candle_core::Error>,
    },
    /// The weights lack a tensor.
    #[error("{} has no tensor `{name}`", path.display())]
    MissingTensor {
        /// The folder or the GGUF file.
        path: PathBuf,
        /// The tensor.
        name: String,
    },
    /// The weights hold a tensor that a Llama of this configuration has no use for.
    #[error("{} has {count} tensors that a Llama has no use for, the first of them `{name}`", path.display())]
    ExtraTensors {
        /// The folder or the GGUF file.
        path: PathBuf,
        /// The first of them by name.
        name: String,
        /// How many there are.
        count: usize,
    },
    /// A tensor has another shape than the configuration says.
    #[error("{}: `{name}` has shape {found:?}, but the configuration asks for {expected:?}", path.display())]
    WrongShape {
        /// The folder or the GGUF file.
        path: PathBuf,
        /// The tensor.
        name: String,
        /// What the configuration asks for.
        expected: Vec<usize>,
        /// What the file holds.
        found: Vec<usize>,
    },
    /// A tensor holds numbers of a type that no weight has.
    #[error("{}: `{name}` holds {found}, but weights must be F32, BF16 or F16", path.display())]
    WrongDtype {
        /// The folder.
        path: PathBuf,
        /// The tensor.
        name: String,
        /// The type that the file holds.
        found: String,
    },
    /// The CPU computes in f32 only.
    #[error("the CPU computes in f32 only, not in {dtype}")]
    CpuDtype {
        /// What was asked for.
        dtype: Dtype,
    },
    /// The tokenizer knows tokens that the model has no embedding for.
    #[error("the tokenizer has {tokens} tokens and the model {vocab}: they do not belong together")]
    Vocabulary {
        /// Tokens of the tokenizer.
        tokens: usize,
        /// Tokens of the model.
        vocab: usize,
    },
    /// A file is needed that is not in the cache, and the network may not be used.
    #[error("{file} of `{id}` is not in the cache ({}), and HF_HUB_OFFLINE is set", cache.display())]
    Offline {
        /// The Hugging Face id.
        id: String,
        /// The file.
        file: String,
        /// The cache that was searched.
        cache: PathBuf,
    },
    /// The hub does not let the caller read a repository.
    #[error("the hub refuses access to `{id}`: it is gated or private")]
    Gated {
        /// The Hugging Face id.
        id: String,
    },
    /// The hub has no such repository, revision or file.
    #[error("the hub has no {file} in `{id}` at revision `{revision}`")]
    NotOnHub {
        /// The Hugging Face id.
        id: String,
        /// The revision.
        revision: String,
        /// The file, or the whole repository.
        file: String,
    },
    /// The hub could not be asked.
    #[error("cannot fetch `{id}` from the hub: {source}")]
    Hub {
        /// The Hugging Face id.
        id: String,
        /// Why.
        source: Box<hf_hub::api::sync::ApiError>,
    },
}

impl ModelError {
    /// What to do about it, where that is known.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NotFound { .. } => {
                Some("give a folder with config.json, a .gguf file, or an id like `org/name`".into())
            }
            Self::MissingFile { name, .. } => {
                Some(format!("download the whole repository; {name} is part of it"))
            }
            Self::Gpu(gpu::GpuError::Missing(_)) => Some(
                "install the CUDA toolkit and set CUDA_PATH and LD_LIBRARY_PATH, or use --device cpu".into(),
            ),
            Self::Gpu(_) | Self::GpuDtype { .. } => Some("use --device cpu".into()),
            Self::NotLlama { .. } => Some("only models of the llama architecture can be run".into()),
            Self::Safetensors { .. }
            | Self::Gguf { .. }
            | Self::GgufTensor { .. }
            | Self::MissingTensor { .. } => {
                Some("download the file again, and compare its size and SHA-256 with the source's".into())
            }
            Self::ExtraTensors { .. } => Some(
                "the weights and the configuration do not belong together, or it is no plain Llama".into(),
            ),
            Self::CpuDtype { .. } => {
                Some("use --dtype f32 (weights of any type are converted), or --device cuda".into())
            }
            Self::Offline { id, .. } => {
                Some(format!("unset HF_HUB_OFFLINE, or fetch it elsewhere by `hf download {id}`"))
            }
            Self::Gated { id } => Some(format!(
                "accept the license at https://huggingface.co/{id} and set HF_TOKEN to a token of that account"
            )),
            Self::NotOnHub { .. } => Some("check the spelling of id and revision".into()),
            Self::Hub { .. } => Some("check the network, or give a local folder".into()),
            Self::Read { .. }
            | Self::MalformedJson { .. }
            | Self::MissingKey { .. }
            | Self::BadValue { .. }
            | Self::IndexEscapes { .. }
            | Self::WrongShape { .. }
            | Self::WrongDtype { .. }
            | Self::Vocabulary { .. } => None,
        }
    }

    /// The exit code of a command that ends with it: 5 where a download is needed or failed, else 2.
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Gpu(_) => 4,
            Self::Offline { .. } | Self::Gated { .. } | Self::NotOnHub { .. } | Self::Hub { .. } => 5,
            _ => 2,
        }
    }
}
