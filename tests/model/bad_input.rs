//! Every bad input is one typed error with the file, the name, what was expected and what was found.

use std::path::Path;

use burn::tensor::Device;
use saelake::model::{Dtype, ModelError, open_llama};
use safetensors::tensor::TensorView;
use safetensors::{Dtype as FileDtype, SafeTensors};
use tempfile::TempDir;

use super::{fixture, open};

/// A copy of a fixture's folder that may be damaged.
fn copy(name: &str) -> TempDir {
    let folder = TempDir::new().unwrap();
    for entry in std::fs::read_dir(fixture(name)).unwrap() {
        let path = entry.unwrap().path();
        std::fs::copy(&path, folder.path().join(path.file_name().unwrap())).unwrap();
    }
    folder
}

/// What opening `path` fails with.
fn refused(path: &Path) -> ModelError {
    let error = open_llama(path.to_str().unwrap(), &Device::flex(), Dtype::F32).unwrap_err();
    assert!(!error.to_string().contains('\n'), "one line: {error}");
    assert_eq!(error.exit_code(), 2, "{error}");
    error
}

/// A tensor to write: name, type, shape, bytes.
type Stored = (String, FileDtype, Vec<usize>, Vec<u8>);

/// Writes `model.safetensors` anew after `change`.
fn rewrite(folder: &Path, change: impl FnOnce(&mut Vec<Stored>)) {
    let path = folder.join("model.safetensors");
    let bytes = std::fs::read(&path).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let mut tensors: Vec<Stored> = file
        .tensors()
        .into_iter()
        .map(|(name, view)| (name, view.dtype(), view.shape().to_vec(), view.data().to_vec()))
        .collect();
    change(&mut tensors);
    let views = tensors
        .iter()
        .map(|(name, dtype, shape, bytes)| (name, TensorView::new(*dtype, shape.clone(), bytes).unwrap()));
    std::fs::write(&path, safetensors::serialize(views, None).unwrap()).unwrap();
}

/// Changes `config.json`.
fn reconfigure(folder: &Path, change: impl FnOnce(&mut serde_json::Map<String, serde_json::Value>)) {
    let path = folder.join("config.json");
    let mut config: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    change(config.as_object_mut().unwrap());
    std::fs::write(&path, config.to_string()).unwrap();
}

const QUERY: &str = "model.layers.1.self_attn.q_proj.weight";

#[test]
fn a_missing_tensor() {
    let folder = copy("tiny-tied");
    rewrite(folder.path(), |tensors| tensors.retain(|tensor| tensor.0 != QUERY));
    let error = refused(folder.path());
    assert!(matches!(&error, ModelError::MissingTensor { name, .. } if name == QUERY), "{error}");
}

#[test]
fn a_tensor_too_many() {
    let folder = copy("tiny-tied");
    let bias = "model.layers.0.self_attn.q_proj.bias";
    rewrite(folder.path(), |tensors| tensors.push((bias.into(), FileDtype::F32, vec![1], vec![0; 4])));
    let error = refused(folder.path());
    assert!(matches!(&error, ModelError::ExtraTensors { name, count: 1, .. } if name == bias), "{error}");
}

#[test]
fn a_wrong_shape() {
    let folder = copy("tiny-tied");
    rewrite(folder.path(), |tensors| {
        tensors.iter_mut().find(|tensor| tensor.0 == QUERY).unwrap().2 = vec![24, 32];
    });
    let error = refused(folder.path());
    let ModelError::WrongShape { name, expected, found, .. } = &error else { panic!("{error}") };
    assert_eq!((name.as_str(), &expected[..], &found[..]), (QUERY, &[32, 24][..], &[24, 32][..]));
}

#[test]
fn a_wrong_dtype() {
    let folder = copy("tiny-tied");
    rewrite(folder.path(), |tensors| {
        tensors.iter_mut().find(|tensor| tensor.0 == QUERY).unwrap().1 = FileDtype::I32;
    });
    let error = refused(folder.path());
    assert!(
        matches!(&error, ModelError::WrongDtype { name, found, .. } if name == QUERY && found == "I32"),
        "{error}"
    );
}

/// Cuts a file to `size` bytes.
fn cut(path: &Path, size: u64) {
    std::fs::OpenOptions::new().write(true).open(path).unwrap().set_len(size).unwrap();
}

#[test]
fn truncated_safetensors() {
    for size in [0, 5, 200, 50_000] {
        let folder = copy("tiny-tied");
        cut(&folder.path().join("model.safetensors"), size);
        let error = refused(folder.path());
        assert!(matches!(error, ModelError::Safetensors { .. }), "{size}: {error}");
        assert!(error.to_string().contains("model.safetensors"));
    }
}

#[test]
fn truncated_gguf() {
    let whole = crate::support::smollm2();
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("cut.gguf");
    std::fs::copy(&whole, &path).unwrap();
    // In the middle of the weights: the first tensor that is not whole is named.
    cut(&path, 60_000_000);
    let error = refused(&path);
    assert!(matches!(&error, ModelError::GgufTensor { name, .. } if name.starts_with("blk.")), "{error}");
    // In the middle of the header, and nothing left at all.
    for size in [100_000, 0] {
        cut(&path, size);
        let error = refused(&path);
        assert!(matches!(error, ModelError::Gguf { .. }), "{size}: {error}");
    }
}

