//! What is read from outside: sound files of each kind, and what reads them.

use std::fs;
use std::path::Path;
use std::time::Duration;

use burn::tensor::Device;
use candle_core::quantized::gguf_file::Value as GgufValue;
use saelake::exchange::{Origin as NpzOrigin, import};
use saelake::lake::{Compaction, Lake, Order, Vacuum, repair_lake, verify};
use saelake::model::{Dtype, Origin, open_config, open_llama};
use saelake::tokens::{Message, Tokenizer};
use saelake::{Error, dictionary, game};
use serde_json::Value;

use super::files;
use super::keepers::keep_lake;
use crate::support::repository;

/// Everything that is in no log.
const VACUUM: Vacuum = Vacuum { older_than: Duration::ZERO, quarantine: true };

/// The exit code of an answer without rows, which is none of a sound lake's faults.
const NOTHING_FOUND: u8 = 1;

/// A kind of files.
pub(super) struct Target {
    pub(super) name: &'static str,
    /// Cases of a usual run: some tens of seconds for all targets together.
    pub(super) cases: u64,
    /// What reading sound ones comes to.
    pub(super) sound: &'static [u8],
    /// Makes sound ones in an empty folder.
    pub(super) make: fn(&Path),
    /// Reads them; what was refused, by the exit code.
    pub(super) read: fn(&Path) -> Vec<u8>,
}

pub(super) const TARGETS: [Target; 14] = [
    Target { name: "prompts", cases: 3_000, sound: &[], make: make_prompts, read: read_prompts },
    Target { name: "model", cases: 1_500, sound: &[], make: make_model, read: read_model },
    Target { name: "index", cases: 800, sound: &[], make: make_index, read: read_model },
    Target { name: "gguf", cases: 1_000, sound: &[], make: make_gguf, read: read_gguf },
    Target { name: "tokenizer", cases: 400, sound: &[], make: make_tokenizer, read: read_tokenizer },
    Target { name: "dictionary", cases: 1_500, sound: &[], make: make_dictionary, read: read_dictionary },
    Target { name: "npz", cases: 200, sound: &[], make: make_npz, read: read_npz },
    Target { name: "lake", cases: 60, sound: &[], make: make_lake, read: read_lake },
    Target { name: "checkpoints", cases: 25, sound: &[], make: make_checkpoints, read: read_lake },
    Target { name: "cells", cases: 40, sound: &[], make: make_unsummed, read: read_and_keep },
    // An earlier format takes no more games.
    Target { name: "earlier-lake", cases: 30, sound: &[2], make: make_earlier_lake, read: change_lake },
    Target { name: "writers", cases: 20, sound: &[], make: make_lake, read: change_lake },
    Target { name: "keepers", cases: 40, sound: &[], make: make_lake, read: keep_lake },
    // It is not compacted either before it is upgraded.
    Target { name: "earlier-keepers", cases: 20, sound: &[2, 2], make: make_earlier_lake, read: keep_lake },
];

/// Copies some files of a folder of the repository.
fn copy(from: &str, names: &[&str], to: &Path) {
    for name in names {
        fs::copy(repository(from).join(name), to.join(name)).unwrap();
    }
}

/// What a result is to a program.
pub(super) fn code<T, E: Into<Error>>(result: Result<T, E>) -> Option<u8> {
    let error: Error = result.err()?.into();
    assert!(!error.to_string().is_empty());
    Some(error.exit_code())
}

fn make_prompts(folder: &Path) {
    let lines = [
        r#"{"game": "a", "text": "Bet $100 or stop?", "spans": [{"name": "bet_option", "start": 0, "end": 3}], "metadata": {"k": [1, null]}}"#,
        r#"{"game": "a", "step": 4, "messages": [{"role": "user", "content": "And now, é?"}], "spans": [{"name": "x", "start": 4, "end": 7, "message": 0}], "metric": {"first": " Bet", "second": " Stop"}}"#,
        "",
        r#"{"game": 7, "text": "Stop", "metric": {"first": "a", "second": "b"}}"#,
    ];
    fs::write(folder.join("prompts.jsonl"), lines.join("\n")).unwrap();
}

fn read_prompts(folder: &Path) -> Vec<u8> {
    code(game::read_prompts(&folder.join("prompts.jsonl"))).into_iter().collect()
}

fn make_model(folder: &Path) {
    copy("tests/fixtures/model/tiny-tied", &["config.json", "model.safetensors"], folder);
}

fn make_index(folder: &Path) {
    let shards = [1, 2, 3].map(|shard| format!("model-0000{shard}-of-00003.safetensors"));
    let names: Vec<&str> = shards.iter().map(String::as_str).collect();
    copy("tests/fixtures/model/tiny-gqa", &names, folder);
    copy("tests/fixtures/model/tiny-gqa", &["config.json", "model.safetensors.index.json"], folder);
}

fn read_model(folder: &Path) -> Vec<u8> {
    let folder = folder.to_str().unwrap();
    let opened = code(open_llama(folder, &Device::flex(), Dtype::F32));
    [opened, code(open_config(folder, false))].into_iter().flatten().collect()
}

fn make_gguf(folder: &Path) {
    copy("tests/fixtures/model", &["tiny-gqa.gguf"], folder);
}

