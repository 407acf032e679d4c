//! The demo dictionaries, carried in the program and laid out in the cache folder when they are used.

use std::fs;
use std::path::{Path, PathBuf};

use crate::error::{Error, UsageError};
use crate::model::{DEFAULT_MODEL_HASH, cache_folder};
use crate::whole_file;

/// How a lake names these dictionaries.
pub(super) const DEMO: &str = "demo";

/// The files of the demo dictionaries by their place in their folder.
macro_rules! files {
    ($($path:literal),* $(,)?) => {
        [$(($path, include_bytes!(concat!("../../assets/dictionaries/", $path)).as_slice())),*]
    };
}

const FILES: [(&str, &[u8]); 9] = files![
    "L8R-4x/hyperparams.json",
    "L8R-4x/lm_config.json",
    "L8R-4x/checkpoints/final.safetensors",
    "L15R-4x/hyperparams.json",
    "L15R-4x/lm_config.json",
    "L15R-4x/checkpoints/final.safetensors",
    "L29R-4x/hyperparams.json",
    "L29R-4x/lm_config.json",
    "L29R-4x/checkpoints/final.safetensors",
];

/// The folder of the demo dictionaries, which belong to the default model and to no other.
pub(super) fn dictionaries(model_hash: &str) -> Result<PathBuf, Error> {
    if model_hash != DEFAULT_MODEL_HASH {
        return Err(UsageError::NoDictionary.into());
    }
    let folder = cache_folder().join("dictionaries").join(concat!("demo-", env!("CARGO_PKG_VERSION")));
    for (path, bytes) in FILES {
        let path = folder.join(path);
        // Another size or other bytes are those of another build, or of a write that was cut short.
        if fs::read(&path).is_ok_and(|there| there == bytes) {
            continue;
        }
        place(&path, bytes).map_err(|source| UsageError::Unwritable { path, source })?;
    }
    Ok(folder)
}

/// Programs that run side by side see whole files only.
fn place(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    fs::create_dir_all(whole_file::folder_of(path))?;
    whole_file::write(path, bytes)
}
