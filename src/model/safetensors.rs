//! The safetensors files of a Hugging Face folder, mapped into memory.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Component, Path, PathBuf};

use memmap2::Mmap;
use safetensors::{Dtype as FileDtype, SafeTensors};
use serde::Deserialize;

use super::dtype::Dtype;
use super::error::ModelError;
use super::weights::Numbers;

/// The one file of a small model.
pub(crate) const SINGLE: &str = "model.safetensors";
/// The index of a model in several files.
pub(crate) const INDEX: &str = "model.safetensors.index.json";

/// Every tensor of a model, wherever it lies.
pub(crate) struct Shards {
    folder: PathBuf,
    maps: Vec<Mmap>,
    tensors: BTreeMap<String, Entry>,
}

/// Where a tensor lies.
struct Entry {
    map: usize,
    bytes: std::ops::Range<usize>,
    dtype: FileDtype,
    shape: Vec<usize>,
}

/// `model.safetensors.index.json`; its metadata is not needed.
#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

impl Shards {
    /// Maps the `files` of `folder` and reads their headers.
    pub(crate) fn open(folder: &Path, files: &[PathBuf]) -> Result<Self, ModelError> {
        let mut shards = Self { folder: folder.to_owned(), maps: Vec::new(), tensors: BTreeMap::new() };
        for file in files {
            shards.add(file)?;
        }
        Ok(shards)
    }

    fn add(&mut self, path: &Path) -> Result<(), ModelError> {
        let map = map(path)?;
        let cut_off = |source| ModelError::Safetensors { path: path.to_owned(), source };
        let start = map.as_ptr().addr();
        for (name, view) in SafeTensors::deserialize(&map).map_err(cut_off)?.tensors() {
            let offset = view.data().as_ptr().addr() - start;
            let entry = Entry {
                map: self.maps.len(),
                bytes: offset..offset + view.data().len(),
                dtype: view.dtype(),
                shape: view.shape().to_vec(),
            };
            self.tensors.insert(name, entry);
        }
        self.maps.push(map);
        Ok(())
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    pub(crate) fn shape(&self, name: &str) -> Option<&[usize]> {
        self.tensors.get(name).map(|entry| entry.shape.as_slice())
    }

    pub(crate) fn numbers(&self, name: &str) -> Result<Numbers<'_>, ModelError> {
        let Some(entry) = self.tensors.get(name) else {
            return Err(ModelError::MissingTensor { path: self.folder.clone(), name: name.to_owned() });
        };
        let dtype = match entry.dtype {
            FileDtype::F32 => Dtype::F32,
            FileDtype::BF16 => Dtype::Bf16,
            FileDtype::F16 => Dtype::F16,
            other => {
                return Err(ModelError::WrongDtype {
                    path: self.folder.clone(),
                    name: name.to_owned(),
                    found: format!("{other:?}"),
                });
            }
        };
        Ok(Numbers::Mapped(dtype, &self.maps[entry.map][entry.bytes.clone()]))
    }
}

/// The names of the files that the index at `path` spreads the tensors over, sorted.
///
/// # Errors
/// When the index cannot be read, or names a file that is not a plain name in its folder.
pub(crate) fn files_of(path: &Path) -> Result<Vec<String>, ModelError> {
    let text =
        std::fs::read_to_string(path).map_err(|source| ModelError::Read { path: path.to_owned(), source })?;
    let index: Index = serde_json::from_str(&text)
        .map_err(|source| ModelError::MalformedJson { path: path.to_owned(), source })?;
    for (tensor, file) in &index.weight_map {
        let mut components = Path::new(file).components();
        let plain = matches!(components.next(), Some(Component::Normal(_))) && components.next().is_none();
        if !plain || file.contains(['/', '\\']) {
            return Err(ModelError::IndexEscapes {
                index: path.to_owned(),
                tensor: tensor.clone(),
                file: file.clone(),
            });
        }
    }
    let mut files: Vec<String> = index.weight_map.into_values().collect();
    files.sort_unstable();
    files.dedup();
    Ok(files)
}

/// Maps a file into memory.
#[expect(unsafe_code, reason = "mapping is what spares a second copy of the weights on the host")]
pub(crate) fn map(path: &Path) -> Result<Mmap, ModelError> {
    let read = |source| ModelError::Read { path: path.to_owned(), source };
    let file = File::open(path).map_err(read)?;
    // SAFETY: the map is read only. Whoever cuts the file off while it is mapped stops the program by a
    // signal, as for every program that maps its model.
    unsafe { Mmap::map(&file) }.map_err(read)
}
