//! A Llama in plain loops and f64, which judges gradients by differences of its metrics.

use std::collections::BTreeMap;
use std::path::Path;

use saelake::model::{Config, Scaling};

/// A Llama in f64, for one sequence.
pub(crate) struct Reference {
    pub(crate) config: Config,
    tensors: BTreeMap<String, Vec<f64>>,
}

/// What is held as it was in another pass.
#[derive(Default)]
pub(crate) struct Held {
    /// The pattern's rows of each block, head and query, from [`Pass::patterns`].
    pub(crate) patterns: Option<Vec<Vec<f64>>>,
    /// What each norm divides each row by, from [`Pass::scales`].
    pub(crate) scales: Option<Vec<f64>>,
}

/// What a pass leaves.
#[derive(Default)]
pub(crate) struct Pass {
    /// The last residual: `[tokens, d_model]`.
    pub(crate) residual: Vec<f64>,
    /// The pattern's rows, in the order in which they were made.
    pub(crate) patterns: Vec<Vec<f64>>,
    /// What norms divided by, likewise.
    pub(crate) scales: Vec<f64>,
}

/// Something added where the pass comes by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum At {
    /// To the residual before a block.
    Before(usize),
    /// To what a block's attention adds.
    Attention(usize),
    /// To what a block's heads read.
    Heads(usize),
    /// To what a block's MLP adds.
    Mlp(usize),
}

/// A place, an index of it (row-major), and how much is added there.
pub(crate) type Nudge = (At, usize, f64);

