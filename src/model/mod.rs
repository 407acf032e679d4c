//! A Llama in burn: the forward pass, its weights, and the one hole in it.
//!
//! ```text
//! source ─▶ config, weights ─▶ Llama ─▶ forward, tap ─▶ residual ─▶ logits
//! ```

mod attention;
mod cache;
mod config;
mod cpu;
mod dtype;
mod error;
mod gguf;
mod gradient;
mod hook;
mod identity;
mod kernels;
mod linear;
mod llama;
mod mlp;
mod names;
mod norm;
mod on_gpu;
mod open;
mod opened;
mod packed;
mod probe;
mod rope;
mod safetensors;
mod source;
mod stretch;
mod tap;
mod weights;

pub use cache::{Cache, Past};
pub use config::Config;
pub use dtype::{Dtype, UnknownDtype};
pub use error::ModelError;
pub use gradient::{AtBlock, Freeze, Stream, UnknownFreeze};
pub use hook::{Hook, Site, UnknownHook};
pub use identity::Identity;
pub use llama::Llama;
pub use on_gpu::{OnGpu, gpu_device, shape, turns, weight_bytes};
pub use open::{Origin, open_config, open_llama, open_on_gpu};
pub use opened::{DEFAULT_MODEL_HASH, Model, Opened, open, open_fused, open_shape};
pub use packed::Packed;
pub(crate) use packed::ranges;
pub use probe::product_rate;
pub use rope::{Rope, Scaling};
pub use source::{Hub, Located, Network, locate};
pub use stretch::Stretch;
pub use tap::Tap;

/// Where the default model is kept: SmolLM2-135M-Instruct, in the user's cache folder.
pub fn default_model() -> std::path::PathBuf {
    cache_folder().join("models").join("SmolLM2-135M-Instruct.Q4_1.gguf")
}

/// `$SAELAKE_CACHE`, or `saelake` in the user's cache folder.
pub(crate) fn cache_folder() -> std::path::PathBuf {
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
