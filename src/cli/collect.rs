//! `saelake collect`: resolve what is asked for, open everything, run, say what happened.

use std::path::PathBuf;
use std::time::Instant;

use burn::tensor::Device;

use super::device::Machine;
use super::options::Options;
use super::outlook::{OF_FUSED, Outlook, mean_tokens, plain_rate};
use super::request::{Games, Request};
use super::run_rows::{Described, Facts, describe};
use super::shard::Shard;
use super::stop::stop_when_asked;
use super::verify::judge;
use super::{Ending, dictionaries, ui};
use crate::capture::{
    AttentionKept, CaptureError, Engine, Fused, PACKING_AGREES, PositionsKept, Prepared, Progress, Reader,
    Run, Settings, Summary, collect, packing_difference,
};
use crate::dictionary::{Dictionary, Keep, Measured};
use crate::error::{Error, UsageError};
use crate::game::{BetType, Decide, Rules};
use crate::lake::{ACTIVATION_BITS, Lake, LakeError, check_place};
use crate::model::{self, Dtype, Model, Opened};

/// Tokens of the first prompts that a run is checked on before it begins.
const LOOKED_AT: usize = 2048;

/// Everything asked for, checked as far as it can be without opening a model.
pub(super) struct Plan {
    pub(super) options: Options,
    pub(super) lake: PathBuf,
    pub(super) model: String,
    pub(super) machine: Machine,
    pub(super) dtype: Dtype,
    pub(super) seed: u64,
    pub(super) keep: Keep,
    pub(super) attention: AttentionKept,
    pub(super) positions: PositionsKept,
    pub(super) activation_bits: i32,
    pub(super) decide: Decide,
    pub(super) games: Games,
    /// The part of the games that this process does, if it is not all of them.
    pub(super) shard: Option<Shard>,
}

/// Plays or runs what the options ask for.
pub(super) fn run(options: Options) -> Result<Ending, Error> {
    let started = Instant::now();
    let plan = Plan::resolve(options.with_file()?)?;
    match &plan.machine {
        Machine::Plain(device) => {
            let opened = model::open(&plan.model, device, plan.dtype)?;
            let dictionaries = plan.open_dictionaries(&opened, device)?;
            let settings = plan.settings(plan.layers(&opened, &dictionaries)?);
            let reader = Reader { llama: &opened.llama, dictionaries: &dictionaries, settings: &settings };
            let rate = plain_rate(device, opened.llama.config());
            go(&plan, &opened, (&reader, rate), &dictionaries, started)
        }
        Machine::Fused(number) => {
            let (opened, dictionaries) = plan.open_on_gpu(*number)?;
            let mut settings = plan.settings(plan.layers(&opened, &dictionaries)?);
            plan.fit(&opened.llama, &dictionaries, &mut settings)?;
            let fused = Fused::new(&opened.llama, &dictionaries, &settings)?;
            let rate = opened.llama.device.product_rate(&opened.llama.llama.shape);
            let rate = OF_FUSED * rate.map_err(CaptureError::from)?;
            go(&plan, &opened, (&fused, rate), &dictionaries, started)
        }
    }
}

/// Plays or runs what the plan asks for by `engine`.
fn go<M: Model>(
    plan: &Plan,
    opened: &Opened<M>,
    (engine, rate): (&dyn Engine, f64),
    dictionaries: &[Dictionary],
    started: Instant,
) -> Result<Ending, Error> {
    let settings = engine.settings();
    let Request { source, commits, first_key } = plan.request()?;
    let total = source.n_games();
    if total == 0 {
        ui::note("every game asked for is in the lake already");
        return Ok(Ending::Done);
    }
    let context = opened.llama.config().context;
    let budget = settings.batch_tokens.min(LOOKED_AT);
    let first = source.first_steps(&opened.tokenizer, settings.decide, context, budget);
    let measured = plan.verify(opened, engine, dictionaries, &first)?;
    let packing_difference = check_packing(engine, &first)?;
    let facts = Facts { settings, dictionaries, measured: &measured, first: &first, packing_difference };
    let about = (settings, dictionaries);
    let outlook = Outlook::of(plan, opened.llama.config(), about, (rate, mean_tokens(&first)))?;
    let Described { run: row, dictionaries: rows } = describe(plan, opened, &facts, first_key);
    // Only now, so that a request that is refused leaves nothing behind.
    let mut lake = Lake::create_or_open(&plan.lake)?;
    lake.check_compatible(&row, &rows)?;
    let stop = stop_when_asked();
    let run = Run {
        tokenizer: &opened.tokenizer,
        row,
        dictionaries: rows,
        positions: plan.positions,
        commits,
        stop: &stop,
    };
    let (bar, began) = (ui::progress(total as u64, "games"), Instant::now());
    let summary = collect(engine, run, source, &mut lake, |progress: Progress| {
        bar.set_message(format!("{} steps, {} tokens", progress.steps, progress.tokens));
        bar.inc(progress.games);
    });
    bar.finish_and_clear();
    let summary = summary?;
    report(&summary, plan, started);
    outlook.compare(summary.committed.tokens, summary.committed.bytes, began.elapsed().as_secs_f64());
    Ok(match summary {
        Summary { interrupted: true, .. } => Ending::Interrupted,
        Summary { failed_steps: 1.., .. } => Ending::StepsFailed,
        _ => Ending::Done,
    })
}

