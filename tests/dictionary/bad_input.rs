//! What is refused, and how it is said.

use std::path::Path;

use burn::tensor::Device;
use saelake::dictionary::{DictionaryError, find, open};
use serde_json::{Value, json};
use tempfile::tempdir;

use super::raw::{LlamaScope, Random, write_json, write_tensors};

fn refusal(folder: &Path) -> DictionaryError {
    let error = open(folder, "test", None, &Device::flex()).unwrap_err();
    assert!(!error.to_string().contains('\n') && !error.to_string().ends_with('.'), "{error}");
    assert_eq!(error.exit_code(), 2);
    error
}

/// Writes a sound Llama Scope dictionary with changed hyperparameters.
fn changed(folder: &Path, change: &Value) {
    let made = LlamaScope::default();
    made.write(folder, 8, 1);
    let mut hyperparams = made.hyperparams(8);
    hyperparams.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
    write_json(&folder.join("hyperparams.json"), &hyperparams);
}

#[test]
fn a_folder_without_dictionaries_says_what_was_looked_for() {
    let dir = tempdir().unwrap();
    let error = refusal(dir.path()).to_string();
    for name in ["hyperparams.json", "cfg.json", "sae_weights.safetensors", "sae.safetensors"] {
        assert!(error.contains(name), "{error}");
    }
    assert!(matches!(refusal(&dir.path().join("nowhere")), DictionaryError::Unreadable { .. }));
}

#[test]
fn missing_weights_and_truncated_weights() {
    let dir = tempdir().unwrap();
    LlamaScope::default().write(dir.path(), 8, 1);
    let weights = dir.path().join("checkpoints/final.safetensors");
    let bytes = std::fs::read(&weights).unwrap();
    for length in [0, 4, 100, bytes.len() - 1] {
        std::fs::write(&weights, &bytes[..length]).unwrap();
        assert!(matches!(refusal(dir.path()), DictionaryError::Safetensors { .. }), "{length} bytes");
    }
    std::fs::remove_file(&weights).unwrap();
    assert!(matches!(refusal(dir.path()), DictionaryError::MissingWeights { .. }));
    write_json(&dir.path().join("hyperparams.json"), &json!({"d_model": 4}));
    assert!(matches!(refusal(dir.path()), DictionaryError::Json { .. }));
    std::fs::write(dir.path().join("hyperparams.json"), "{").unwrap();
    assert!(matches!(refusal(dir.path()), DictionaryError::Json { .. }));
}

#[test]
fn cfg_without_weights_names_both_kinds() {
    let dir = tempdir().unwrap();
    write_json(&dir.path().join("cfg.json"), &json!({}));
    let error = refusal(dir.path()).to_string();
    assert!(error.contains("sae_weights.safetensors") && error.contains("sae.safetensors"), "{error}");
}

#[test]
fn wrong_tensors() {
    let dir = tempdir().unwrap();
    let made = LlamaScope::default();
    let (d_in, d_sae) = (made.d_in, made.d_sae);
    let write = |name: &str, shape: Vec<usize>, poison: Option<f32>| {
        made.write(dir.path(), 8, 1);
        let mut tensors = vec![
            ("encoder.weight", vec![d_sae, d_in]),
            ("encoder.bias", vec![d_sae]),
            ("decoder.weight", vec![d_in, d_sae]),
            ("decoder.bias", vec![d_in]),
        ];
        tensors.retain(|tensor| tensor.0 != "encoder.bias");
        tensors.push((name, shape));
        let mut random = Random::new(1);
        let full: Vec<_> = tensors
            .into_iter()
            .map(|(name, shape)| {
                let count = shape.iter().product();
                (name, shape, random.numbers(count, 1.0))
            })
            .map(|(name, shape, mut numbers)| {
                if let (Some(poison), "encoder.bias") = (poison, name) {
                    numbers[3] = poison;
                }
                (name, shape, numbers)
            })
            .collect();
        write_tensors(&dir.path().join("checkpoints/final.safetensors"), &full);
        refusal(dir.path())
    };
    let missing = write("encoder.bios", vec![d_sae], None);
    assert!(matches!(&missing, DictionaryError::MissingTensor { name, found, .. }
        if name == "encoder.bias" && found.contains(&"encoder.bios".to_owned())));
    let shape = write("encoder.bias", vec![d_sae + 1], None);
    assert!(matches!(&shape, DictionaryError::WrongShape { expected, found, .. }
        if *expected == [d_sae] && *found == [d_sae + 1]));
    let poisoned = write("encoder.bias", vec![d_sae], Some(f32::NAN));
    assert!(matches!(&poisoned, DictionaryError::NotFinite { at: 3, .. }));
}

#[test]
fn wrong_number_type() {
    let dir = tempdir().unwrap();
    LlamaScope::default().write(dir.path(), 8, 1);
    let data = vec![0_u8; 48 * 192];
    let view = safetensors::tensor::TensorView::new(safetensors::Dtype::I8, vec![192, 48], &data).unwrap();
    let bytes = safetensors::serialize([("encoder.weight", view)], None).unwrap();
    std::fs::write(dir.path().join("checkpoints/final.safetensors"), bytes).unwrap();
    assert!(matches!(refusal(dir.path()), DictionaryError::WrongDtype { found: safetensors::Dtype::I8, .. }));
}

