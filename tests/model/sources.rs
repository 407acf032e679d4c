//! Where a model is found: local folders, and Hugging Face's cache. Nothing here uses the network.

use std::path::{Path, PathBuf};

use burn::tensor::Device;
use saelake::model::{Dtype, Hub, ModelError, Network, open_llama};
use tempfile::TempDir;

use super::fixture;

const OLD: &str = "1111111111111111111111111111111111111111";
const NEW: &str = "2222222222222222222222222222222222222222";

/// A cache with one repository, two snapshots of it, and `main` at the newer one.
fn cache() -> TempDir {
    let cache = TempDir::new().unwrap();
    let repository = cache.path().join("models--org--name");
    for commit in [OLD, NEW] {
        let snapshot = repository.join("snapshots").join(commit);
        std::fs::create_dir_all(snapshot.join("sub")).unwrap();
        std::fs::write(snapshot.join("config.json"), commit).unwrap();
        std::fs::write(snapshot.join("sub/hyperparams.json"), "{}").unwrap();
    }
    std::fs::create_dir_all(repository.join("refs/refs/pr")).unwrap();
    std::fs::write(repository.join("refs/main"), NEW).unwrap();
    std::fs::write(repository.join("refs/refs/pr/1"), OLD).unwrap();
    cache
}

fn offline(cache: &Path) -> Hub {
    Hub { cache: cache.to_owned(), network: Network::Offline, token: None }
}

#[test]
fn the_cache_is_read_through_refs() {
    let cache = cache();
    let hub = offline(cache.path());
    for (source, commit) in [
        ("org/name", NEW),
        ("org/name@main", NEW),
        ("org/name@refs/pr/1", OLD),
        (&format!("org/name@{OLD}"), OLD),
    ] {
        let located = hub.locate(source).unwrap();
        assert_eq!(located.revision.as_deref(), Some(commit), "{source}");
        let config = located.file("config.json").unwrap();
        assert_eq!(std::fs::read_to_string(config).unwrap(), commit, "{source}");
        assert_eq!(located.names().unwrap(), ["config.json", "sub/hyperparams.json"]);
    }
}

#[test]
fn what_the_cache_lacks_is_an_error_offline() {
    let cache = cache();
    let hub = offline(cache.path());
    for source in ["org/other", "org/name@v2"] {
        let error = hub.locate(source).unwrap_err();
        assert!(matches!(error, ModelError::Offline { .. }), "{source}: {error}");
        assert_eq!(error.exit_code(), 5);
        assert!(error.hint().unwrap().contains("HF_HUB_OFFLINE"));
    }
    let located = hub.locate("org/name").unwrap();
    let error = located.file("model.safetensors").unwrap_err();
    assert!(matches!(&error, ModelError::Offline { file, .. } if file == "model.safetensors"), "{error}");
    assert_eq!(located.optional_file("tokenizer.json").unwrap(), None);
}

#[test]
fn a_gated_repository_names_its_page_and_the_variable() {
    let error = ModelError::Gated { id: "meta-llama/Llama-3.1-8B".into() };
    let hint = error.hint().unwrap();
    assert!(hint.contains("https://huggingface.co/meta-llama/Llama-3.1-8B") && hint.contains("HF_TOKEN"));
    assert_eq!(error.exit_code(), 5);
}

#[test]
fn folders_are_taken_as_they_are() {
    let located = offline(Path::new("nowhere")).locate(fixture("tiny-gqa").to_str().unwrap()).unwrap();
    assert_eq!((located.folder.clone(), located.revision.clone()), (fixture("tiny-gqa"), None));
    let error = located.file("nothing.json").unwrap_err();
    assert!(matches!(&error, ModelError::MissingFile { name, .. } if name == "nothing.json"), "{error}");
}

fn hash(path: &Path) -> String {
    let (_, identity, _) = open_llama(path.to_str().unwrap(), &Device::flex(), Dtype::F32).unwrap();
    assert_eq!(identity.source, path.to_str().unwrap());
    identity.hash
}

#[test]
fn a_gguf_is_known_by_its_own_hash() {
    let expected = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53";
    assert_eq!(hash(&crate::support::smollm2()), expected);
}

/// Recomputed here from the definition in `Identity::hash`.
#[test]
fn a_folder_is_known_by_its_configuration_and_weights() {
    use sha2::{Digest, Sha256};
    let mut sha = Sha256::new();
    for name in ["config.json", "model.safetensors"] {
        let bytes = std::fs::read(fixture("tiny-tied").join(name)).unwrap();
        sha.update([name.as_bytes(), &[0], &Sha256::digest(&bytes)].concat());
    }
    let expected = format!("{:x}", sha.finalize());
    assert_eq!(hash(&fixture("tiny-tied")), expected);

    let copy = TempDir::new().unwrap();
    let paths: Vec<PathBuf> =
        ["config.json", "model.safetensors"].map(|name| copy.path().join(name)).to_vec();
    for path in &paths {
        std::fs::copy(fixture("tiny-tied").join(path.file_name().unwrap()), path).unwrap();
    }
    assert_eq!(hash(copy.path()), expected, "the folder's name is no part of it");
    let mut config = std::fs::read_to_string(&paths[0]).unwrap();
    config.push('\n');
    std::fs::write(&paths[0], config).unwrap();
    assert_ne!(hash(copy.path()), expected);
}
