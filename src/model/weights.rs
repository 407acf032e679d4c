//! Weights as a file holds them, of either kind of file.

use std::path::Path;

use burn::tensor::{Device, Tensor, TensorData};
use half::{bf16, f16};

use super::cpu::{is_cpu, panels::Panels};
use super::dtype::Dtype;
use super::error::ModelError;
use super::gguf::Gguf;
use super::linear::Linear;
use super::names::Name;
use super::safetensors::Shards;

/// Where weights come from.
pub(crate) enum Weights {
    /// The safetensors files of a Hugging Face folder.
    Folder(Shards),
    /// A GGUF file.
    Gguf(Box<Gguf>),
}

/// The numbers of one tensor.
pub(crate) enum Numbers<'a> {
    /// Little-endian, as they lie in the mapped file.
    Mapped(Dtype, &'a [u8]),
    /// Dequantized.
    Floats(Vec<f32>),
}

impl Weights {
    /// What they were read from, for messages.
    pub(crate) fn path(&self) -> &Path {
        match self {
            Self::Folder(shards) => shards.folder(),
            Self::Gguf(gguf) => gguf.path(),
        }
    }

    /// The name of a weight in these files.
    fn called(&self, name: Name) -> String {
        match self {
            Self::Folder(_) => name.hugging_face(),
            Self::Gguf(_) => name.gguf(),
        }
    }

    fn names(&self) -> Box<dyn Iterator<Item = &str> + '_> {
        match self {
            Self::Folder(shards) => Box::new(shards.names()),
            Self::Gguf(gguf) => Box::new(gguf.names()),
        }
    }

    /// Refuses tensors that a Llama of `layers` blocks has no use for: they would be dropped in silence.
    pub(crate) fn refuse_extras(&self, layers: usize) -> Result<(), ModelError> {
        let known: std::collections::HashSet<String> =
            Name::all(layers).map(|name| self.called(name)).collect();
        // Frequencies that follow from the configuration; old checkpoints keep them as tensors.
        let derived = |name: &str| name.ends_with("rotary_emb.inv_freq") || name == "rope_freqs.weight";
        let mut extras: Vec<&str> =
            self.names().filter(|name| !known.contains(*name) && !derived(name)).collect();
        extras.sort_unstable();
        match extras.first() {
            None => Ok(()),
            Some(first) => Err(ModelError::ExtraTensors {
                path: self.path().to_owned(),
                name: (*first).to_owned(),
                count: extras.len(),
            }),
        }
    }

    /// The numbers of a tensor, which must have `shape`.
    pub(super) fn numbers(&self, name: Name, shape: &[usize]) -> Result<Numbers<'_>, ModelError> {
        let called = self.called(name);
        let found = match self {
            Self::Folder(shards) => shards.shape(&called),
            Self::Gguf(gguf) => gguf.shape(&called),
        };
        let Some(found) = found else {
            return Err(ModelError::MissingTensor { path: self.path().to_owned(), name: called });
        };
        if found != shape {
            return Err(ModelError::WrongShape {
                path: self.path().to_owned(),
                name: called,
                expected: shape.to_vec(),
                found: found.to_vec(),
            });
        }
        match self {
            Self::Folder(shards) => shards.numbers(&called),
            Self::Gguf(gguf) => gguf.numbers(name),
        }
    }
}

impl Numbers<'_> {
    /// As f32, one number at a time.
    pub(super) fn floats(self) -> Vec<f32> {
        match self {
            Self::Floats(floats) => floats,
            Self::Mapped(Dtype::F32, bytes) => {
                bytes.as_chunks().0.iter().map(|four| f32::from_le_bytes(*four)).collect()
            }
            Self::Mapped(Dtype::Bf16, bytes) => {
                bytes.as_chunks().0.iter().map(|two| bf16::from_le_bytes(*two).to_f32()).collect()
            }
            Self::Mapped(Dtype::F16, bytes) => {
                bytes.as_chunks().0.iter().map(|two| f16::from_le_bytes(*two).to_f32()).collect()
            }
        }
    }

    /// As a device takes them, converted only where `dtype` is another one than the file's.
    fn data<const D: usize>(self, shape: [usize; D], dtype: Dtype) -> TensorData {
        match (self, dtype) {
            (Self::Mapped(Dtype::Bf16, bytes), Dtype::Bf16) => {
                let numbers: Vec<_> =
                    bytes.as_chunks().0.iter().map(|two| bf16::from_le_bytes(*two)).collect();
                TensorData::new(numbers, shape)
            }
            (Self::Mapped(Dtype::F16, bytes), Dtype::F16) => {
                let numbers: Vec<_> =
                    bytes.as_chunks().0.iter().map(|two| f16::from_le_bytes(*two)).collect();
                TensorData::new(numbers, shape)
            }
            (numbers, Dtype::F32) => TensorData::new(numbers.floats(), shape),
            (numbers, Dtype::Bf16) => {
                let numbers: Vec<_> = numbers.floats().into_iter().map(bf16::from_f32).collect();
                TensorData::new(numbers, shape)
            }
            (numbers, Dtype::F16) => {
                let numbers: Vec<_> = numbers.floats().into_iter().map(f16::from_f32).collect();
                TensorData::new(numbers, shape)
            }
        }
    }
}

/// Puts weights on a device, one tensor at a time.
pub(crate) struct Loader<'a> {
    pub(crate) weights: &'a Weights,
    pub(crate) device: &'a Device,
    pub(crate) dtype: Dtype,
}

impl Loader<'_> {
    /// A tensor as it is.
    pub(crate) fn tensor<const D: usize>(
        &self,
        name: Name,
        shape: [usize; D],
    ) -> Result<Tensor<D>, ModelError> {
        let data = self.weights.numbers(name, &shape)?.data(shape, self.dtype);
        Ok(Tensor::from_data(data, (self.device, self.dtype.burn())))
    }

    /// Matrices `[outputs, inputs]` of the file, joined along their outputs: `[inputs, all outputs]`.
    pub(super) fn linear<const N: usize>(
        &self,
        parts: [(Name, usize); N],
        inputs: usize,
    ) -> Result<Linear, ModelError> {
        if is_cpu(self.device) {
            // Their shapes are checked before memory is taken for them.
            let found = parts.map(|(name, outputs)| self.weights.numbers(name, &[outputs, inputs]));
            let found: Vec<Numbers<'_>> = found.into_iter().collect::<Result<_, _>>()?;
            let mut rows = Vec::with_capacity(parts.iter().map(|part| part.1 * inputs).sum());
            for numbers in found {
                rows.extend(numbers.floats());
            }
            return Ok(Linear::Packed(Panels::pack(&rows, inputs)));
        }
        let parts = parts.map(|(name, outputs)| self.tensor(name, [outputs, inputs]));
        let parts: Vec<Tensor<2>> = parts.into_iter().collect::<Result<_, _>>()?;
        Ok(Linear::Plain(Box::new(Tensor::cat(parts, 0).transpose())))
    }
}