#[test]
fn a_file_that_is_no_gguf() {
    let error = refused(&fixture("tiny-tied/config.json"));
    assert!(matches!(error, ModelError::Gguf { .. }), "{error}");
}

#[test]
fn an_index_that_leads_out_of_its_folder() {
    for file in ["../tiny-tied/model.safetensors", "/etc/hostname", "..", "a/b.safetensors", ""] {
        let folder = copy("tiny-gqa");
        let path = folder.path().join("model.safetensors.index.json");
        let mut index: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        index["weight_map"]["lm_head.weight"] = file.into();
        std::fs::write(&path, index.to_string()).unwrap();
        let error = refused(folder.path());
        assert!(
            matches!(&error, ModelError::IndexEscapes { tensor, .. } if tensor == "lm_head.weight"),
            "{file}: {error}"
        );
    }
}

#[test]
fn a_shard_that_is_not_there() {
    let folder = copy("tiny-gqa");
    std::fs::remove_file(folder.path().join("model-00002-of-00003.safetensors")).unwrap();
    let error = refused(folder.path());
    assert!(
        matches!(&error, ModelError::MissingFile { name, .. } if name == "model-00002-of-00003.safetensors"),
        "{error}"
    );
}

#[test]
fn folders_without_config_or_weights() {
    for file in ["config.json", "model.safetensors"] {
        let folder = copy("tiny-tied");
        std::fs::remove_file(folder.path().join(file)).unwrap();
        let error = refused(folder.path());
        assert!(matches!(&error, ModelError::MissingFile { name, .. } if name == file), "{error}");
    }
}

#[test]
fn malformed_json() {
    for file in ["config.json", "model.safetensors.index.json"] {
        let folder = copy("tiny-gqa");
        std::fs::write(folder.path().join(file), "{\"model_type\": \"llama\",").unwrap();
        let error = refused(folder.path());
        assert!(matches!(&error, ModelError::MalformedJson { path, .. } if path.ends_with(file)), "{error}");
    }
}

#[test]
fn configurations_that_cannot_be_run() {
    use serde_json::json;
    for (key, value) in [
        ("attention_bias", json!(true)),
        ("mlp_bias", json!(true)),
        ("hidden_act", json!("gelu")),
        ("num_attention_heads", json!(0)),
        ("num_key_value_heads", json!(3)),
        ("head_dim", json!(15)),
        ("num_hidden_layers", json!(0)),
        ("rope_parameters", json!({"rope_type": "yarn", "rope_theta": 10000.0})),
        (
            "rope_parameters",
            json!({"rope_type": "llama3", "factor": 8, "low_freq_factor": 4, "high_freq_factor": 4,
            "original_max_position_embeddings": 16}),
        ),
    ] {
        let folder = copy("tiny-tied");
        reconfigure(folder.path(), |config| {
            config.insert(key.into(), value.clone());
        });
        let error = refused(folder.path());
        let ModelError::BadValue { key: named, .. } = &error else { panic!("{key}: {error}") };
        assert!(named == key || named.starts_with("rope_scaling."), "{key}: {error}");
    }
}

#[test]
fn another_architecture() {
    let folder = copy("tiny-tied");
    reconfigure(folder.path(), |config| {
        config.insert("model_type".into(), "gpt2".into());
    });
    let error = refused(folder.path());
    assert!(matches!(&error, ModelError::NotLlama { found, .. } if found == "gpt2"), "{error}");
    reconfigure(folder.path(), |config| {
        config.remove("model_type");
    });
    let error = refused(folder.path());
    assert!(matches!(&error, ModelError::MissingKey { key, .. } if key == "model_type"), "{error}");
}

/// transformers 4 wrote `rope_theta` and `rope_scaling`, with `type` or `rope_type`; 5 writes `rope_parameters`.
#[test]
fn older_rope_keys_mean_the_same() {
    let expected = open(&fixture("tiny-gqa")).config().clone();
    for name in ["type", "rope_type"] {
        let folder = copy("tiny-gqa");
        reconfigure(folder.path(), |config| {
            let mut scaling = config.remove("rope_parameters").unwrap();
            let scaling = scaling.as_object_mut().unwrap();
            config.insert("rope_theta".into(), scaling.remove("rope_theta").unwrap());
            let kind = scaling.remove("rope_type").unwrap();
            scaling.insert(name.into(), kind);
            config.insert("rope_scaling".into(), scaling.clone().into());
        });
        assert_eq!(*open(folder.path()).config(), expected);
    }
}

#[test]
fn a_source_that_is_nothing() {
    for source in ["no-such-folder", "a/b/c", "org/name@", "org/na me", "org/name@../../x"] {
        let error = refused(Path::new(source));
        assert!(matches!(&error, ModelError::NotFound { name } if name == source), "{error}");
    }
}