impl Plan {
    pub(super) fn resolve(options: Options) -> Result<Self, Error> {
        let (options, shard) = Shard::of(options)?;
        let lake = options.lake.clone().ok_or(UsageError::Missing("lake"))?;
        check_place(&lake)?;
        let keep = match options.top_k.as_deref() {
            Some("all") => Keep::All,
            Some(word) => Keep::Top(parse_positive("top-k", word, "a number above 0, or `all`")?),
            None => Keep::Top(64),
        };
        let attention = match &options.attention {
            Some(word) => parse("attention", word, "`decision`, `top:K` or `full`")?,
            None => AttentionKept::Top(8),
        };
        let positions = match &options.positions {
            Some(word) => parse("positions", word, "`all`, `new` or `last`")?,
            None => PositionsKept::All,
        };
        let activation_bits = match options.activation_bits {
            Some(bits) => parse_bits(bits)?,
            None => ACTIVATION_BITS,
        };
        let decide = match &options.decide {
            Some(word) => parse("decide", word, "`choice` or `generate`")?,
            None => Decide::Choice,
        };
        let dtype = options.dtype.as_deref().map(|word| parse("dtype", word, "f32, bf16 or f16"));
        let dtype = dtype.transpose()?;
        let can_be_fused = dtype != Some(Dtype::F32) && keep != Keep::All && attention != AttentionKept::Full;
        let machine = Machine::of(options.device.as_deref().unwrap_or("auto"), can_be_fused)?;
        let usual = if machine.is_gpu() { Dtype::Bf16 } else { Dtype::F32 };
        Ok(Self {
            lake,
            model: options
                .model
                .clone()
                .unwrap_or_else(|| model::default_model().to_string_lossy().into_owned()),
            machine,
            dtype: dtype.unwrap_or(usual),
            seed: options.seed.unwrap_or(0),
            keep,
            attention,
            positions,
            activation_bits,
            decide,
            games: Games::asked(&options)?,
            shard,
            options,
        })
    }

    /// The lake, if there is one already.
    pub(super) fn lake_so_far(&self) -> Result<Option<Lake>, LakeError> {
        Lake::open_if_there(&self.lake)
    }

    /// Whether passes are gone on from: amounts of a bet are weighed after the prompt.
    pub(super) fn remembers(&self) -> bool {
        let is_variable = |rules: &Rules| rules.bet_type == BetType::Variable;
        self.decide == Decide::Choice
            && matches!(&self.games, Games::SlotMachine { rules, .. } if is_variable(rules))
    }

    pub(super) fn open_dictionaries<M: Model>(
        &self,
        opened: &Opened<M>,
        device: &Device,
    ) -> Result<Vec<Dictionary>, Error> {
        match self.options.dictionary.as_slice() {
            [none] if none == "none" => Ok(Vec::new()),
            places => dictionaries::open(opened, places, &self.options.layers, device),
        }
    }

    pub(super) fn without_dictionaries(&self) -> bool {
        self.options.dictionary == ["none"]
    }

