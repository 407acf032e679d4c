//! Tests of the dictionary.

mod bad_input;
mod coupling;
mod formats;
mod gate;
mod goldens;
mod raw;
mod slopes;
mod sparse;
mod threshold;
mod train;

use std::path::Path;

use serde_json::json;

/// Writes a sound Llama Scope dictionary.
pub(crate) fn write_llama_scope(folder: &Path, layer: usize) {
    raw::LlamaScope { d_in: 8, d_sae: 24, ..raw::LlamaScope::default() }.write(folder, layer, 1);
}

/// Writes a sound dictionary of EleutherAI's sparsify in the folder of a module.
pub(crate) fn write_sparsify(folder: &Path) {
    const D_IN: usize = 8;
    const D_SAE: usize = 16;
    let mut random = raw::Random::new(1);
    raw::write_tensors(
        &folder.join("sae.safetensors"),
        &[
            ("encoder.weight", vec![D_SAE, D_IN], random.normals(D_IN * D_SAE, 0.15)),
            ("encoder.bias", vec![D_SAE], random.normals(D_SAE, 0.5)),
            ("W_dec", vec![D_SAE, D_IN], random.normals(D_IN * D_SAE, 0.15)),
            ("b_dec", vec![D_IN], random.normals(D_IN, 0.4)),
        ],
    );
    let cfg = json!({"activation": "groupmax", "expansion_factor": D_SAE / D_IN, "normalize_decoder": true,
        "num_latents": 0, "k": 4, "multi_topk": false, "skip_connection": false, "d_in": D_IN});
    raw::write_json(&folder.join("cfg.json"), &cfg);
}
