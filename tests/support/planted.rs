//! A Llama of three blocks whose weights are written here, so that it is known what decides.
//!
//! The numbers of a residual, by dimension: 0 a constant; 1 this is the balance; 2 the balance's value, +1 or −1; 3 this is
//! the decision; 4 the same value again, on the balance and on an echo of it; 5 what decides; 6 and 7 copies of
//! dimension 4; 8 to 10 the fillers' own; 11 this is the echo; 15 a copy of dimension 6.
//!
//! Block 1, head 1 looks from the decision at the balance and writes dimension 2 to dimension 5, and the unembedding reads
//! dimension 5 alone. Everything else correlates with the decision and does nothing: dimension 4 on two tokens, which head
//! 0 of blocks 0 and 1 copies from the echo to dimensions 7 and 6, and the MLP of block 2, which copies dimension 6. What
//! differs between the prompts differs in sign alone, so that the norms are the same whatever is exchanged.

use burn::tensor::{Device, Tensor, TensorData};
use saelake::dictionary::{Activation, Dictionary, Expected, Format, Input, Provenance};
use saelake::model::{Dtype, Hook, Llama, open_llama};
use safetensors::tensor::TensorView;

/// Width of the residual stream.
const D_MODEL: usize = 16;
/// Width of a head.
const HEAD: usize = 8;
/// Width of an MLP.
const D_MLP: usize = 4;
/// Token ids.
const VOCAB: usize = 12;
/// The block and the head that carry the decision.
pub(crate) const LAYER: usize = 1;
pub(crate) const HEAD_INDEX: usize = 1;
/// Where the balance, its echo and the decision are in the prompts.
pub(crate) const BALANCE: usize = 2;
pub(crate) const ECHO: usize = 4;
pub(crate) const DECISION: usize = 6;
/// The planted feature of the dictionary of block 0, on the balance, and of block 1, on the decision.
pub(crate) const FEATURES: [(usize, u32); 2] = [(0, 2), (1, 1)];
/// The tokens of a bet and of a stop.
pub(crate) const BET: u32 = 10;
pub(crate) const STOP: u32 = 11;

const LOW: u32 = 1;
const HIGH: u32 = 2;
const DECIDE: u32 = 3;
const ECHO_LOW: u32 = 4;
const ECHO_HIGH: u32 = 5;

/// The model, its dictionaries after blocks 0 and 1, and a pair of prompts.
pub(crate) struct Planted {
    pub(crate) llama: Llama,
    pub(crate) dictionaries: Vec<Dictionary>,
    /// High balance, high echo: the model bets.
    pub(crate) clean: Vec<u32>,
    /// Low balance, low echo: the model stops.
    pub(crate) corrupted: Vec<u32>,
}

/// The planted model.
pub(crate) fn planted() -> Planted {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path());
    let source = folder.path().to_str().unwrap();
    let (llama, ..) = open_llama(source, &Device::flex(), Dtype::F32).unwrap();
    let prompt = |balance, echo| vec![0, 6, balance, 7, echo, 8, DECIDE];
    Planted {
        llama,
        // Block 0: the echo, its copy, the value. Block 1: the copy of the echo, what decides, the other copy, a constant.
        dictionaries: vec![dictionary(0, &[4, 7, 2, 0]), dictionary(1, &[6, 5, 7, 0])],
        clean: prompt(HIGH, ECHO_HIGH),
        corrupted: prompt(LOW, ECHO_LOW),
    }
}

/// A dictionary of which each feature reads one dimension and writes it. It adds 3 first, so that every feature fires on
/// both prompts.
fn dictionary(layer: usize, dimensions: &[usize]) -> Dictionary {
    const OFFSET: f32 = 3.0;
    let (device, d_sae) = (Device::flex(), dimensions.len());
    let mut w_enc = Matrix::new(D_MODEL, d_sae);
    let mut w_dec = Matrix::new(d_sae, D_MODEL);
    let mut b_dec = vec![0.0; D_MODEL];
    for (feature, dimension) in dimensions.iter().enumerate() {
        w_enc.set(*dimension, feature, 1.0);
        w_dec.set(feature, *dimension, 1.0);
        b_dec[*dimension] = -OFFSET;
    }
    let vector = |numbers: Vec<f32>| {
        let length = numbers.len();
        Tensor::<1>::from_data(TensorData::new(numbers, [length]), &device)
    };
    Dictionary {
        hook: Hook::resid_post(layer),
        d_in: D_MODEL,
        d_sae,
        input: Input::None,
        w_enc: w_enc.tensor(&device),
        b_enc: vector(vec![OFFSET; d_sae]),
        subtracts_decoder_bias: false,
        activation: Activation::Relu,
        w_dec: w_dec.tensor(&device),
        b_dec: vector(b_dec),
        output_scale: 1.0,
        decoder_norms: vec![1.0; d_sae],
        provenance: Provenance {
            format: Format::SaeLens,
            source: "planted".to_owned(),
            revision: None,
            hash: format!("planted {layer}"),
            neuronpedia: None,
            expected: Expected::default(),
        },
    }
}

/// A matrix of zeros, until something is set.
struct Matrix {
    rows: usize,
    columns: usize,
    numbers: Vec<f32>,
}

impl Matrix {
    fn new(rows: usize, columns: usize) -> Self {
        Self { rows, columns, numbers: vec![0.0; rows * columns] }
    }

