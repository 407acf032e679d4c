//! GGUF files of the llama architecture, dequantized tensor by tensor.

use std::collections::HashMap;
use std::io::Cursor;
use std::path::{Path, PathBuf};

use candle_core::quantized::gguf_file::{Content, Value};
use memmap2::Mmap;

use super::config::Config;
use super::error::ModelError;
use super::names::{Name, Part};
use super::rope::{Rope, Scaling};
use super::safetensors::map;
use super::weights::Numbers;

/// A GGUF file: its header, and the file mapped into memory.
pub(crate) struct Gguf {
    path: PathBuf,
    map: Mmap,
    content: Content,
    config: Config,
}

/// The name of the per-pair frequency divisors that stand for Llama 3.1's rope scaling.
const ROPE_DIVISORS: &str = "rope_freqs.weight";

impl Gguf {
    /// Maps the file and reads its header.
    pub(crate) fn open(path: &Path) -> Result<Self, ModelError> {
        let map = map(path)?;
        let content = Content::read(&mut Cursor::new(&map))
            .map_err(|error| ModelError::Gguf { path: path.to_owned(), source: Box::new(bare(error)) })?;
        let header = Header { path, metadata: &content.metadata };
        let vocab = content
            .tensor_infos
            .get(&Name::Embed.gguf())
            .and_then(|info| info.shape.dims().first().copied())
            .ok_or_else(|| ModelError::MissingTensor { path: path.to_owned(), name: Name::Embed.gguf() })?;
        let mut config = header.config(vocab)?;
        config.tied = !content.tensor_infos.contains_key(&Name::Unembed.gguf());
        let mut gguf = Self { path: path.to_owned(), map, content, config };
        if gguf.shape(ROPE_DIVISORS).is_some() {
            gguf.config.rope.scaling = Scaling::Divisors(gguf.divisors()?);
        }
        Ok(gguf)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The shape of the model.
    pub(crate) const fn config(&self) -> &Config {
        &self.config
    }

    /// The metadata; the tokenizer is made of it.
    pub(crate) fn into_metadata(self) -> HashMap<String, Value> {
        self.content.metadata
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.content.tensor_infos.keys().map(String::as_str)
    }

    pub(crate) fn shape(&self, name: &str) -> Option<&[usize]> {
        self.content.tensor_infos.get(name).map(|info| info.shape.dims())
    }

    /// A tensor dequantized, with the rows of queries and keys in Hugging Face's order.
    pub(crate) fn numbers(&self, name: Name) -> Result<Numbers<'static>, ModelError> {
        let floats = self.dequantized(&name.gguf())?;
        Ok(Numbers::Floats(match name {
            Name::Block(_, Part::Query) => half_split(&floats, self.config.n_heads, self.config.head_dim),
            Name::Block(_, Part::Key) => half_split(&floats, self.config.n_kv_heads, self.config.head_dim),
            _ => floats,
        }))
    }

    fn divisors(&self) -> Result<Vec<f32>, ModelError> {
        let divisors = self.dequantized(ROPE_DIVISORS)?;
        let expected = self.config.head_dim / 2;
        if divisors.len() == expected {
            return Ok(divisors);
        }
        Err(ModelError::WrongShape {
            path: self.path.clone(),
            name: ROPE_DIVISORS.into(),
            expected: vec![expected],
            found: vec![divisors.len()],
        })
    }

    fn dequantized(&self, name: &str) -> Result<Vec<f32>, ModelError> {
        let device = candle_core::Device::Cpu;
        self.content
            .tensor(&mut Cursor::new(&self.map), name, &device)
            .and_then(|tensor| tensor.dequantize(&device)?.flatten_all()?.to_vec1())
            .map_err(|error| ModelError::GgufTensor {
                path: self.path.clone(),
                name: name.to_owned(),
                source: Box::new(bare(error)),
            })
    }
}

/// The error without the backtrace that candle prints with it.
fn bare(error: candle_core::Error) -> candle_core::Error {
    match error {
        candle_core::Error::WithBacktrace { inner, .. } => bare(*inner),
        error => error,
    }
}

