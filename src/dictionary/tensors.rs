//! A weights file, read whole: every tensor checked and widened to f32.

use std::path::{Path, PathBuf};

use burn::tensor::{DType, Device, Tensor, TensorData};
use half::{bf16, f16};
use rayon::prelude::*;
use safetensors::{Dtype, SafeTensors};
use sha2::{Digest, Sha256};

use super::error::DictionaryError;

/// The bytes of a safetensors file.
pub(crate) struct Weights {
    path: PathBuf,
    bytes: Vec<u8>,
}

impl Weights {
    /// Reads `path`.
    pub(crate) fn read(path: &Path) -> Result<Self, DictionaryError> {
        Ok(Self { path: path.to_owned(), bytes: bytes(path)? })
    }

    /// The file's tensors.
    pub(crate) fn tensors(&self) -> Result<Tensors<'_>, DictionaryError> {
        let tensors = SafeTensors::deserialize(&self.bytes)
            .map_err(|source| DictionaryError::Safetensors { path: self.path.clone(), source })?;
        Ok(Tensors { path: &self.path, tensors })
    }

    /// SHA-256 over `configs`, one after the other, and then the file.
    pub(crate) fn hash(&self, configs: &[&[u8]]) -> String {
        let mut hasher = Sha256::new();
        for config in configs {
            hasher.update(config);
        }
        hasher.update(&self.bytes);
        hasher.finalize().iter().fold(String::new(), |hash, byte| format!("{hash}{byte:02x}"))
    }
}

/// The tensors of a weights file.
pub(crate) struct Tensors<'a> {
    path: &'a Path,
    tensors: SafeTensors<'a>,
}

impl Tensors<'_> {
    /// The numbers of tensor `name`, row-major, which must have `shape` and be finite.
    pub(crate) fn get(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, DictionaryError> {
        let view = self.tensors.tensor(name).map_err(|_| self.missing(name))?;
        if view.shape() != shape {
            return Err(DictionaryError::WrongShape {
                path: self.path.to_owned(),
                name: name.to_owned(),
                expected: shape.to_vec(),
                found: view.shape().to_vec(),
            });
        }
        let numbers = widen(view.dtype(), view.data()).ok_or_else(|| DictionaryError::WrongDtype {
            path: self.path.to_owned(),
            name: name.to_owned(),
            found: view.dtype(),
        })?;
        match numbers.par_iter().position_first(|x| !x.is_finite()) {
            None => Ok(numbers),
            Some(at) => {
                Err(DictionaryError::NotFinite { path: self.path.to_owned(), name: name.to_owned(), at })
            }
        }
    }

    /// The numbers of the matrix `name`, whose shape must be `[rows, columns]`, transposed: `[columns, rows]`.
    pub(crate) fn get_transposed(
        &self,
        name: &str,
        [rows, columns]: [usize; 2],
    ) -> Result<Vec<f32>, DictionaryError> {
        Ok(transpose(&self.get(name, &[rows, columns])?, rows, columns))
    }

    fn missing(&self, name: &str) -> DictionaryError {
        let mut found: Vec<String> = self.tensors.names().into_iter().map(str::to_owned).collect();
        found.sort();
        DictionaryError::MissingTensor { path: self.path.to_owned(), name: name.to_owned(), found }
    }
}

/// The bytes of a file.
pub(crate) fn bytes(path: &Path) -> Result<Vec<u8>, DictionaryError> {
    std::fs::read(path).map_err(|source| DictionaryError::Unreadable { path: path.to_owned(), source })
}

/// Little-endian numbers as f32; `None` for a type that is not read.
fn widen(dtype: Dtype, data: &[u8]) -> Option<Vec<f32>> {
    match dtype {
        Dtype::F32 => Some(each(data, f32::from_le_bytes)),
        Dtype::BF16 => Some(each(data, |bytes| bf16::from_le_bytes(bytes).to_f32())),
        Dtype::F16 => Some(each(data, |bytes| f16::from_le_bytes(bytes).to_f32())),
        Dtype::F64 => Some(each(data, |bytes| f64::from_le_bytes(bytes) as f32)),
        _ => None,
    }
}

fn each<const N: usize>(data: &[u8], number: impl Fn([u8; N]) -> f32 + Sync) -> Vec<f32> {
    data.as_chunks().0.par_iter().map(|bytes| number(*bytes)).collect()
}

/// Transposes a row-major matrix in squares that stay in the cache.
pub(crate) fn transpose(matrix: &[f32], rows: usize, columns: usize) -> Vec<f32> {
    const SQUARE: usize = 32;
    let mut out = vec![0.0; matrix.len()];
    for top in (0..rows).step_by(SQUARE) {
        for left in (0..columns).step_by(SQUARE) {
            for row in top..rows.min(top + SQUARE) {
                for column in left..columns.min(left + SQUARE) {
                    out[column * rows + row] = matrix[row * columns + column];
                }
            }
        }
    }
    out
}

/// The L2 norm of every row of a row-major matrix, summed in f64.
pub(crate) fn row_norms(matrix: &[f32], columns: usize) -> Vec<f32> {
    let norm = |row: &[f32]| row.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt() as f32;
    matrix.par_chunks_exact(columns).map(norm).collect()
}

/// A row-major matrix on `device`.
pub(crate) fn matrix(numbers: Vec<f32>, shape: [usize; 2], device: &Device) -> Tensor<2> {
    Tensor::from_data(TensorData::new(numbers, shape), (device, DType::F32))
}

/// A vector on `device`.
pub(crate) fn vector(numbers: Vec<f32>, device: &Device) -> Tensor<1> {
    let shape = [numbers.len()];
    Tensor::from_data(TensorData::new(numbers, shape), (device, DType::F32))
}