    /// The captured blocks: those asked for, or those of the dictionaries.
    pub(super) fn layers<M: Model>(
        &self,
        opened: &Opened<M>,
        dictionaries: &[Dictionary],
    ) -> Result<Vec<usize>, UsageError> {
        let have: Vec<usize> = dictionaries.iter().map(|dictionary| dictionary.hook.layer).collect();
        let mut layers =
            if self.options.layers.is_empty() { have.clone() } else { self.options.layers.clone() };
        layers.sort_unstable();
        layers.dedup();
        let n_layers = opened.llama.config().n_layers;
        if let Some(layer) = layers.iter().find(|layer| **layer >= n_layers) {
            return Err(UsageError::Layer { layer: *layer, layers: n_layers });
        }
        let lacking = |layer: &&usize| !self.without_dictionaries() && !have.contains(layer);
        if let Some(layer) = layers.iter().find(lacking) {
            let have = have.iter().map(usize::to_string).collect::<Vec<_>>().join(", ");
            return Err(UsageError::LayerWithoutDictionary { layer: *layer, have });
        }
        if layers.is_empty() { Err(UsageError::NoLayers) } else { Ok(layers) }
    }

    pub(super) fn settings(&self, layers: Vec<usize>) -> Settings {
        let batch_tokens = if self.machine.is_gpu() { 16_384 } else { 2048 };
        Settings {
            layers,
            keep: self.keep,
            attention: self.attention,
            decide: self.decide,
            temperature: self.options.temperature.unwrap_or(0.7),
            max_new_tokens: self.options.max_new_tokens.unwrap_or(100),
            batch_tokens: self.options.batch_tokens.unwrap_or(batch_tokens),
        }
    }

    /// Refuses an implausible dictionary, or says that it is used all the same.
    fn verify<M: Model>(
        &self,
        opened: &Opened<M>,
        engine: &dyn Engine,
        dictionaries: &[Dictionary],
        first: &[Prepared],
    ) -> Result<Vec<(Measured, bool)>, Error> {
        let mut measured = Vec::new();
        for verdict in judge(opened, engine, dictionaries, first)? {
            let verified = verdict.plausible.is_ok();
            if let Err(error) = verdict.plausible {
                if !self.options.allow_unverified_dictionary {
                    return Err(error.into());
                }
                ui::note(&format!("warning: {error}; used all the same, and the lake records it"));
            }
            measured.push((verdict.measured, verified));
        }
        Ok(measured)
    }
}

/// Measures what packing changes, and says so if it is much.
fn check_packing(engine: &dyn Engine, first: &[Prepared]) -> Result<f32, CaptureError> {
    let difference = packing_difference(engine, first)?;
    if difference > PACKING_AGREES {
        ui::note(&format!(
            "warning: steps packed into one pass differ from the same steps alone by {:.1} %; \
             --batch-tokens 1 runs each alone",
            100.0 * difference
        ));
    }
    Ok(difference)
}

/// Reads the value of an option.
pub(super) fn parse<T: std::str::FromStr>(
    option: &'static str,
    word: &str,
    expected: &'static str,
) -> Result<T, UsageError> {
    word.parse().map_err(|_| UsageError::Value { option, value: word.to_owned(), expected })
}

fn parse_positive(option: &'static str, word: &str, expected: &'static str) -> Result<usize, UsageError> {
    match parse(option, word, expected)? {
        0 => Err(UsageError::Value { option, value: word.to_owned(), expected }),
        count => Ok(count),
    }
}

fn parse_bits(bits: u32) -> Result<i32, UsageError> {
    let expected = "a number from 1 to 23";
    let refused = || UsageError::Value { option: "activation-bits", value: bits.to_string(), expected };
    i32::try_from(bits).ok().filter(|bits| (1..=ACTIVATION_BITS).contains(bits)).ok_or_else(refused)
}

fn report(summary: &Summary, plan: &Plan, started: Instant) {
    let Progress { games, steps, tokens, bytes } = summary.committed;
    let seconds = started.elapsed().as_secs_f64();
    let each = bytes as f64 / (tokens.max(1)) as f64;
    ui::note(&format!(
        "{games} games, {steps} steps, {tokens} tokens added to {} in {seconds:.1} s: {bytes} bytes, {each:.0} a token",
        plan.lake.display(),
    ));
    if summary.left_out > 0 {
        ui::note(&format!(
            "{} of these games were added by another process meanwhile and are left out",
            summary.left_out
        ));
    }
    if summary.failed_steps > 0 {
        ui::note(&format!("{} steps could not run; `steps.error` says why", summary.failed_steps));
    }
    if summary.interrupted {
        ui::note("interrupted: games under way were dropped; the same command goes on from here");
    }
}
