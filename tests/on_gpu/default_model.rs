//! The default model on a GPU against Hugging Face transformers: what its f32 numbers lose in bf16 here, and what they
//! lose in PyTorch; see `fixtures/model/make_goldens.py` and `make_bf16.py`.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Write as _, stdout};
use std::path::Path;

use gpu::{Batch, Keep, Kept, Rows, Taken};
use saelake::model::{Config, Dtype, OnGpu, default_model, open_fused};
use safetensors::SafeTensors;

use super::MORE_LOST;

/// A norm is a sum over all columns, in which roundings average out. On average over rows and blocks: one row whose norm
/// comes from a single column is off by as much as that.
const NORMS_AGREE: f64 = 0.01;

const PROMPTS: [&str; 3] = ["short", "chat", "unicode"];

/// What PyTorch loses by each of its attentions, of which one shows no pattern; see `make_bf16.py`.
#[derive(serde::Deserialize)]
struct ByTorch {
    eager: BTreeMap<String, f64>,
    sdpa: BTreeMap<String, f64>,
}

/// What is lost of each row of a kind.
#[derive(Default)]
struct Lost {
    residual: Vec<f64>,
    pattern: Vec<f64>,
    logits: Vec<f64>,
    norm: Vec<f64>,
}

fn fixture(name: &str) -> Vec<u8> {
    fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/model").join(name)).unwrap()
}

struct Exact<'a>(SafeTensors<'a>);

impl Exact<'_> {
    fn numbers<const N: usize, T>(&self, name: &str, of: fn([u8; N]) -> T) -> Vec<T> {
        let bytes = self.0.tensor(name).unwrap();
        bytes.data().chunks_exact(N).map(|bytes| of(bytes.try_into().unwrap())).collect()
    }

    fn floats(&self, name: &str) -> Vec<f32> {
        self.numbers(name, f32::from_le_bytes)
    }

    fn ids(&self, name: &str) -> Vec<i32> {
        self.numbers(name, i32::from_le_bytes)
    }
}

fn norm(row: impl Iterator<Item = f64>) -> f64 {
    row.map(|x| x * x).sum::<f64>().sqrt()
}

fn floats(row: &[f32]) -> impl Iterator<Item = f64> {
    row.iter().map(|x| f64::from(*x))
}

/// The norm of the difference of each row as a share of its norm.
fn shares(found: &[f32], exact: &[f32], width: usize) -> Vec<f64> {
    assert_eq!(found.len(), exact.len());
    let rows = found.chunks(width).zip(exact.chunks(width));
    rows.map(|(a, b)| norm(floats(a).zip(floats(b)).map(|(a, b)| a - b)) / norm(floats(b))).collect()
}

fn mean(numbers: &[f64]) -> f64 {
    numbers.iter().sum::<f64>() / numbers.len() as f64
}

#[test]
fn the_default_model_loses_no_more_than_in_pytorch() {
    let path = default_model();
    assert!(path.is_file(), "{} is missing; `./just model` fetches it", path.display());
    let model = open_fused(path.to_str().unwrap(), 0, Dtype::Bf16, &|_, _| ()).unwrap().llama;
    let bytes = fixture("smollm2.safetensors");
    let exact = Exact(SafeTensors::deserialize(&bytes).unwrap());
    let by_torch: ByTorch = serde_json::from_slice(&fixture("smollm2-bf16.json")).unwrap();
    let mut lost = Lost::default();
    for prompt in PROMPTS {
        run(&model, &exact, prompt, &mut lost);
    }
    for (what, found) in [("residual", lost.residual), ("pattern", lost.pattern), ("logits", lost.logits)] {
        let (found, eager) = (mean(&found), by_torch.eager[what]);
        let by_torch = eager.max(by_torch.sdpa.get(what).copied().unwrap_or(eager));
        writeln!(stdout(), "{what}: {found:.4} is lost, {by_torch:.4} in PyTorch").unwrap();
        assert!(found <= f64::from(MORE_LOST) * by_torch, "{what}: {found} and {by_torch}");
    }
    let off = mean(&lost.norm);
    writeln!(stdout(), "norms are off by {off:.4} on average").unwrap();
    assert!(off < NORMS_AGREE, "{:?}", lost.norm);
}

/// Runs a prompt and measures what is lost of the rows that are known.
fn run(model: &OnGpu, exact: &Exact<'_>, prompt: &str, lost: &mut Lost) {
    let (device, config) = (&model.device, model.config());
    let (ids, rows) = (exact.ids(&format!("{prompt}.ids")), exact.ids(&format!("{prompt}.rows")));
    let batch = Batch::new(device, &ids, &[ids.len()]).unwrap();
    let mut taken = Taken::default();
    let keep = Keep { strongest: 1, decisions: vec![ids.len() - 1] };
    for layer in 0..config.n_layers {
        taken.residuals.insert(layer, Rows::new(device, &rows, config.d_model).unwrap());
        taken.patterns.insert(layer, Kept::new(device, &batch, &keep, config.n_heads).unwrap());
    }
    let residual = model.llama.forward(device, &batch, None, (&BTreeMap::new(), &taken)).unwrap();
    let expected = exact.floats(&format!("{prompt}.residual"));
    let expected = expected.chunks(rows.len() * config.d_model);
    let found =
        taken.residuals.values().map(|kept| kept.out.floats(device, rows.len() * config.d_model).unwrap());
    for (found, expected) in found.zip(expected) {
        lost.residual.extend(shares(&found, expected, config.d_model));
        let rows = found.chunks(config.d_model).zip(expected.chunks(config.d_model));
        lost.norm.extend(rows.map(|(a, b)| (norm(floats(a)) / norm(floats(b)) - 1.0).abs()));
    }
    let patterns = exact.floats(&format!("{prompt}.pattern"));
    let patterns = patterns.chunks(config.n_heads * rows.len() * ids.len());
    for (kept, pattern) in taken.patterns.values().zip(patterns) {
        let last =
            pattern.chunks(rows.len() * ids.len()).flat_map(|head| &head[(rows.len() - 1) * ids.len()..]);
        lost.pattern.extend(shares(&whole_rows(kept, device), &last.copied().collect::<Vec<_>>(), ids.len()));
    }
    let logits = sixteenth(model, &residual, &rows);
    lost.logits.extend(shares(
        &logits,
        &exact.floats(&format!("{prompt}.logits")),
        config.vocab.div_ceil(16),
    ));
}

/// The whole rows of the decisions, `[head, position]`.
fn whole_rows(kept: &Kept, device: &gpu::Device) -> Vec<f32> {
    let all = kept.counts.iter().sum::<usize>();
    let numbers = kept.out.read::<f32>(device, all).unwrap();
    numbers[all - kept.counts[4]..].to_vec()
}

/// Every sixteenth logit of the rows.
fn sixteenth(model: &OnGpu, residual: &gpu::Buffer, rows: &[i32]) -> Vec<f32> {
    let Config { vocab, .. } = *model.config();
    let ids = (0..vocab as i32).step_by(16).collect::<Vec<_>>();
    let width = 512;
    let mut logits = vec![Vec::new(); rows.len()];
    for ids in ids.chunks(width) {
        let asked = ids.repeat(rows.len());
        let picked = model.llama.pick(&model.device, residual, rows, (&asked, ids.len())).unwrap();
        let numbers = picked.read::<f32>(&model.device, rows.len() * ids.len()).unwrap();
        for (row, found) in logits.iter_mut().zip(numbers.chunks(ids.len())) {
            row.extend(found);
        }
    }
    logits.concat()
}
