//! `saelake patch`: what a pair of prompts differs in, put from one into the other, place by place.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Instant;

use burn::tensor::Device;
use queries::{FeatureName, Format};

use super::ablation::{Ablation, drawn, other_steps};
use super::analysis::{Described, add, swaps};
use super::patch_rows::{Patched, print, rows};
use super::patch_units::{By, units};
use super::recorded_step::recorded_step;
use super::weights::{self, Recorded};
use super::{Ending, dictionaries, metric, ui};
use crate::dictionary::Dictionary;
use crate::error::{Error, UsageError};
use crate::game::read_prompts;
use crate::intervene::{Base, Grid, Means, Metric, Pair, Source, Split, Swap};
use crate::lake::{Analysis, Lake};
use crate::model::{self, Dtype, Hook, Opened, Site, open};
use crate::tokens::Token;

/// Patch activations exactly: put what one prompt has at a place into the run of another, and measure the metric
///
/// The pair is a step of a lake and the same step with other texts in some of its spans (--swap), or two prompts of a
/// file (--pairs). Every patch is a forward pass with the change made; what it cannot change is not computed again.
#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// The lake that the clean prompt is from, and that the effects are added to
    #[arg(required_unless_present = "pairs")]
    lake: Option<PathBuf>,
    /// Pairs of a prompts file: games of two steps, the clean prompt and the corrupted one
    #[arg(long, value_name = "FILE.jsonl", conflicts_with_all = ["lake", "swap", "game", "step"], help_heading = "Pair")]
    pairs: Option<PathBuf>,
    /// Key of the game [default: the smallest]
    #[arg(long, allow_negative_numbers = true, value_name = "KEY", help_heading = "Pair")]
    game: Option<i64>,
    /// Step of the game
    #[arg(long, default_value_t = 0, value_name = "N", help_heading = "Pair")]
    step: i32,
    /// Another text for a span of the prompt, such as `balance=$10` or `history[0].result=lost`, repeatable; no text
    /// takes the span out
    #[arg(long, value_name = "SPAN=TEXT", required_unless_present_any = ["pairs", "ablate"], help_heading = "Pair")]
    swap: Vec<String>,
    /// Instead of a pair: put nothing (`zero`), the mean over steps of other games (`mean`) or what a step of another
    /// game has there, counted from the end (`resample`), in the place of what the step has
    #[arg(long, value_name = "zero|mean|resample", conflicts_with_all = ["swap", "pairs"], help_heading = "Pair")]
    ablate: Option<String>,
    /// What the step of `--ablate resample` is drawn from
    #[arg(long, default_value_t = 0, value_name = "N", help_heading = "Pair")]
    seed: u64,
    /// The run that is patched: values of the other one are put into it
    #[arg(long, default_value = "clean", value_name = "clean|corrupted", help_heading = "Pair")]
    into: String,
    /// Places in a block, separated by commas: `resid_post`, `attn_out`, `mlp_out`, `z`, `v`, `pattern`,
    /// `ln2_normalized`
    #[arg(
        long,
        default_value = "resid_post",
        value_delimiter = ',',
        value_name = "SITE,…",
        help_heading = "Where"
    )]
    site: Vec<String>,
    /// Blocks, separated by commas [default: all]
    #[arg(long, value_delimiter = ',', value_name = "L,L,…", help_heading = "Where")]
    layers: Vec<usize>,
    /// What is patched at a time: each `position`, or each `span` with all of its positions
    #[arg(long, default_value = "position", value_name = "position|span", help_heading = "Where")]
    by: String,
    /// Patch in this span alone, such as `balance` or `decision`, repeatable
    #[arg(long, value_name = "NAME", help_heading = "Where")]
    span: Vec<String>,
    /// Patch the heads of z, v or pattern one by one
    #[arg(long, conflicts_with = "feature", help_heading = "Where")]
    heads: bool,
    /// Patch a feature alone, such as L15-59, repeatable; what the dictionary leaves unexplained stays
    #[arg(long, value_name = "LAYER-FEATURE", conflicts_with_all = ["layers", "site"], help_heading = "Where")]
    feature: Vec<FeatureName>,
    #[command(flatten)]
    metric: metric::Asked,
    /// The model [default: the default model]
    #[arg(long, value_name = "DIR|HF_ID|FILE.gguf")]
    model: Option<String>,
    /// The dictionaries, where they are not where the lake says, repeatable
    #[arg(long, value_name = "DIR|HF_ID")]
    dictionary: Vec<String>,
    /// Where the model runs, with a lake's step; a GPU needs a build with plain tensor operations there
    #[arg(long, default_value = "cpu", value_name = "auto|cpu|cuda:N", conflicts_with = "pairs")]
    device: String,
    /// Rows that run through the model at once at most
    #[arg(long, default_value_t = 2048, value_name = "N")]
    batch_tokens: usize,
    /// Print the effects and add nothing to the lake
    #[arg(long)]
    print_only: bool,
    /// Rows at most, largest effect first [default: 20 in a table, all in other formats]
    #[arg(long, value_name = "N", help_heading = "Answer")]
    limit: Option<usize>,
    /// table, csv, json or parquet
    #[arg(long, default_value = "table", help_heading = "Answer")]
    format: String,
}

