//! Opening a model: from a folder, a Hugging Face id or a GGUF file to a Llama on a device.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use burn::tensor::Device;
use candle_core::quantized::gguf_file::Value;

use super::config::Config;
use super::cpu::is_cpu;
use super::dtype::Dtype;
use super::error::ModelError;
use super::gguf::Gguf;
use super::identity::{Identity, hash_bytes, hash_files};
use super::kernels::Kernels;
use super::linear::Linear;
use super::llama::{Block, Llama};
use super::mlp::Mlp;
use super::names::{Name, Part};
use super::norm::RmsNorm;
use super::on_gpu::OnGpu;
use super::safetensors::{INDEX, SINGLE, Shards, files_of, map};
use super::source::{Located, locate};
use super::weights::{Loader, Weights};

/// Where a model's tokenizer is found.
#[derive(Debug)]
pub enum Origin {
    /// In the model's folder; from the hub, the tokenizer's files are in it too.
    Folder(PathBuf),
    /// In the metadata of a GGUF file.
    Gguf(HashMap<String, Value>),
}

/// The files of a tokenizer, of which a repository has some.
const TOKENIZER_FILES: [&str; 4] =
    ["tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "generation_config.json"];

/// Opens `source`, a folder, a Hugging Face id with or without `@revision`, or a `.gguf` file, on `device`.
/// Weights are converted to `dtype` where the file has another.
///
/// # Errors
/// When `source` cannot be found or fetched, or is not a whole and plain Llama. On the CPU `dtype` must be f32:
/// its kernels would convert half floats again at every call.
pub fn open_llama(
    source: &str,
    device: &Device,
    dtype: Dtype,
) -> Result<(Llama, Identity, Origin), ModelError> {
    if is_cpu(device) && dtype != Dtype::F32 {
        return Err(ModelError::CpuDtype { dtype });
    }
    open_with(source, |weights, config| build(weights, config, device, dtype))
}

/// The same on the GPU with the number `number`, for its fused forward pass; `dtype` is bf16 or f16. `loaded` is told
/// how many bytes are on the device, and how many will be.
///
/// # Errors
/// As [`open_llama`]; if the GPU refuses, or the kernels do not run a model of this shape.
pub fn open_on_gpu(
    source: &str,
    number: usize,
    dtype: Dtype,
    loaded: &dyn Fn(u64, u64),
) -> Result<(OnGpu, Identity, Origin), ModelError> {
    open_with(source, |weights, config| OnGpu::build(weights, config, (number, dtype), loaded))
}

/// The shape of a model without its weights; without its hash too, unless that is asked for.
///
/// # Errors
/// As [`open_llama`].
pub fn open_config(source: &str, hashed: bool) -> Result<(Config, Identity, Origin), ModelError> {
    let path = Path::new(source);
    let build = |_: &Weights, config| Ok(config);
    if path.is_file() { open_gguf(path, hashed, build) } else { open_folder(source, hashed, build) }
}

/// Finds the files of a model, and lets `build` make it of them.
fn open_with<M>(
    source: &str,
    build: impl FnOnce(&Weights, Config) -> Result<M, ModelError>,
) -> Result<(M, Identity, Origin), ModelError> {
    let path = Path::new(source);
    if path.is_file() { open_gguf(path, true, build) } else { open_folder(source, true, build) }
}

fn open_gguf<M>(
    path: &Path,
    hashed: bool,
    build: impl FnOnce(&Weights, Config) -> Result<M, ModelError>,
) -> Result<(M, Identity, Origin), ModelError> {
    let gguf = Gguf::open(path)?;
    let config = gguf.config().clone();
    let weights = Weights::Gguf(Box::new(gguf));
    let (llama, hash) = side_by_side(
        || build(&weights, config),
        || if hashed { Ok(hash_bytes(&map(path)?)) } else { Ok(String::new()) },
    )?;
    let Weights::Gguf(gguf) = weights else { unreachable!("made of a GGUF file above") };
    let identity = Identity { source: path.display().to_string(), revision: None, hash };
    Ok((llama, identity, Origin::Gguf(gguf.into_metadata())))
}

fn open_folder<M>(
    source: &str,
    hashed: bool,
    build: impl FnOnce(&Weights, Config) -> Result<M, ModelError>,
) -> Result<(M, Identity, Origin), ModelError> {
    let located = locate(source)?;
    let config_file = located.file("config.json")?;
    let config = Config::read(&config_file)?;
    let (index, names) = weight_files(&located)?;
    let files: Vec<PathBuf> = names.iter().map(|name| located.file(name)).collect::<Result<_, _>>()?;
    for name in TOKENIZER_FILES {
        located.optional_file(name)?;
    }
    let weights = Weights::Folder(Shards::open(&located.folder, &files)?);
    let mut read: Vec<(String, PathBuf)> = names.into_iter().zip(files).collect();
    read.push(("config.json".into(), config_file));
    read.extend(index.map(|path| (INDEX.to_owned(), path)));
    let (llama, hash) = side_by_side(
        || build(&weights, config),
        || if hashed { hash_files(read) } else { Ok(String::new()) },
    )?;
    let identity = Identity { source: source.to_owned(), revision: located.revision, hash };
    Ok((llama, identity, Origin::Folder(located.folder)))
}

/// Does both at the same time: to hash a large model takes as long as to load it.
fn side_by_side<A, B: Send>(
    one: impl FnOnce() -> Result<A, ModelError>,
    other: impl FnOnce() -> Result<B, ModelError> + Send,
) -> Result<(A, B), ModelError> {
    std::thread::scope(|scope| {
        let other = scope.spawn(other);
        let one = one();
        let other = other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        Ok((one?, other?))
    })
}

/// The index, where there is one, and the names of the weight files.
fn weight_files(located: &Located) -> Result<(Option<PathBuf>, Vec<String>), ModelError> {
    // A folder with both is read as transformers reads it: the one file wins.
    if !located.folder.join(SINGLE).is_file()
        && let Some(index) = located.optional_file(INDEX)?
    {
        let names = files_of(&index)?;
        return Ok((Some(index), names));
    }
    Ok((None, vec![SINGLE.to_owned()]))
}

/// Puts the weights of a model with the shape `config` on `device`.
fn build(weights: &Weights, config: Config, device: &Device, dtype: Dtype) -> Result<Llama, ModelError> {
    weights.refuse_extras(config.n_layers)?;
    let loader = Loader { weights, device, dtype };
    let embed = loader.tensor(Name::Embed, [config.vocab, config.d_model])?;
    let unembed = if config.tied {
        Linear::Plain(Box::new(embed.clone().transpose()))
    } else {
        loader.linear([(Name::Unembed, config.vocab)], config.d_model)?
    };
    let norm = |name| Ok(RmsNorm::new(loader.tensor(name, [config.d_model])?, config.rms_eps));
    let blocks = (0..config.n_layers).map(|layer| block(&loader, &config, layer, &norm));
    Ok(Llama {
        blocks: blocks.collect::<Result<_, _>>()?,
        norm: norm(Name::Norm)?,
        embed,
        unembed,
        frequencies: config.rope.frequencies(config.head_dim),
        kernels: Kernels::for_device(device, dtype.burn()),
        device: device.clone(),
        config,
    })
}

fn block(
    loader: &Loader<'_>,
    config: &Config,
    layer: usize,
    norm: &impl Fn(Name) -> Result<RmsNorm, ModelError>,
) -> Result<Block, ModelError> {
    let name = |part| Name::Block(layer, part);
    let (queries, keys) = (config.n_heads * config.head_dim, config.n_kv_heads * config.head_dim);
    let qkv = [(name(Part::Query), queries), (name(Part::Key), keys), (name(Part::Value), keys)];
    let gate_up = [(name(Part::Gate), config.d_mlp), (name(Part::Up), config.d_mlp)];
    Ok(Block {
        ln1: norm(name(Part::Ln1))?,
        qkv: loader.linear(qkv, config.d_model)?,
        output: loader.linear([(name(Part::Output), config.d_model)], queries)?,
        ln2: norm(name(Part::Ln2))?,
        mlp: Mlp {
            gate_up: loader.linear(gate_up, config.d_model)?,
            down: loader.linear([(name(Part::Down), config.d_model)], config.d_mlp)?,
        },
    })
}
