//! Recognizing dictionaries from their own files, and opening a folder of them.

use std::fmt;
use std::path::{Path, PathBuf};

use burn::tensor::Device;

use super::{canonical::Dictionary, error::DictionaryError, llama_scope, saelens, sparsify};
use crate::model::Hook;

/// The layout of a dictionary's files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `hyperparams.json`, `lm_config.json` and `checkpoints/final.safetensors`, as OpenMOSS writes them.
    LlamaScope,
    /// `cfg.json` and `sae_weights.safetensors`.
    SaeLens,
    /// `cfg.json` and `sae.safetensors`, in a folder that is named after the module, by EleutherAI.
    Sparsify,
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::LlamaScope => "llama-scope",
            Self::SaeLens => "saelens",
            Self::Sparsify => "sparsify",
        })
    }
}

/// A dictionary on disk whose weights have not been read yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The layout of its files.
    pub format: Format,
    /// The folder that holds them.
    pub folder: PathBuf,
    /// The place that it reads.
    pub hook: Hook,
}

impl Found {
    /// Reads the weights onto `device`, as f32. `source` and `revision` are what the dictionary was asked for
    /// by, and are only recorded.
    pub fn read(
        &self,
        source: &str,
        revision: Option<&str>,
        device: &Device,
    ) -> Result<Dictionary, DictionaryError> {
        let mut dictionary = match self.format {
            Format::LlamaScope => llama_scope::read(&self.folder, device),
            Format::SaeLens => saelens::read(&self.folder, device),
            Format::Sparsify => sparsify::read(&self.folder, device),
        }?;
        source.clone_into(&mut dictionary.provenance.source);
        dictionary.provenance.revision = revision.map(str::to_owned);
        Ok(dictionary)
    }
}

/// Reads every dictionary of `path`: the folder of one layer, or a folder of such folders. Sorted by layer.
///
/// # Errors
/// Whatever [`find`] and [`Found::read`] refuse.
pub fn open(
    path: &Path,
    source: &str,
    revision: Option<&str>,
    device: &Device,
) -> Result<Vec<Dictionary>, DictionaryError> {
    find(path)?.iter().map(|found| found.read(source, revision, device)).collect()
}

/// Finds the dictionaries of `path` without reading their weights, so that some of many layers can be chosen.
/// Sorted by layer.
///
/// # Errors
/// No dictionary at all, a description that is malformed or not supported, and two for one place.
pub fn find(path: &Path) -> Result<Vec<Found>, DictionaryError> {
    let mut found: Vec<Found> = recognize(path)?.into_iter().collect();
    if found.is_empty() {
        for folder in folders(path)? {
            found.extend(recognize(&folder)?);
        }
    }
    if found.is_empty() {
        return Err(DictionaryError::UnknownFormat { path: path.to_owned() });
    }
    found.sort_by_key(|found| found.hook);
    match found.windows(2).find(|pair| pair[0].hook == pair[1].hook) {
        None => Ok(found),
        Some(pair) => Err(DictionaryError::Twice {
            hook: pair[0].hook,
            first: pair[0].folder.clone(),
            second: pair[1].folder.clone(),
        }),
    }
}

/// The dictionary that lies in `folder` itself, if one does.
fn recognize(folder: &Path) -> Result<Option<Found>, DictionaryError> {
    let has = |name: &str| folder.join(name).is_file();
    let (format, hook) = if has(llama_scope::CONFIG) {
        (Format::LlamaScope, llama_scope::hook(folder)?)
    } else if has(saelens::CONFIG) && has(saelens::WEIGHTS) {
        (Format::SaeLens, saelens::hook(folder)?)
    } else if has(sparsify::CONFIG) && has(sparsify::WEIGHTS) {
        (Format::Sparsify, sparsify::hook(folder)?)
    } else if has(saelens::CONFIG) {
        let names = vec![saelens::WEIGHTS, sparsify::WEIGHTS];
        return Err(DictionaryError::MissingWeights { folder: folder.to_owned(), names });
    } else {
        return Ok(None);
    };
    Ok(Some(Found { format, folder: folder.to_owned(), hook }))
}

/// The folders in `path`, in order of their names, hidden ones left out.
fn folders(path: &Path) -> Result<Vec<PathBuf>, DictionaryError> {
    let unreadable = |source| DictionaryError::Unreadable { path: path.to_owned(), source };
    let mut folders = Vec::new();
    for entry in std::fs::read_dir(path).map_err(unreadable)? {
        let folder = entry.map_err(unreadable)?.path();
        let hidden = folder.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
        if folder.is_dir() && !hidden {
            folders.push(folder);
        }
    }
    folders.sort();
    Ok(folders)
}
