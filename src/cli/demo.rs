//! The demo dictionaries, carried in the program and laid out in the cache folder when they are used.

use std::fs::{self, Permissions};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use tempfile::Builder;

use crate::error::{Error, UsageError};
use crate::model::{DEFAULT_MODEL_HASH, cache_folder};

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

/// Writes beside the place and renames, so that programs that run side by side see whole files only.
fn place(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let folder = path.parent().unwrap_or(path);
    fs::create_dir_all(folder)?;
    // What the user's mask forbids is taken off.
    let open_to_all = Permissions::from_mode(0o666);
    let mut staged = Builder::new().suffix(".part").permissions(open_to_all).tempfile_in(folder)?;
    staged.write_all(bytes)?;
    staged.persist(path).map_err(|error| error.error).map(drop)
}
