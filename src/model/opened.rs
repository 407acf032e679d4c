//! A model with its tokenizer.

use burn::tensor::Device;

use super::open::{Origin, open_config, open_llama, open_on_gpu};
use super::{Config, Dtype, Identity, Llama, ModelError, OnGpu};
use crate::error::Error;
use crate::tokens::Tokenizer;

/// The identity hash of the default model: the SHA-256 of its file.
pub const DEFAULT_MODEL_HASH: &str = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53";

/// A model that is ready to read and write text.
#[derive(Debug)]
pub struct Opened<M = Llama> {
    /// The model.
    pub llama: M,
    /// Its tokenizer.
    pub tokenizer: Tokenizer,
    /// What it is.
    pub identity: Identity,
}

/// Opens `source` as [`open_llama`] does, with its tokenizer.
///
/// # Errors
/// As [`open_llama`], and when the tokenizer cannot be read or knows more tokens than the model.
pub fn open(source: &str, device: &Device, dtype: Dtype) -> Result<Opened, Error> {
    let (llama, identity, origin) = open_llama(source, device, dtype)?;
    with_tokenizer(llama, identity, origin)
}

/// The same on a GPU, as [`open_on_gpu`] opens it.
///
/// # Errors
/// As [`open_on_gpu`], and those of [`open`].
pub fn open_fused(
    source: &str,
    number: usize,
    dtype: Dtype,
    loaded: &dyn Fn(u64, u64),
) -> Result<Opened<OnGpu>, Error> {
    let (llama, identity, origin) = open_on_gpu(source, number, dtype, loaded)?;
    with_tokenizer(llama, identity, origin)
}

/// The shape and the tokenizer of a model, without its weights; see [`open_config`].
///
/// # Errors
/// Those of [`open`].
pub fn open_shape(source: &str, hashed: bool) -> Result<Opened<Config>, Error> {
    let (config, identity, origin) = open_config(source, hashed)?;
    with_tokenizer(config, identity, origin)
}

/// A model that has a shape.
pub trait Model {
    /// The shape.
    fn config(&self) -> &Config;
}

impl Model for Llama {
    fn config(&self) -> &Config {
        Self::config(self)
    }
}

impl Model for Config {
    fn config(&self) -> &Config {
        self
    }
}

impl Model for OnGpu {
    fn config(&self) -> &Config {
        Self::config(self)
    }
}

fn with_tokenizer<M: Model>(llama: M, identity: Identity, origin: Origin) -> Result<Opened<M>, Error> {
    let tokenizer = match origin {
        Origin::Folder(folder) => Tokenizer::from_folder(&folder),
        Origin::Gguf(metadata) => Tokenizer::from_gguf(&metadata),
    };
    let tokenizer = tokenizer.map_err(crate::game::GameError::from)?;
    let (tokens, vocab) = (tokenizer.vocabulary(), llama.config().vocab);
    if tokens > vocab {
        return Err(ModelError::Vocabulary { tokens, vocab }.into());
    }
    Ok(Opened { llama, tokenizer, identity })
}
