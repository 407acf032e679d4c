//! Times prefill and decoding of the default model on the CPU against candle-transformers: the same weights,
//! taken from the same GGUF file and dequantized, in f32, on the same threads, in rounds that alternate
//! between the two so that what else the machine does hits both.

use std::collections::{BTreeSet, HashMap};
use std::error::Error;
use std::io::Write;
use std::time::{Duration, Instant};

use burn::tensor::{Device as BurnDevice, Tensor as BurnTensor};
use candle_core::quantized::gguf_file::Content;
use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use candle_transformers::models::llama;
use saelake::model::{Cache, Config, Dtype, Llama, Packed, Scaling, default_model, open_llama};

/// Tokens of the prompt.
const PROMPT: usize = 512;
/// Tokens held before decoding starts, and tokens then decoded one by one.
const PAST: usize = 128;
const DECODED: usize = 16;
/// Timed rounds; one more comes first and is not counted.
const ROUNDS: usize = 7;
/// How far the two may be apart: f32 on both sides, summed in other orders.
const AGREEMENT: f32 = 1e-3;

/// What is timed, and what it gives to compare with.
trait Contender {
    /// Runs a prompt; the logits after its last token.
    fn prefill(&mut self, ids: &[u32]) -> Result<Vec<f32>, Box<dyn Error>>;
    /// Runs the first `PAST` ids, and then the others one by one; how long those took.
    fn decode(&mut self, ids: &[u32]) -> Result<Duration, Box<dyn Error>>;
}

fn main() -> Result<(), Box<dyn Error>> {
    let path = default_model();
    let source = path.to_str().ok_or("the model's path is not text")?;
    let (llama, ..) = open_llama(source, &BurnDevice::flex(), Dtype::F32)?;
    let config = llama.config().clone();
    let mut candle = Candle::open(source, &config)?;
    let mut saelake = Saelake { llama };

    let ids: Vec<u32> = (0..PROMPT as u64)
        .map(|i| (i * i * 7919 + 31 * i) % config.vocab as u64)
        .map(|id| id as u32)
        .collect();
    agree(&saelake.prefill(&ids)?, &candle.prefill(&ids)?)?;

    let mut times: [Vec<Duration>; 4] = Default::default();
    for round in 0..=ROUNDS {
        let contenders: [&mut dyn Contender; 2] = [&mut saelake, &mut candle];
        for (index, contender) in contenders.into_iter().enumerate() {
            let start = Instant::now();
            contender.prefill(&ids)?;
            let prefill = start.elapsed();
            let decode = contender.decode(&ids[..PAST + DECODED])?;
            if round > 0 {
                times[index].push(prefill);
                times[2 + index].push(decode);
            }
        }
    }
    report(times)
}

/// Refuses to compare two that compute different things.
fn agree(ours: &[f32], theirs: &[f32]) -> Result<(), Box<dyn Error>> {
    let scale = theirs.iter().fold(0.0_f32, |scale, x| scale.max(x.abs()));
    let apart = ours.iter().zip(theirs).fold(0.0_f32, |worst, (a, b)| worst.max((a - b).abs())) / scale;
    if ours.len() == theirs.len() && apart <= AGREEMENT {
        return Ok(());
    }
    Err(format!("the two compute different logits: {apart:e} apart").into())
}

