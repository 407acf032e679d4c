//! Which model it was: the source, the revision and a hash of what was read.

use std::fmt::Write as _;
use std::path::PathBuf;

use rayon::prelude::*;
use sha2::{Digest, Sha256};

use super::error::ModelError;
use super::safetensors::map;

/// Which model it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// What was asked for: a folder, an id or a file.
    pub source: String,
    /// The commit of the repository, where it came from the hub or its cache.
    pub revision: Option<String>,
    /// SHA-256 in hexadecimal. Of a GGUF file its own. Of a folder that of `config.json` and the weight files
    /// one after the other, sorted by name, each as its name, a zero byte and the 32 bytes of its own SHA-256, so
    /// that the files of a large model are read side by side.
    pub hash: String,
}

/// The SHA-256 of one file's bytes.
pub(crate) fn hash_bytes(bytes: &[u8]) -> String {
    hexadecimal(&Sha256::digest(bytes))
}

/// The SHA-256 of several files with their names; see [`Identity::hash`].
pub(crate) fn hash_files(mut files: Vec<(String, PathBuf)>) -> Result<String, ModelError> {
    files.sort();
    let digests = files.par_iter().map(|(_, path)| Ok(Sha256::digest(map(path)?)));
    // All of them, so that of several errors the first is told.
    let digests = digests.collect::<Vec<Result<_, ModelError>>>();
    let mut hash = Sha256::new();
    for ((name, _), digest) in files.iter().zip(digests) {
        hash.update(name.as_bytes());
        hash.update([0]);
        hash.update(digest?);
    }
    Ok(hexadecimal(&hash.finalize()))
}

fn hexadecimal(digest: &[u8]) -> String {
    digest.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