/// A pair with what its effects are named by.
struct Subject {
    game: i64,
    step: i32,
    pair: Pair,
    metric: (Metric, String),
    /// What is put there instead of the values of the corrupted run, and the prompts that means are taken over.
    ablated: Option<(Ablation, Vec<Vec<u32>>)>,
}

/// Patches, prints, and adds what was found to the lake.
pub(super) fn run(options: &Options) -> Result<Ending, Error> {
    let format: Format = options.format.parse()?;
    let by = By::read(&options.by)?;
    let swaps = swaps(&options.swap)?;
    let sites = options.sites()?;
    options.ablate.as_deref().map(Ablation::read).transpose()?;
    let reversed = match options.into.as_str() {
        "clean" => false,
        "corrupted" => true,
        _ => return Err(value("into", &options.into, "`clean` or `corrupted`").into()),
    };
    let source =
        options.model.clone().unwrap_or_else(|| model::default_model().to_string_lossy().into_owned());
    let (opened, dictionaries, subjects, mut lake) = match (&options.lake, &options.pairs) {
        (Some(lake), _) => options.step_of(lake, &source, &swaps)?,
        (None, Some(pairs)) => options.pairs_of(pairs, &source)?,
        (None, None) => return Err(UsageError::Missing("pairs").into()),
    };
    let mut all = Vec::new();
    for subject in subjects {
        let pair = if reversed { subject.pair.clone().reversed() } else { subject.pair.clone() };
        let subject = Subject { pair, ..subject };
        let patched = options.patch(&opened, &dictionaries, &subject, &sites, by)?;
        if let Some(lake) = lake.as_mut().filter(|_| !options.print_only) {
            options.store(lake, &opened, &subject, &patched)?;
        }
        all.push(patched);
    }
    let limit = options.limit.or((format == Format::Table).then_some(20));
    ui::data(&print(&all, limit, format)?)?;
    Ok(Ending::Done)
}

/// A model, its dictionaries, what is patched, and the lake to add to.
type Asked = (Opened, Vec<Dictionary>, Vec<Subject>, Option<Lake>);