#[test]
fn unsupported_settings_are_named() {
    for (change, key) in [
        (json!({"act_fn": "tanh"}), "act_fn"),
        (json!({"norm_activation": "batch-wise"}), "norm_activation"),
        (json!({"dataset_average_activation_norm": null}), "dataset_average_activation_norm"),
        (json!({"use_glu_encoder": true}), "use_glu_encoder"),
        (json!({"hook_point_out": "blocks.8.hook_mlp_out"}), "hook_point_out"),
    ] {
        let dir = tempdir().unwrap();
        changed(dir.path(), &change);
        assert!(
            matches!(refusal(dir.path()), DictionaryError::Unsupported { key: found, .. } if found == key)
        );
    }
    for (change, key) in [
        (
            json!({"dataset_average_activation_norm": {"in": 0.0, "out": 1.0}}),
            "dataset_average_activation_norm",
        ),
        (json!({"jump_relu_threshold": -1.0}), "jump_relu_threshold"),
        (json!({"act_fn": "topk", "jump_relu_threshold": 0.0, "top_k": 0}), "top_k"),
        (json!({"d_sae": null, "expansion_factor": 0.001}), "d_sae"),
    ] {
        let dir = tempdir().unwrap();
        changed(dir.path(), &change);
        assert!(
            matches!(refusal(dir.path()), DictionaryError::OutOfRange { key: found, .. } if found == key)
        );
    }
    let dir = tempdir().unwrap();
    changed(dir.path(), &json!({"hook_point_in": "blocks.8.hook_nonsense"}));
    assert!(matches!(refusal(dir.path()), DictionaryError::Hook { .. }));
}

#[test]
fn unsupported_saelens_and_sparsify_settings_are_named() {
    let saelens = |change: &Value| {
        let mut cfg = json!({"architecture": "standard", "d_in": 8, "d_sae": 16, "hook_name": "blocks.0.hook_resid_post"});
        cfg.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        ("cfg.json", "sae_weights.safetensors", cfg)
    };
    let sparsify = |change: &Value| {
        let mut cfg = json!({"d_in": 8, "num_latents": 16, "k": 4});
        cfg.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        ("cfg.json", "sae.safetensors", cfg)
    };
    for ((config, weights, cfg), key) in [
        (saelens(&json!({"architecture": "temporal"})), "architecture"),
        (saelens(&json!({"activation_fn_str": "tanh-relu"})), "activation_fn"),
        (saelens(&json!({"normalize_activations": "expected_average_only_in"})), "normalize_activations"),
        (saelens(&json!({"normalize_activations": true})), "normalize_activations"),
        (saelens(&json!({"finetuning_scaling_factor": true})), "finetuning_scaling_factor"),
        (saelens(&json!({"reshape_activations": "hook_z"})), "reshape_activations"),
        (saelens(&json!({"hook_point_head_index": 3})), "hook_head_index"),
        (sparsify(&json!({"transcode": true})), "transcode"),
        (sparsify(&json!({"skip_connection": true})), "skip_connection"),
        (sparsify(&json!({"signed": true})), "signed"),
        (sparsify(&json!({"activation": "relu"})), "activation"),
    ] {
        let dir = tempdir().unwrap();
        let folder = dir.path().join("layers.0");
        write_json(&folder.join(config), &cfg);
        write_tensors(&folder.join(weights), &[("W_enc", vec![8, 16], vec![0.0; 128])]);
        let error = refusal(&folder);
        assert!(
            matches!(&error, DictionaryError::Unsupported { key: found, .. } if *found == key),
            "{error}"
        );
    }
}

#[test]
fn sparsify_folders_must_name_a_module() {
    let dir = tempdir().unwrap();
    for (name, hook) in [
        ("layers.3", Some("blocks.3.hook_resid_post")),
        ("layers.3.mlp", Some("blocks.3.hook_mlp_out")),
        ("embed_tokens", None),
    ] {
        let folder = dir.path().join(name);
        write_json(&folder.join("cfg.json"), &json!({"d_in": 8, "num_latents": 16, "k": 4}));
        write_tensors(&folder.join("sae.safetensors"), &[]);
        match hook {
            Some(hook) => assert_eq!(find(&folder).unwrap()[0].hook.to_string(), hook),
            None => assert!(matches!(refusal(&folder), DictionaryError::Hook { .. })),
        }
    }
}

#[test]
fn two_for_one_place_and_other_widths() {
    let dir = tempdir().unwrap();
    let made = LlamaScope::default();
    made.write(&dir.path().join("a"), 8, 1);
    let dictionary = open(dir.path(), "test", None, &Device::flex()).unwrap().remove(0);
    dictionary.check_fits(made.d_in, 9).unwrap();
    assert!(matches!(
        dictionary.check_fits(64, 9),
        Err(DictionaryError::WrongWidth { d_in: 48, d_model: 64, .. })
    ));
    assert!(matches!(
        dictionary.check_fits(made.d_in, 8),
        Err(DictionaryError::NoSuchLayer { n_layers: 8, .. })
    ));
    made.write(&dir.path().join("b"), 8, 2);
    assert!(matches!(refusal(dir.path()), DictionaryError::Twice { .. }));
}
