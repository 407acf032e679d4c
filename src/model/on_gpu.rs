//! A Llama whose forward pass is the fused one of an NVIDIA GPU ([`gpu`]). [`Llama`](super::Llama), in tensor
//! operations, judges it.

use std::cell::Cell;

use gpu::{Block, Buffer, Device, GpuError, Kind, Shape};
use half::{bf16, f16};
use rayon::prelude::*;

use super::config::Config;
use super::dtype::Dtype;
use super::error::ModelError;
use super::names::{Name, Part};
use super::weights::{Numbers, Weights};

/// Positions after the context that are known too, for the answers that are weighed after a prompt that fills it.
const AFTER_CONTEXT: usize = 64;

/// A model on a GPU.
pub struct OnGpu {
    /// The GPU.
    pub device: Device,
    /// The weights.
    pub llama: gpu::Llama,
    config: Config,
}

impl OnGpu {
    /// The shape of the model.
    pub const fn config(&self) -> &Config {
        &self.config
    }

    /// A model of weights that are on the device already, such as random ones.
    pub const fn of(device: Device, llama: gpu::Llama, config: Config) -> Self {
        Self { device, llama, config }
    }

    /// Puts the weights of a model with the shape `config` on the GPU with that number. `loaded` is told how many bytes
    /// are there, and how many will be.
    pub(super) fn build(
        weights: &Weights,
        config: Config,
        (number, dtype): (usize, Dtype),
        loaded: &dyn Fn(u64, u64),
    ) -> Result<Self, ModelError> {
        weights.refuse_extras(config.n_layers)?;
        let device = gpu_device(&config, number, dtype)?;
        let all = weight_bytes(&config) as u64;
        let loader = Loader { weights, device: &device, dtype, loaded, done: Cell::new(0), all };
        let blocks = (0..config.n_layers).map(|layer| loader.block(&config, layer));
        let llama = gpu::Llama {
            shape: shape(&config),
            embed: loader.matrix([(Name::Embed, config.vocab)], config.d_model)?,
            blocks: blocks.collect::<Result<_, _>>()?,
            norm: loader.vector(Name::Norm, config.d_model)?,
            unembed: if config.tied {
                loader.matrix([(Name::Embed, config.vocab)], config.d_model)?
            } else {
                loader.matrix([(Name::Unembed, config.vocab)], config.d_model)?
            },
            vocabulary: config.vocab,
            turns: Buffer::of(&device, &turns(&config, dtype))?,
        };
        device.wait()?;
        Ok(Self { device, llama, config })
    }
}

/// The GPU with that number, ready for a model with the shape `config`; `dtype` is bf16 or f16.
///
/// # Errors
/// If the GPU refuses, or the kernels do not run a model of this shape.
pub fn gpu_device(config: &Config, number: usize, dtype: Dtype) -> Result<Device, ModelError> {
    let kind = match dtype {
        Dtype::Bf16 => Kind::Bf16,
        Dtype::F16 => Kind::F16,
        Dtype::F32 => return Err(ModelError::GpuDtype { dtype }),
    };
    Ok(Device::open(number, kind, config.head_dim)?)
}

/// The shape as the kernels take it.
pub fn shape(config: &Config) -> Shape {
    Shape {
        d_model: config.d_model,
        d_ff: config.d_mlp,
        n_heads: config.n_heads,
        n_kv_heads: config.n_kv_heads,
        head: config.head_dim,
        eps: config.rms_eps as f32,
    }
}

/// Bytes of the weights of a model with the shape `config` on a GPU. The embedding of a tied model is there twice.
pub const fn weight_bytes(config: &Config) -> usize {
    let Config { d_model, d_mlp, vocab, .. } = *config;
    let heads = (2 * config.n_heads + 2 * config.n_kv_heads) * config.head_dim;
    let of_block = d_model * (heads + 3 * d_mlp + 2);
    2 * (config.n_layers * of_block + 2 * vocab * d_model + d_model)
}