impl Options {
    fn step_of(&self, root: &std::path::Path, source: &str, swaps: &[Swap]) -> Result<Asked, Error> {
        let lake = Lake::open(root)?;
        let recorded = Recorded::read(root)?.on(&self.device)?;
        let game = self.game.or_else(|| lake.games().next()).ok_or(queries::QueryError::NoGames)?;
        // A step that is not there is said before the model is read.
        if !lake.steps_of(game)?.contains(&self.step) {
            let (step, steps) = (self.step, lake.steps_of(game)?);
            return Err(UsageError::NoSuchStep { game, step, steps }.into());
        }
        let opened = recorded.model(source)?;
        let layers: BTreeSet<i32> = self.feature.iter().map(|feature| feature.layer).collect();
        let dictionaries = recorded.open(&self.dictionary, &layers)?;
        let metric = self.metric.read(&opened.tokenizer, None, recorded.decides())?;
        let clean = recorded_step(&lake, (game, self.step), &opened.tokenizer)?;
        let (pair, ablated) = match self.ablate.as_deref().map(Ablation::read).transpose()? {
            None => (Pair::swapped(clean, swaps, &opened.tokenizer)?, None),
            Some(Ablation::Zero) => (Pair::of(clean.clone(), clean)?, Some((Ablation::Zero, Vec::new()))),
            Some(Ablation::Mean) => {
                let steps = other_steps(&lake, game, &opened.tokenizer)?;
                let prompts = steps.iter().map(|step| ids(&step.tokens)).collect();
                (Pair::of(clean.clone(), clean)?, Some((Ablation::Mean, prompts)))
            }
            Some(Ablation::Resample) => {
                let other = drawn(other_steps(&lake, game, &opened.tokenizer)?, self.seed);
                (Pair::from_the_end(clean, other), None)
            }
        };
        let subject = Subject { game, step: self.step, pair, metric, ablated };
        Ok((opened, dictionaries, vec![subject], Some(lake)))
    }

    fn pairs_of(&self, pairs: &std::path::Path, source: &str) -> Result<Asked, Error> {
        let games = read_prompts(pairs)?;
        if let Some(game) = games.iter().find(|game| game.steps.len() != 2) {
            return Err(UsageError::NoPair { game: game.id.clone(), steps: game.steps.len() }.into());
        }
        let opened = open(source, &Device::flex(), Dtype::F32)?;
        let layers: Vec<usize> = self.feature.iter().map(|feature| feature.layer as usize).collect();
        let dictionaries = if layers.is_empty() {
            Vec::new()
        } else {
            dictionaries::open(&opened, &self.dictionary, &layers, &Device::flex())?
        };
        let mut subjects = Vec::new();
        for game in games {
            let [clean, corrupted] = [&game.steps[0], &game.steps[1]];
            let own = clean.metric.as_ref().map(|metric| (metric.first.as_str(), metric.second.as_str()));
            let metric = self.metric.read(&opened.tokenizer, own, true)?;
            let lay_out = |prompt: &crate::game::Prompt| prompt.lay_out(&opened.tokenizer);
            let pair = Pair::of(lay_out(&clean.prompt)?, lay_out(&corrupted.prompt)?)?;
            subjects.push(Subject { game: game.key, step: clean.step, pair, metric, ablated: None });
        }
        Ok((opened, dictionaries, subjects, None))
    }

    /// Makes the patches of one pair.
    fn patch(
        &self,
        opened: &Opened,
        dictionaries: &[Dictionary],
        subject: &Subject,
        sites: &[Site],
        by: By,
    ) -> Result<Patched, Error> {
        let started = Instant::now();
        let (metric, name) = &subject.metric;
        let hooks = self.hooks(opened, dictionaries, sites)?;
        let kept: Vec<Site> = hooks.iter().map(|hook| hook.site).collect();
        let into = Base::run(&opened.llama, &ids(&subject.pair.clean.tokens), metric, &[])?;
        let features: Vec<(usize, u32)> =
            self.feature.iter().map(|name| (name.layer as usize, name.feature as u32)).collect();
        let split = match (self.heads, features.is_empty()) {
            (true, _) => Split::Heads,
            (false, true) => Split::Whole,
            (false, false) => Split::Features(dictionaries, &features),
        };
        let units = units(&subject.pair, by, &self.span)?;
        let grid = Grid { hooks, units, split };
        let bar = ui::progress(grid.hooks.len() as u64, "hooks");
        let go = |source: Source<'_>| grid.run(&into, source, self.batch_tokens, |_| bar.inc(1));
        let (cells, other) = match &subject.ablated {
            None | Some((Ablation::Resample, _)) => {
                let from = Base::run(&opened.llama, &ids(&subject.pair.corrupted.tokens), metric, &kept)?;
                (go(Source::Run(&from))?, Some(from.value))
            }
            Some((Ablation::Zero, _)) => (go(Source::Zero)?, None),
            Some((Ablation::Mean, prompts)) => {
                let of = (dictionaries, features.as_slice());
                (go(Source::Means(&Means::measure(&opened.llama, prompts, &grid.hooks, of)?))?, None)
            }
        };
        bar.finish_and_clear();
        ui::note(&format!(
            "{name}: {:.4} of the run that is patched{}; {} patches in {:.1} s",
            into.value,
            other.map_or_else(String::new, |other| format!(", {other:.4} of the other")),
            cells.len(),
            started.elapsed().as_secs_f64()
        ));
        let tokens = subject.pair.clean.tokens.iter().map(|token| token.text.clone()).collect();
        Ok(Patched {
            game: subject.game,
            step: subject.step,
            metric: name.clone(),
            base: into.value,
            other,
            units: grid.units,
            cells,
            tokens,
        })
    }

