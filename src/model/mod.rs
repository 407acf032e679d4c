//! A Llama in burn: the forward pass, its weights, and the one hole in it.

mod hook;
mod packed;
mod tap;

pub use hook::{Hook, Site, UnknownHook};
pub use packed::Packed;
pub use tap::Tap;

/// What can go wrong with a model.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {}

/// Where the default model is kept: SmolLM2-135M-Instruct, in the user's cache folder.
pub fn default_model() -> std::path::PathBuf {
    cache_folder().join("models").join("SmolLM2-135M-Instruct.Q4_1.gguf")
}

/// `$SAELAKE_CACHE`, or `saelake` in the user's cache folder.
fn cache_folder() -> std::path::PathBuf {
    use std::env::var_os;
    var_os("SAELAKE_CACHE").map_or_else(
        || {
            var_os("XDG_CACHE_HOME")
                .map(std::path::PathBuf::from)
                .or_else(|| var_os("HOME").map(|home| std::path::Path::new(&home).join(".cache")))
                .unwrap_or_else(std::env::temp_dir)
                .join("saelake")
        },
        std::path::PathBuf::from,
    )
}
