//! Times a whole capture on a GPU, from prompts to committed Parquet: a random model in the shape of Llama 3.1 8B, three
//! dictionaries, prompts of 80 to 512 tokens, through the program's own pipeline. Prints a row of the table of
//! `bench-gpu`, and to stderr more.

#[path = "../tests/lake/described.rs"]
mod described;
mod made_prompts;
mod random_llama;

use std::collections::BTreeMap;
use std::env;
use std::error::Error;
use std::fs;
use std::io::{Write as _, stderr, stdout};
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use gpu::{Device, Kind};
use saelake::capture::{
    AttentionKept, Fused, PositionsKept, Progress, Run, Settings, Source, collect, commit_sizes,
};
use saelake::dictionary::Keep;
use saelake::game::{Decide, PromptGame};
use saelake::lake::Lake;
use saelake::model::{Config, OnGpu, Rope, Scaling};
use saelake::tokens::Tokenizer;

use made_prompts::{games, tokenizer};
use random_llama::{BLOCKS, CONTEXT, SHAPE, VOCABULARY, dictionary, flop, mixed, model};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

struct Options {
    tokens: usize,
    layers: Vec<usize>,
    attention: AttentionKept,
    /// Tokens of every prompt; those of `mixed` where it is not said.
    length: Option<usize>,
    folder: PathBuf,
    /// Games of a commit.
    commit: usize,
}

impl Options {
    fn read() -> Result<Self> {
        let folder = env::temp_dir().join("bench-capture");
        let mut options = Self {
            tokens: 1_000_000,
            layers: vec![8, 15, 31],
            attention: AttentionKept::Top(8),
            length: None,
            folder,
            commit: 500,
        };
        let mut words = env::args().skip(1).filter(|word| word != "--bench");
        while let Some(word) = words.next() {
            let value = words.next().ok_or_else(|| format!("{word} needs a value"))?;
            match word.as_str() {
                "--tokens" => options.tokens = value.parse()?,
                "--layers" if value == "all" => options.layers = (0..BLOCKS).collect(),
                "--layers" => {
                    options.layers =
                        value.split(',').map(str::parse).collect::<std::result::Result<_, _>>()?;
                }
                "--length" => options.length = Some(value.parse()?),
                "--attention" => options.attention = value.parse()?,
                "--commit" => options.commit = value.parse()?,
                "--folder" => options.folder = value.into(),
                _ => return Err(format!("there is no option {word}").into()),
            }
        }
        Ok(options)
    }
}

fn main() -> Result<()> {
    let started = Instant::now();
    let options = Options::read()?;
    let tokenizer = tokenizer(&options.folder)?;
    let games = match options.length {
        Some(length) => games(&vec![length; options.tokens / length]),
        None => games(&mixed(options.tokens)),
    };
    let model = random_model()?;
    let mut dictionaries = BTreeMap::new();
    for layer in &options.layers {
        dictionaries.insert(*layer, dictionary(&model.device, *layer, 64)?);
    }
    let settings = settings(&options);
    let fused = Fused::of(&model, dictionaries, &settings)?;
    writeln!(stderr(), "{}, ready after {:.2} s", model.device.name()?, started.elapsed().as_secs_f64())?;
    capture(&options, &model, &fused, &tokenizer, games)
}

fn random_model() -> Result<OnGpu> {
    let device = Device::open(0, Kind::Bf16, SHAPE.head)?;
    let llama = model(&device)?;
    Ok(OnGpu::of(device, llama, config()))
}

fn capture(
    options: &Options,
    model: &OnGpu,
    fused: &Fused<'_>,
    tokenizer: &Tokenizer,
    games: Vec<PromptGame>,
) -> Result<()> {
    let root = options.folder.join("lake");
    let mut lake = Lake::create_or_open(&root)?;
    let stop = AtomicBool::new(false);
    let run = Run {
        tokenizer,
        row: schemas::runs::Row {
            n_heads: SHAPE.n_heads as i32,
            n_layers: BLOCKS as i32,
            ..described::run()
        },
        dictionaries: options.layers.iter().map(|layer| described::dictionary(*layer as i32)).collect(),
        positions: PositionsKept::All,
        commits: commit_sizes(games.len(), options.commit),
        stop: &stop,
    };
    let ceiling = model.device.product_rate(&SHAPE)?;
    let (n_games, start, mut commits) = (games.len(), Instant::now(), Vec::new());
    model.device.start_clock();
    let summary = collect(fused, run, Source::Prompts(games), &mut lake, |progress| {
        commits.push((start.elapsed().as_secs_f64(), progress.tokens));
    })?;
    let seconds = start.elapsed().as_secs_f64();
    report(options, &model.device, &summary.committed, (seconds, ceiling))?;
    writeln!(stderr(), "{n_games} prompts; seconds after the first: tokens committed")?;
    for (at, tokens) in commits {
        writeln!(stderr(), "    {at:6.2}: {tokens}")?;
    }
    Ok(fs::remove_dir_all(&root)?)
}

/// A row of the table, and to stderr what the device did.
fn report(
    options: &Options,
    device: &Device,
    committed: &Progress,
    (seconds, ceiling): (f64, f64),
) -> Result<()> {
    let (times, span) = device.stop_clock()?;
    let (busy, span) = (times.values().map(|(_, time)| time / 1e3).sum::<f64>(), span / 1e3);
    let (tokens, bytes) = (committed.tokens as f64, committed.bytes as f64);
    let (rate, n_layers) = (tokens / seconds, options.layers.len());
    let lengths = options.length.map_or_else(|| "mixed".to_owned(), |length| length.to_string());
    let title = format!("{lengths}, {n_layers} layers, attention {}", options.attention);
    let (share, idle) = (100.0 * rate * flop(n_layers) / ceiling, 100.0 * (1.0 - busy / span));
    let memory = device.peak_memory()? as f64 / 1e9;
    writeln!(
        stdout(),
        "| saelake, to committed Parquet | {title} | {rate:.0} | {share:.0} % | {idle:.1} % | {memory:.1} GB |"
    )?;
    writeln!(
        stderr(),
        "{tokens} tokens, {:.2} GB, {:.0} bytes a token; {seconds:.2} s, {span:.2} s from the GPU's first work to its \
         last, of which it was busy {busy:.2} s",
        bytes / 1e9,
        bytes / tokens
    )?;
    Ok(())
}

fn config() -> Config {
    Config {
        d_model: SHAPE.d_model,
        n_layers: BLOCKS,
        n_heads: SHAPE.n_heads,
        n_kv_heads: SHAPE.n_kv_heads,
        head_dim: SHAPE.head,
        d_mlp: SHAPE.d_ff,
        vocab: VOCABULARY,
        context: CONTEXT,
        rms_eps: f64::from(SHAPE.eps),
        rope: Rope { theta: 500_000.0, scaling: Scaling::None },
        tied: false,
        bos: None,
        eos: vec![1],
    }
}

fn settings(options: &Options) -> Settings {
    Settings {
        layers: options.layers.clone(),
        keep: Keep::Top(64),
        attention: options.attention,
        decide: Decide::Choice,
        temperature: 0.0,
        max_new_tokens: 1,
        batch_tokens: 16_384,
    }
}