    fn set(&mut self, row: usize, column: usize, number: f32) {
        self.numbers[row * self.columns + column] = number;
    }

    fn tensor(self, device: &Device) -> Tensor<2> {
        Tensor::from_data(TensorData::new(self.numbers, [self.rows, self.columns]), device)
    }
}

/// Writes the model's folder: its configuration and its weights, `[outputs, inputs]`.
fn write(folder: &std::path::Path) {
    let config = serde_json::json!({
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": D_MODEL,
        "num_hidden_layers": 3, "num_attention_heads": 2, "num_key_value_heads": 2, "head_dim": HEAD,
        "intermediate_size": D_MLP, "vocab_size": VOCAB, "max_position_embeddings": 64, "rms_norm_eps": 1e-6,
        // So slow that the last pair of a head does not turn within a prompt.
        "rope_theta": 1e12, "tie_word_embeddings": false, "hidden_act": "silu",
    });
    std::fs::write(folder.join("config.json"), config.to_string()).unwrap();
    let tensors = weights();
    let bytes: Vec<(String, Vec<usize>, Vec<u8>)> = tensors
        .into_iter()
        .map(|(name, shape, numbers)| (name, shape, numbers.iter().flat_map(|x| x.to_le_bytes()).collect()))
        .collect();
    let views = bytes.iter().map(|(name, shape, bytes)| {
        (name.as_str(), TensorView::new(safetensors::Dtype::F32, shape.clone(), bytes).unwrap())
    });
    let file = safetensors::serialize(views.collect::<Vec<_>>(), None).unwrap();
    std::fs::write(folder.join("model.safetensors"), file).unwrap();
}

/// The tensors by Hugging Face's names.
fn weights() -> Vec<(String, Vec<usize>, Vec<f32>)> {
    let mut unembed = Matrix::new(VOCAB, D_MODEL);
    unembed.set(BET as usize, 5, 1.0);
    unembed.set(STOP as usize, 5, -1.0);
    let mut all = vec![
        entry("model.embed_tokens.weight".to_owned(), embeddings()),
        ("model.norm.weight".to_owned(), vec![D_MODEL], vec![1.0; D_MODEL]),
        entry("lm_head.weight".to_owned(), unembed),
    ];
    for layer in 0..3 {
        let name = |part: &str| format!("model.layers.{layer}.{part}.weight");
        for norm in ["input_layernorm", "post_attention_layernorm"] {
            all.push((name(norm), vec![D_MODEL], vec![1.0; D_MODEL]));
        }
        let [query, key, value, output] = attention(layer);
        for (part, matrix) in [("q", query), ("k", key), ("v", value), ("o", output)] {
            all.push(entry(name(&format!("self_attn.{part}_proj")), matrix));
        }
        let [gate, up, down] = mlp(layer);
        for (part, matrix) in [("gate", gate), ("up", up), ("down", down)] {
            all.push(entry(name(&format!("mlp.{part}_proj")), matrix));
        }
    }
    all
}

fn entry(name: String, matrix: Matrix) -> (String, Vec<usize>, Vec<f32>) {
    (name, vec![matrix.rows, matrix.columns], matrix.numbers)
}

fn embeddings() -> Matrix {
    let mut embed = Matrix::new(VOCAB, D_MODEL);
    for token in 0..VOCAB {
        embed.set(token, 0, 1.0);
    }
    for (token, value) in [(LOW, -1.0), (HIGH, 1.0)] {
        embed.set(token as usize, 1, 1.0);
        embed.set(token as usize, 2, value);
        embed.set(token as usize, 4, value);
    }
    for (token, value) in [(ECHO_LOW, -1.0), (ECHO_HIGH, 1.0)] {
        embed.set(token as usize, 4, value);
        embed.set(token as usize, 11, 1.0);
    }
    embed.set(DECIDE as usize, 3, 1.0);
    for token in 6..9 {
        embed.set(token, 2 + token, 0.5);
    }
    embed
}

/// Queries, keys, values and outputs. A head that sees nothing to look at looks everywhere alike.
fn attention(layer: usize) -> [Matrix; 4] {
    let [mut query, mut key, mut value] = [(); 3].map(|()| Matrix::new(2 * HEAD, D_MODEL));
    let mut output = Matrix::new(D_MODEL, 2 * HEAD);
    // The last number of a head's first half belongs to the pair that turns slowest.
    let still = HEAD / 2 - 1;
    if layer == LAYER {
        let first = HEAD_INDEX * HEAD;
        query.set(first + still, 3, 4.0);
        key.set(first + still, 1, 4.0);
        value.set(first, 2, 1.0);
        output.set(5, first, 1.0);
    }
    if layer < 2 {
        query.set(still, 0, 4.0);
        key.set(still, 11, 4.0);
        value.set(0, 4, 1.0);
        output.set(if layer == 0 { 7 } else { 6 }, 0, 1.0);
    }
    [query, key, value, output]
}

/// Gate, up and down.
fn mlp(layer: usize) -> [Matrix; 3] {
    let [mut gate, mut up] = [(); 2].map(|()| Matrix::new(D_MLP, D_MODEL));
    let mut down = Matrix::new(D_MODEL, D_MLP);
    if layer == 2 {
        gate.set(0, 0, 1.0);
        up.set(0, 6, 1.0);
        down.set(15, 0, 1.0);
    }
    [gate, up, down]
}