/// Undoes llama.cpp's permutation of the rows of a head: its files hold the two numbers of a rotated pair
/// side by side, where Hugging Face has them half a head apart.
fn half_split(rows: &[f32], heads: usize, head_dim: usize) -> Vec<f32> {
    let width = rows.len() / (heads * head_dim);
    let mut ordered = Vec::with_capacity(rows.len());
    for head in 0..heads {
        for half in 0..2 {
            for pair in 0..head_dim / 2 {
                let row = head * head_dim + 2 * pair + half;
                ordered.extend_from_slice(&rows[row * width..(row + 1) * width]);
            }
        }
    }
    ordered
}

/// The metadata of a file.
struct Header<'a> {
    path: &'a Path,
    metadata: &'a HashMap<String, Value>,
}

impl Header<'_> {
    fn config(&self, vocab: usize) -> Result<Config, ModelError> {
        let architecture = match self.metadata.get("general.architecture") {
            Some(Value::String(name)) => name.as_str(),
            _ => return Err(self.missing("general.architecture")),
        };
        if architecture != "llama" {
            return Err(ModelError::NotLlama { path: self.path.to_owned(), found: architecture.to_owned() });
        }
        self.refuse_other_scaling()?;
        let n_heads = self.size("llama.attention.head_count")?;
        let d_model = self.size("llama.embedding_length")?;
        let per_head = d_model.checked_div(n_heads).unwrap_or(0);
        let config = Config {
            d_model,
            n_layers: self.size("llama.block_count")?,
            n_heads,
            n_kv_heads: self.optional_size("llama.attention.head_count_kv")?.unwrap_or(n_heads),
            head_dim: self.optional_size("llama.attention.key_length")?.unwrap_or(per_head),
            d_mlp: self.size("llama.feed_forward_length")?,
            vocab,
            context: self.size("llama.context_length")?,
            rms_eps: self
                .float("llama.attention.layer_norm_rms_epsilon")?
                .ok_or_else(|| self.missing("llama.attention.layer_norm_rms_epsilon"))?,
            rope: Rope {
                // llama.cpp's default.
                theta: self.float("llama.rope.freq_base")?.unwrap_or(10_000.0),
                scaling: Scaling::None,
            },
            tied: true,
            bos: self.id("tokenizer.ggml.bos_token_id")?,
            eos: self.id("tokenizer.ggml.eos_token_id")?.into_iter().collect(),
        };
        config.check(self.path)?;
        match self.optional_size("llama.rope.dimension_count")? {
            Some(turned) if turned != config.head_dim => {
                Err(self.bad("llama.rope.dimension_count", &turned.to_string(), "the width of a head"))
            }
            _ => Ok(config),
        }
    }

    fn refuse_other_scaling(&self) -> Result<(), ModelError> {
        match self.metadata.get("llama.rope.scaling.type") {
            None => Ok(()),
            Some(Value::String(kind)) if kind == "none" => Ok(()),
            Some(other) => {
                Err(self.bad("llama.rope.scaling.type", &format!("{other:?}"), "absent or `none`"))
            }
        }
    }

    fn size(&self, key: &str) -> Result<usize, ModelError> {
        self.optional_size(key)?.ok_or_else(|| self.missing(key))
    }

    fn optional_size(&self, key: &str) -> Result<Option<usize>, ModelError> {
        let Some(value) = self.metadata.get(key) else { return Ok(None) };
        let size = value.to_u64().ok().and_then(|size| usize::try_from(size).ok());
        size.map_or_else(|| Err(self.bad(key, &format!("{value:?}"), "a size")), |size| Ok(Some(size)))
    }

    fn id(&self, key: &str) -> Result<Option<u32>, ModelError> {
        let Some(value) = self.metadata.get(key) else { return Ok(None) };
        value
            .to_u32()
            .map_or_else(|_| Err(self.bad(key, &format!("{value:?}"), "a token id")), |id| Ok(Some(id)))
    }

    fn float(&self, key: &str) -> Result<Option<f64>, ModelError> {
        let Some(value) = self.metadata.get(key) else { return Ok(None) };
        let float = value.to_f32().map(f64::from).or_else(|_| value.to_f64());
        float.map_or_else(|_| Err(self.bad(key, &format!("{value:?}"), "a number")), |float| Ok(Some(float)))
    }

    fn missing(&self, key: &str) -> ModelError {
        ModelError::MissingKey { path: self.path.to_owned(), key: key.to_owned() }
    }

    fn bad(&self, key: &str, found: &str, expected: &'static str) -> ModelError {
        ModelError::BadValue {
            path: self.path.to_owned(),
            key: key.to_owned(),
            found: found.to_owned(),
            expected,
        }
    }
}