    /// Every place that is asked for.
    fn hooks(
        &self,
        opened: &Opened,
        dictionaries: &[Dictionary],
        sites: &[Site],
    ) -> Result<Vec<Hook>, UsageError> {
        if !self.feature.is_empty() {
            let mut hooks = BTreeSet::new();
            for name in &self.feature {
                hooks.insert(weights::of_layer(dictionaries, name.layer)?.hook);
            }
            return Ok(hooks.into_iter().collect());
        }
        let all = || (0..opened.llama.config().n_layers).collect::<Vec<_>>();
        let layers = if self.layers.is_empty() { all() } else { self.layers.clone() };
        let of_layer = |layer: &usize| {
            let layer = *layer;
            sites.iter().map(move |site| Hook { layer, site: *site })
        };
        Ok(layers.iter().flat_map(of_layer).collect())
    }

    fn sites(&self) -> Result<Vec<Site>, UsageError> {
        let known = "one of resid_post, attn_out, mlp_out, z, v, pattern and ln2_normalized";
        self.site.iter().map(|word| word.parse().map_err(|_| value("site", word, known))).collect()
    }

    /// Adds what was found to the lake.
    fn store(
        &self,
        lake: &mut Lake,
        opened: &Opened,
        subject: &Subject,
        patched: &Patched,
    ) -> Result<(), Error> {
        let features: Vec<String> =
            self.feature.iter().map(|name| format!("L{}-{}", name.layer, name.feature)).collect();
        let settings = serde_json::json!({
            "game": subject.game, "step": subject.step, "swap": self.swap, "into": self.into, "site": self.site,
            "layers": self.layers, "by": self.by, "span": self.span, "heads": self.heads, "feature": features,
            "metric": patched.metric, "ablate": self.ablate, "seed": self.seed,
        });
        let described = Described::new("patch", &opened.identity, self.seed, &settings);
        let ablated = self.ablate.as_deref().map(Ablation::read).transpose()?.map(Ablation::name);
        let name =
            ablated.map_or_else(|| format!("{}, into {}", self.swap.join(", "), self.into), str::to_owned);
        let (interventions, effects) = rows(&described, patched, (&name, ablated.unwrap_or("replace")));
        let analysis = Analysis { interventions, effects, ..Analysis::default() };
        add(lake, &described, analysis)
    }
}

/// The ids of some tokens.
fn ids(tokens: &[Token]) -> Vec<u32> {
    tokens.iter().map(|token| token.id).collect()
}

fn value(option: &'static str, word: &str, expected: &'static str) -> UsageError {
    UsageError::Value { option, value: word.to_owned(), expected }
}

impl By {
    fn read(word: &str) -> Result<Self, UsageError> {
        match word {
            "position" => Ok(Self::Position),
            "span" => Ok(Self::Span),
            _ => Err(value("by", word, "`position` or `span`")),
        }
    }
}