fn read_gguf(folder: &Path) -> Vec<u8> {
    let path = folder.join("tiny-gqa.gguf");
    let opened = open_llama(path.to_str().unwrap(), &Device::flex(), Dtype::F32);
    let Ok((_, _, Origin::Gguf(mut metadata))) = opened else { return code(opened).into_iter().collect() };
    // The file has no tokenizer: these are the smallest that is one.
    let texts = |texts: &[&str]| {
        GgufValue::Array(texts.iter().map(|text| GgufValue::String((*text).into())).collect())
    };
    for (key, value) in [
        ("tokenizer.ggml.model", GgufValue::String("gpt2".into())),
        ("tokenizer.ggml.pre", GgufValue::String("gpt-2".into())),
        ("tokenizer.ggml.tokens", texts(&["a", "b", "ab", "<s>"])),
        ("tokenizer.ggml.merges", texts(&["a b"])),
        ("tokenizer.ggml.token_type", GgufValue::Array([1, 1, 1, 3].map(GgufValue::I32).to_vec())),
    ] {
        metadata.entry(key.to_owned()).or_insert(value);
    }
    let tokenizer = Tokenizer::from_gguf(&metadata);
    if let Ok(tokenizer) = &tokenizer {
        let _ = (tokenizer.encode_raw("abba"), tokenizer.render(&[Message::user("a")]));
    }
    code(tokenizer.map_err(saelake::capture::CaptureError::from)).into_iter().collect()
}

fn make_tokenizer(folder: &Path) {
    let names = ["generation_config.json", "tokenizer.json", "tokenizer_config.json"];
    copy("tests/fixtures/tokens/tiny", &names, folder);
    let template = "{% for message in messages %}{{ message['role'] | upper }}: {{ message['content'] | trim }}\n{% endfor %}";
    fs::write(folder.join("chat_template.jinja"), template).unwrap();
}

fn read_tokenizer(folder: &Path) -> Vec<u8> {
    let read = Tokenizer::from_folder(folder).and_then(|tokenizer| {
        tokenizer.encode_raw("Bet $100 or stop?\n é")?;
        let rendered = tokenizer.render(&[Message::user("a\nb"), Message::user("c")])?;
        tokenizer.encode_rendered(&rendered.text)
    });
    code(read.map_err(saelake::capture::CaptureError::from)).into_iter().collect()
}

fn make_dictionary(folder: &Path) {
    for name in ["standard", "flat_topk", "jumprelu", "gated"] {
        let own = folder.join(name);
        fs::create_dir(&own).unwrap();
        copy(&format!("tests/fixtures/dictionary/{name}"), &["cfg.json", "sae_weights.safetensors"], &own);
    }
    crate::dictionary::write_llama_scope(&folder.join("L8R"), 8);
    crate::dictionary::write_sparsify(&folder.join("layers.5"));
}

fn read_dictionary(folder: &Path) -> Vec<u8> {
    let open = |path: &Path| dictionary::open(path, "fuzz", None, &Device::flex());
    let own = fs::read_dir(folder).unwrap().map(|entry| code(open(&entry.unwrap().path())));
    own.flatten().collect()
}

fn make_npz(folder: &Path) {
    crate::exchange::write_npz(&folder.join("sae_features_L8.npz"));
    fs::write(folder.join("sae_features_L8.json"), r#"{"layer": 8, "model": "a", "top_k": 3}"#).unwrap();
}

fn read_npz(folder: &Path) -> Vec<u8> {
    let lake = tempfile::tempdir().unwrap();
    let imported =
        import(folder, lake.path(), &NpzOrigin::default(), lake.path().parent().unwrap(), &mut |_, _| {});
    code(imported).into_iter().collect()
}

fn make_lake(folder: &Path) {
    crate::lake::make_small(folder);
}

/// Without checksums in the logs, what is in the files is looked at, not whether it is what was written.
fn make_unsummed(folder: &Path) {
    crate::lake::make_small(folder);
    for path in files(folder).iter().filter(|path| path.extension().is_some_and(|ending| ending == "json")) {
        let text = fs::read_to_string(folder.join(path)).unwrap();
        let actions = text.lines().map(|line| {
            let mut action: Value = serde_json::from_str(line).unwrap();
            action.get_mut("add").and_then(Value::as_object_mut).map(|add| add.remove("tags"));
            format!("{action}\n")
        });
        fs::write(folder.join(path), actions.collect::<String>()).unwrap();
    }
    let verified = verify(folder).unwrap();
    assert_eq!(verified.unsummed, verified.files);
}

/// What reads a lake, and what keeps it and gives it away.
fn read_and_keep(folder: &Path) -> Vec<u8> {
    [change_lake(folder), keep_lake(folder)].concat()
}

/// A compaction leaves a checkpoint in every log.
fn make_checkpoints(folder: &Path) {
    crate::lake::make_small(folder);
    let compaction = Compaction { order: Order::Game, target_bytes: 1 << 27 };
    Lake::open(folder).unwrap().compact(compaction, &mut |_| ()).unwrap();
    assert!(folder.join("features/_delta_log/_last_checkpoint").is_file());
}

fn make_earlier_lake(folder: &Path) {
    crate::lake::copy(&repository("tests/fixtures/lake/format-1/lake"), folder);
}

/// Everything that reads a lake.
fn read_lake(folder: &Path) -> Vec<u8> {
    let mut codes = vec![code(Lake::open(folder).and_then(|lake| lake.info())), code(verify(folder))];
    let asked = crate::queries::ask_everything(folder).into_iter().map(code);
    codes.extend(asked.map(|code| code.filter(|code| *code != NOTHING_FOUND)));
    codes.into_iter().flatten().collect()
}

/// What adds to a copy of a lake, clears it up and repairs it; and what reads the lake.
fn change_lake(folder: &Path) -> Vec<u8> {
    let mut codes = read_lake(folder);
    let copied = tempfile::tempdir().unwrap();
    crate::lake::copy(folder, copied.path());
    let open = || Lake::open(copied.path());
    codes.extend(code(open().and_then(|mut lake| crate::lake::append_small(&mut lake))));
    codes.extend(code(open().and_then(|mut lake| lake.vacuum(VACUUM))));
    codes.extend(code(repair_lake(copied.path())));
    codes
}
