//! A run and its dictionaries, as a lake describes them.

use schemas::{dictionaries, runs};

/// Features of a dictionary.
pub(crate) const D_SAE: i32 = 32_768;

/// The run that all batches of these tests belong to, unless they say otherwise.
pub(crate) fn run() -> runs::Row {
    runs::Row {
        run: "0123456789abcdef".into(),
        format_version: schemas::FORMAT_VERSION,
        saelake_version: "0.1.0".into(),
        started_at: "2025-11-23T12:00:00Z".into(),
        model: "tiny".into(),
        model_revision: None,
        model_hash: "aa".repeat(32),
        d_model: 576,
        n_layers: 30,
        n_heads: 9,
        layers: "8,15,29".into(),
        top_k: Some(64),
        attention: "top:8".into(),
        device: "cpu".into(),
        dtype: "f32".into(),
        seed: 7,
        source: "slot-machine".into(),
        decide: Some("choice".into()),
        bos: "none".into(),
        positions: "all".into(),
        activation_bits: 23,
        settings: r#"{"games": 10}"#.into(),
    }
}

/// A dictionary of a layer.
pub(crate) fn dictionary(layer: i32) -> dictionaries::Row {
    dictionaries::Row {
        run: run().run,
        layer,
        hook: format!("blocks.{layer}.hook_resid_post"),
        format: "llama-scope".into(),
        source: "demo".into(),
        revision: Some("main".into()),
        hash: format!("{layer:02}").repeat(32),
        neuronpedia: None,
        d_sae: D_SAE,
        d_in: 576,
        activation: "topk".into(),
        input_scale: 0.5,
        output_scale: 2.0,
        decoder_norms: format!("{:?}", vec![1.0_f32; 100]),
        measured_l0: 63.5,
        measured_explained_variance: 0.81,
        verified: true,
    }
}
