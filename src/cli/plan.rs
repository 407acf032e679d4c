//! `saelake plan`: what a `collect` with the same options will take, without running it.

use std::fmt::Write as _;

use burn::tensor::Device;
use rayon::prelude::*;
use serde_json::{Map, Value, json};

use super::collect::Plan;
use super::device::Machine;
use super::outlook::{OF_FUSED, Outlook, mean_tokens, plain_rate};
use super::request::Request;
use super::{Ending, options, ui};
use crate::capture::{Extent, Footprint, Prepared, Settings, Source, prepare};
use crate::dictionary::Dictionary;
use crate::error::Error;
use crate::game::PromptGame;
use crate::lake::check_room;
use crate::model::{self, Config, Opened, shape};

/// Steps of a slot-machine game, where the lake does not tell. The default model stops after about as many.
const STEPS_A_GAME: u64 = 6;

/// Say what a `collect` with the same options will take: memory, time, disk. Refuses what cannot fit.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Asked {
    #[command(flatten)]
    collect: options::Options,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What is told, name by name.
type Told = Map<String, Value>;

/// Does what is asked.
pub(super) fn run(asked: Asked) -> Result<Ending, Error> {
    let plan = Plan::resolve(asked.collect.with_file()?)?;
    let opened = model::open_shape(&plan.model, plan.options.dictionary.is_empty())?;
    let dictionaries = plan.open_dictionaries(&opened, &Device::flex())?;
    let mut settings = plan.settings(plan.layers(&opened, &dictionaries)?);
    let config = &opened.llama;
    let Request { source, .. } = plan.request()?;
    let first = source.first_steps(&opened.tokenizer, settings.decide, config.context, settings.batch_tokens);
    let mut told = Map::new();
    told.insert("device".into(), plan.machine.name().into());
    let rate = of_device(&plan, config, (&mut settings, &dictionaries), &mut told)?;
    let extent = plan.extent(&source, &opened, &first)?;
    let mean = mean_tokens(&first);
    let outlook = Outlook::of(&plan, config, (&settings, &dictionaries), (rate, mean))?;
    let bytes = outlook.bytes_a_token * extent.tokens as f64;
    let free = check_room(&plan.lake, bytes as u64)?;
    let rounded = |number: f64| Value::from(number.round() as u64);
    let rest = [
        ("games", extent.games.into()),
        ("tokens", extent.tokens.into()),
        ("longest_step_tokens", extent.longest.into()),
        ("flop_a_token", rounded(outlook.forecast.flop_a_token)),
        ("rows_a_token", rounded(outlook.forecast.rows_a_token)),
        ("bytes_a_token", rounded(outlook.bytes_a_token)),
        ("disk_bytes", rounded(bytes)),
        ("disk_bytes_free", free.into()),
        ("tokens_a_second", rounded(outlook.tokens_a_second)),
        ("seconds", rounded(extent.tokens as f64 / outlook.tokens_a_second)),
    ];
    told.extend(rest.map(|(name, value)| (name.to_owned(), value)));
    let text = if asked.json { json!(told).to_string() + "\n" } else { render(&told) };
    ui::data(text.as_bytes())?;
    Ok(Ending::Done)
}

/// What the device has and gives: multiplications and additions a second. On a GPU of fused kernels, the memory that
/// the run takes, and the tokens of a pass.
fn of_device(
    plan: &Plan,
    config: &Config,
    (settings, dictionaries): (&mut Settings, &[Dictionary]),
    told: &mut Told,
) -> Result<f64, Error> {
    let mut tell = |name: &str, number: usize| told.insert(name.to_owned(), number.into());
    let number = match &plan.machine {
        Machine::Plain(device) => {
            tell("pass_tokens", settings.batch_tokens);
            return Ok(plain_rate(device, config));
        }
        Machine::Fused(number) => *number,
    };
    let device = model::gpu_device(config, number, plan.dtype)?;
    let (free, all) = device.memory().map_err(crate::capture::CaptureError::from)?;
    let widths =
        dictionaries.iter().map(|dictionary| (dictionary.d_in, dictionary.d_sae)).collect::<Vec<_>>();
    let footprint = Footprint::of(config, &widths, settings, plan.remembers());
    let beside = free.saturating_sub(footprint.model);
    settings.batch_tokens = footprint.token_budget(beside, settings.batch_tokens)?;
    let rate = device.product_rate(&shape(config)).map_err(crate::capture::CaptureError::from)?;
    tell("device_bytes", all);
    tell("device_bytes_free", free);
    tell("model_bytes", footprint.model);
    tell("dictionary_bytes", footprint.dictionaries);
    tell("reserved_bytes", footprint.reserve);
    tell("pass_tokens", settings.batch_tokens);
    tell("pass_bytes", settings.batch_tokens * footprint.a_token);
    Ok(OF_FUSED * rate)
}

impl Plan {
    /// How much the run reads. Of a file's prompts it is counted; how many steps a game will have is taken from the
    /// lake's games so far, or assumed.
    fn extent(&self, source: &Source, opened: &Opened<Config>, first: &[Prepared]) -> Result<Extent, Error> {
        let games = source.n_games() as u64;
        if let Source::Prompts(prompts) = source {
            return Ok(counted(prompts, opened));
        }
        let of_step = mean_tokens(first).round() as u64;
        let info = self.lake_so_far()?.map(|lake| lake.info()).transpose()?.filter(|info| info.games > 0);
        let of_game = info.map_or(STEPS_A_GAME * of_step, |info| info.tokens / info.games);
        Ok(Extent { games, tokens: games * of_game, longest: of_step })
    }
}

/// What the prompts of a file have. Those that cannot run take nothing.
fn counted(prompts: &[PromptGame], opened: &Opened<Config>) -> Extent {
    let steps = prompts.par_iter().flat_map_iter(|game| &game.steps);
    let lengths = steps.filter_map(|step| {
        let prepared = prepare((0, 0), &step.prompt, &opened.tokenizer, opened.llama.context);
        Some(prepared.ok()?.tokens().len() as u64)
    });
    let lengths = lengths.collect::<Vec<_>>();
    Extent {
        games: prompts.len() as u64,
        tokens: lengths.iter().sum(),
        longest: lengths.into_iter().max().unwrap_or_default(),
    }
}

/// One name and number a line; large numbers with their thousands apart.
fn render(told: &Told) -> String {
    let mut text = String::new();
    for (name, value) in told {
        let value = match value.as_u64() {
            Some(number) => thousands(number),
            None => value.as_str().unwrap_or("not limited").to_owned(),
        };
        let _ = writeln!(text, "{:<22}{value:>24}", name.replace('_', " "));
    }
    text
}

fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let groups = digits.as_bytes().rchunks(3).rev().map(|group| String::from_utf8_lossy(group).into_owned());
    groups.collect::<Vec<_>>().join(",")
}