/// Cosine and sine of every position of the context, of a few after it, and of every pair, rounded to `dtype` as the reference does it.
pub fn turns(config: &Config, dtype: Dtype) -> Vec<f32> {
    let frequencies = config.rope.frequencies(config.head_dim);
    let rounded = |x: f32| match dtype {
        Dtype::F32 => x,
        Dtype::Bf16 => bf16::from_f32(x).to_f32(),
        Dtype::F16 => f16::from_f32(x).to_f32(),
    };
    let of_position = |position: usize| {
        let angles = frequencies.iter().map(move |frequency| position as f32 * frequency);
        angles.flat_map(|angle| [rounded(angle.cos()), rounded(angle.sin())]).collect::<Vec<_>>()
    };
    (0..config.context + AFTER_CONTEXT).into_par_iter().flat_map_iter(of_position).collect()
}

/// Puts weights on the device, one after the other.
struct Loader<'a> {
    weights: &'a Weights,
    device: &'a Device,
    dtype: Dtype,
    /// Is told how many of all bytes are on the device.
    loaded: &'a dyn Fn(u64, u64),
    done: Cell<u64>,
    all: u64,
}

impl Loader<'_> {
    fn block(&self, config: &Config, layer: usize) -> Result<Block, ModelError> {
        let name = |part| Name::Block(layer, part);
        let (queries, keys) = (config.n_heads * config.head_dim, config.n_kv_heads * config.head_dim);
        let qkv = [(name(Part::Query), queries), (name(Part::Key), keys), (name(Part::Value), keys)];
        let gate_up = [(name(Part::Gate), config.d_mlp), (name(Part::Up), config.d_mlp)];
        Ok(Block {
            ln1: self.vector(name(Part::Ln1), config.d_model)?,
            qkv: self.matrix(qkv, config.d_model)?,
            output: self.matrix([(name(Part::Output), config.d_model)], queries)?,
            ln2: self.vector(name(Part::Ln2), config.d_model)?,
            gate_up: self.matrix(gate_up, config.d_model)?,
            down: self.matrix([(name(Part::Down), config.d_model)], config.d_mlp)?,
        })
    }

    fn vector(&self, name: Name, width: usize) -> Result<Buffer, ModelError> {
        let room = Buffer::new(self.device, 2 * width)?;
        self.put(self.weights.numbers(name, &[width])?, &room, 0)?;
        Ok(room)
    }

    /// Matrices `[outputs, inputs]` of the file, one below the other.
    fn matrix<const N: usize>(&self, parts: [(Name, usize); N], inputs: usize) -> Result<Buffer, ModelError> {
        let outputs = parts.iter().map(|part| part.1).sum::<usize>();
        let room = Buffer::new(self.device, 2 * outputs * inputs)?;
        let mut row = 0;
        for (name, outputs) in parts {
            self.put(self.weights.numbers(name, &[outputs, inputs])?, &room, 2 * row * inputs)?;
            row += outputs;
        }
        Ok(room)
    }

    /// Copies numbers to byte `start`: straight from the mapped file where that holds them as they are wanted.
    fn put(&self, numbers: Numbers<'_>, room: &Buffer, start: usize) -> Result<(), GpuError> {
        let bytes = match (numbers, self.dtype) {
            (Numbers::Mapped(Dtype::Bf16, bytes), Dtype::Bf16)
            | (Numbers::Mapped(Dtype::F16, bytes), Dtype::F16) => {
                room.write(self.device, start, bytes)?;
                bytes.len()
            }
            (numbers, Dtype::F16) => {
                let halves = numbers.floats().into_par_iter().map(f16::from_f32).collect::<Vec<_>>();
                room.write(self.device, start, &halves)?;
                2 * halves.len()
            }
            (numbers, _) => {
                let halves = numbers.floats().into_par_iter().map(bf16::from_f32).collect::<Vec<_>>();
                room.write(self.device, start, &halves)?;
                2 * halves.len()
            }
        };
        self.done.set(self.done.get() + bytes as u64);
        (self.loaded)(self.done.get(), self.all);
        Ok(())
    }
}