fn report(times: [Vec<Duration>; 4]) -> Result<(), Box<dyn Error>> {
    let threads = std::thread::available_parallelism()?;
    let mut out = std::io::stdout().lock();
    writeln!(
        out,
        "SmolLM2-135M-Instruct in f32 on {threads} threads, medians of {ROUNDS} rounds, tokens/s\n"
    )?;
    writeln!(out, "{:<22} {:>9} {:>9} {:>7}", "", "saelake", "candle", "ratio")?;
    let [ours_prefill, theirs_prefill, ours_decode, theirs_decode] = times;
    for (name, tokens, ours, theirs) in [
        (format!("prefill of {PROMPT}"), PROMPT, ours_prefill, theirs_prefill),
        (format!("decode after {PAST}"), DECODED, ours_decode, theirs_decode),
    ] {
        let [ours, theirs] = [ours, theirs].map(|times| tokens as f64 / median(times).as_secs_f64());
        writeln!(out, "{name:<22} {ours:>9.1} {theirs:>9.1} {:>7.2}", ours / theirs)?;
    }
    Ok(())
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

struct Saelake {
    llama: Llama,
}

impl Saelake {
    /// The logits after the last row.
    fn last(&self, residual: BurnTensor<2>) -> Result<Vec<f32>, Box<dyn Error>> {
        let [rows, _] = residual.dims();
        let logits = self.llama.logits(residual.slice(rows - 1..rows));
        logits.into_data().try_into_vec().map_err(|error| format!("{error:?}").into())
    }
}

impl Contender for Saelake {
    fn prefill(&mut self, ids: &[u32]) -> Result<Vec<f32>, Box<dyn Error>> {
        self.last(self.llama.forward(&Packed::new([ids]), &mut ()))
    }

    fn decode(&mut self, ids: &[u32]) -> Result<Duration, Box<dyn Error>> {
        let mut cache = [Cache::new()];
        self.last(self.llama.extend(&Packed::new([&ids[..PAST]]), &mut cache, &mut ()))?;
        let start = Instant::now();
        for id in ids[PAST..].chunks(1) {
            self.last(self.llama.extend(&Packed::new([id]), &mut cache, &mut ()))?;
        }
        Ok(start.elapsed())
    }
}

struct Candle {
    llama: llama::Llama,
    empty: llama::Cache,
}

impl Candle {
    /// Reads the GGUF file by candle alone.
    fn open(path: &str, config: &Config) -> Result<Self, Box<dyn Error>> {
        if config.rope.scaling != Scaling::None {
            return Err("candle would need the rope scaling too".into());
        }
        let device = Device::Cpu;
        let mut file = std::io::BufReader::new(std::fs::File::open(path)?);
        let content = Content::read(&mut file)?;
        let mut tensors = HashMap::new();
        let names: BTreeSet<&String> = content.tensor_infos.keys().collect();
        for name in names {
            let tensor = content.tensor(&mut file, name, &device)?.dequantize(&device)?;
            let (name, heads) = renamed(name, config)?;
            let tensor = heads.map_or(Ok(tensor.clone()), |heads| half_split(&tensor, heads))?;
            tensors.insert(name, tensor);
        }
        let config = llama::Config {
            hidden_size: config.d_model,
            intermediate_size: config.d_mlp,
            vocab_size: config.vocab,
            num_hidden_layers: config.n_layers,
            num_attention_heads: config.n_heads,
            num_key_value_heads: config.n_kv_heads,
            use_flash_attn: false,
            rms_norm_eps: config.rms_eps,
            rope_theta: config.rope.theta as f32,
            bos_token_id: None,
            eos_token_id: None,
            rope_scaling: None,
            max_position_embeddings: config.context,
            tie_word_embeddings: config.tied,
        };
        let weights = VarBuilder::from_tensors(tensors, DType::F32, &device);
        Ok(Self {
            llama: llama::Llama::load(weights, &config)?,
            empty: llama::Cache::new(true, DType::F32, &config, &device)?,
        })
    }

    fn run(&self, ids: &[u32], past: usize, cache: &mut llama::Cache) -> Result<Vec<f32>, Box<dyn Error>> {
        let ids = Tensor::new(ids, &Device::Cpu)?.unsqueeze(0)?;
        Ok(self.llama.forward(&ids, past, cache)?.flatten_all()?.to_vec1()?)
    }
}

impl Contender for Candle {
    fn prefill(&mut self, ids: &[u32]) -> Result<Vec<f32>, Box<dyn Error>> {
        self.run(ids, 0, &mut self.empty.clone())
    }

    fn decode(&mut self, ids: &[u32]) -> Result<Duration, Box<dyn Error>> {
        let mut cache = self.empty.clone();
        self.run(&ids[..PAST], 0, &mut cache)?;
        let start = Instant::now();
        for (index, id) in ids[PAST..].chunks(1).enumerate() {
            self.run(id, PAST + index, &mut cache)?;
        }
        Ok(start.elapsed())
    }
}

/// Hugging Face's name of a GGUF tensor, and its heads where llama.cpp permuted its rows.
fn renamed(name: &str, config: &Config) -> Result<(String, Option<usize>), Box<dyn Error>> {
    let Some(rest) = name.strip_prefix("blk.") else {
        let renamed = match name {
            "token_embd.weight" => "model.embed_tokens.weight",
            "output_norm.weight" => "model.norm.weight",
            "output.weight" => "lm_head.weight",
            _ => return Err(format!("no Llama has a tensor `{name}`").into()),
        };
        return Ok((renamed.to_owned(), None));
    };
    let (layer, part) = rest.split_once('.').ok_or("a block's tensor has a layer and a part")?;
    let (renamed, heads) = match part {
        "attn_norm.weight" => ("input_layernorm", None),
        "attn_q.weight" => ("self_attn.q_proj", Some(config.n_heads)),
        "attn_k.weight" => ("self_attn.k_proj", Some(config.n_kv_heads)),
        "attn_v.weight" => ("self_attn.v_proj", None),
        "attn_output.weight" => ("self_attn.o_proj", None),
        "ffn_norm.weight" => ("post_attention_layernorm", None),
        "ffn_gate.weight" => ("mlp.gate_proj", None),
        "ffn_up.weight" => ("mlp.up_proj", None),
        "ffn_down.weight" => ("mlp.down_proj", None),
        _ => return Err(format!("no Llama has a tensor `{name}`").into()),
    };
    Ok((format!("model.layers.{layer}.{renamed}.weight"), heads))
}

/// Rows of queries or keys in Hugging Face's order: llama.cpp puts the numbers of a rotated pair side by side.
fn half_split(rows: &Tensor, heads: usize) -> candle_core::Result<Tensor> {
    let (outputs, inputs) = rows.dims2()?;
    let pairs = outputs / heads / 2;
    rows.reshape((heads, pairs, 2, inputs))?.transpose(1, 2)?.contiguous()?.reshape((outputs, inputs))
}