impl Reference {
    /// Reads a model of one or more safetensors files in f32.
    pub(crate) fn read(folder: &Path) -> Self {
        let config = Config::read(&folder.join("config.json")).unwrap();
        let mut tensors = BTreeMap::new();
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_none_or(|extension| extension != "safetensors") {
                continue;
            }
            let bytes = std::fs::read(path).unwrap();
            for (name, view) in safetensors::SafeTensors::deserialize(&bytes).unwrap().tensors() {
                let fours = view.data().as_chunks().0.iter();
                tensors.insert(name, fours.map(|four| f64::from(f32::from_le_bytes(*four))).collect());
            }
        }
        Self { config, tensors }
    }

    fn tensor(&self, name: &str) -> &[f64] {
        &self.tensors[name]
    }

    fn block(&self, layer: usize, name: &str) -> &[f64] {
        self.tensor(&format!("model.layers.{layer}.{name}.weight"))
    }

    /// The embeddings of `ids`: `[tokens, d_model]`.
    pub(crate) fn embeddings(&self, ids: &[u32]) -> Vec<f64> {
        let width = self.config.d_model;
        let embed = self.tensor("model.embed_tokens.weight");
        ids.iter().flat_map(|id| &embed[*id as usize * width..][..width]).copied().collect()
    }

    /// Runs the blocks from `first` on over `x: [tokens, d_model]`.
    pub(crate) fn run(&self, first: usize, x: &[f64], held: &Held, nudge: Option<Nudge>) -> Pass {
        let mut pass = Pass { residual: x.to_vec(), ..Pass::default() };
        for layer in first..self.config.n_layers {
            let nudged = |x: &mut Vec<f64>, here: At| {
                if let Some((_, index, by)) = nudge.filter(|(at, ..)| *at == here) {
                    x[index] += by;
                }
            };
            nudged(&mut pass.residual, At::Before(layer));
            let h = self.normalized(&mut pass, self.block(layer, "input_layernorm"), held);
            let mut z = self.attention(layer, &h, held, &mut pass);
            nudged(&mut z, At::Heads(layer));
            let mut attention = linear(&z, self.block(layer, "self_attn.o_proj"), self.columns(1));
            nudged(&mut attention, At::Attention(layer));
            add(&mut pass.residual, &attention);
            let h = self.normalized(&mut pass, self.block(layer, "post_attention_layernorm"), held);
            let mut mlp = self.mlp(layer, &h);
            nudged(&mut mlp, At::Mlp(layer));
            add(&mut pass.residual, &mlp);
        }
        pass
    }

    /// The logits of row `row` of the pass's last residual. Remembers what the final norm divides by.
    pub(crate) fn logits(&self, pass: &mut Pass, row: usize, held: &Held) -> Vec<f64> {
        let width = self.config.d_model;
        let row = pass.residual[row * width..][..width].to_vec();
        let rest = std::mem::replace(&mut pass.residual, row);
        let h = self.normalized(pass, self.tensor("model.norm.weight"), held);
        pass.residual = rest;
        let name = if self.config.tied { "model.embed_tokens.weight" } else { "lm_head.weight" };
        linear(&h, self.tensor(name), width)
    }

    fn normalized(&self, pass: &mut Pass, gain: &[f64], held: &Held) -> Vec<f64> {
        let width = self.config.d_model;
        let mut out = Vec::with_capacity(pass.residual.len());
        for row in pass.residual.chunks(width) {
            let own = (row.iter().map(|x| x * x).sum::<f64>() / width as f64 + self.config.rms_eps).sqrt();
            let scale = held.scales.as_ref().map_or(own, |scales| scales[pass.scales.len()]);
            pass.scales.push(scale);
            out.extend(row.iter().zip(gain).map(|(x, gain)| x / scale * gain));
        }
        out
    }

    /// Width of the heads of `per_query` (1: queries, else keys) side by side.
    const fn columns(&self, per_query: usize) -> usize {
        let heads = if per_query == 1 { self.config.n_heads } else { self.config.n_kv_heads };
        heads * self.config.head_dim
    }

    /// What the heads read: `[tokens, n_heads * head_dim]`.
    fn attention(&self, layer: usize, h: &[f64], held: &Held, pass: &mut Pass) -> Vec<f64> {
        let (d, width) = (self.config.d_model, self.config.head_dim);
        let project = |name: &str| linear(h, self.block(layer, &format!("self_attn.{name}")), d);
        let (mut q, mut k, v) = (project("q_proj"), project("k_proj"), project("v_proj"));
        let tokens = h.len() / d;
        for x in [&mut q, &mut k] {
            self.turn(x, tokens);
        }
        let (queries, keys) = (self.columns(1), self.columns(0));
        let group = self.config.n_heads / self.config.n_kv_heads;
        let mut z = vec![0.0; tokens * queries];
        for head in 0..self.config.n_heads {
            let at = head / group * width;
            for query in 0..tokens {
                let q = &q[query * queries + head * width..][..width];
                let scores =
                    (0..=query).map(|key| dot(q, &k[key * keys + at..][..width]) / (width as f64).sqrt());
                let exps: Vec<f64> = scores.map(f64::exp).collect();
                let sum: f64 = exps.iter().sum();
                let own: Vec<f64> = exps.into_iter().map(|exp| exp / sum).collect();
                let row = held.patterns.as_ref().map_or(own, |rows| rows[pass.patterns.len()].clone());
                for (key, weight) in row.iter().enumerate() {
                    for i in 0..width {
                        z[query * queries + head * width + i] += weight * v[key * keys + at + i];
                    }
                }
                pass.patterns.push(row);
            }
        }
        z
    }

    /// Turns every head of every row, a head's first half against its second.
    fn turn(&self, x: &mut [f64], tokens: usize) {
        let (half, frequencies) = (self.config.head_dim / 2, self.frequencies());
        let columns = x.len() / tokens;
        for (position, row) in x.chunks_mut(columns).enumerate() {
            for head in row.chunks_mut(2 * half) {
                for (i, frequency) in frequencies.iter().enumerate() {
                    let (sin, cos) = (position as f64 * frequency).sin_cos();
                    (head[i], head[half + i]) =
                        (head[i] * cos - head[half + i] * sin, head[half + i] * cos + head[i] * sin);
                }
            }
        }
    }

    fn frequencies(&self) -> Vec<f64> {
        let width = self.config.head_dim;
        let plain = (0..width / 2).map(|i| self.config.rope.theta.powf(-(2.0 * i as f64) / width as f64));
        match &self.config.rope.scaling {
            Scaling::None => plain.collect(),
            Scaling::Llama3 { factor, low, high, original_context } => plain
                .map(|f| {
                    let waves = original_context * f / std::f64::consts::TAU;
                    let share = ((waves - low) / (high - low)).clamp(0.0, 1.0);
                    share * f + (1.0 - share) * f / factor
                })
                .collect(),
            Scaling::Divisors(_) => panic!("no reference file has divisors"),
        }
    }

    fn mlp(&self, layer: usize, h: &[f64]) -> Vec<f64> {
        let project = |name: &str| linear(h, self.block(layer, &format!("mlp.{name}")), self.config.d_model);
        let gated: Vec<f64> = project("gate_proj")
            .iter()
            .zip(project("up_proj"))
            .map(|(gate, up)| gate / (1.0 + (-gate).exp()) * up)
            .collect();
        linear(&gated, self.block(layer, "mlp.down_proj"), self.config.d_mlp)
    }
}

/// `x: [rows, inputs]` times `weight: [outputs, inputs]` transposed.
fn linear(x: &[f64], weight: &[f64], inputs: usize) -> Vec<f64> {
    x.chunks(inputs).flat_map(|row| weight.chunks(inputs).map(|weight| dot(row, weight))).collect()
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn add(x: &mut [f64], y: &[f64]) {
    for (x, y) in x.iter_mut().zip(y) {
        *x += y;
    }
}
