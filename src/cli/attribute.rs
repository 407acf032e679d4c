//! `saelake attribute`: what every feature would do to the metric, estimated from one pass back, and audited.

use std::path::Path;
use std::time::{Duration, Instant};

use queries::Format;

use super::analysis::{add, swaps};
use super::attribute_answer::{Answer, audit_table};
use super::attribute_rows::rows;
use super::subject::{self, Subject};
use super::{Ending, tables, ui};
use crate::dictionary::Dictionary;
use crate::error::{Error, UsageError};
use crate::intervene::attribute::{Ask, Attributed, Effect, Plan, Values, Verdict, Writer, verdicts};
use crate::intervene::{Base, Metric, Pair};
use crate::model::Freeze;

/// Estimate what every feature, and what no feature explains, would do to the metric; audit the largest exactly
///
/// Attribution patching: the change of a node along the gradient of the metric, for all nodes of all captured blocks
/// from one pass back. With --swap the nodes change to what they are in the same prompt with other texts in some of its
/// spans; without, they are ablated. The largest nodes by each score, and some drawn at random, are then changed for
/// real, one by one, and the agreement is printed: with the estimates, with what attention times activation says, and
/// with the formula that was published before.
#[derive(Debug, clap::Args)]
pub(super) struct Options {
    #[command(flatten)]
    subject: subject::Options,
    /// Another text for a span of the prompt, such as `balance=$10`, repeatable; no text takes the span out
    #[arg(long, value_name = "SPAN=TEXT", help_heading = "Change")]
    swap: Vec<String>,
    /// Without --swap: features change to `zero`, and what no feature explains too, or to their `mean` over the lake
    #[arg(
        long,
        default_value = "zero",
        value_name = "zero|mean",
        conflicts_with = "swap",
        help_heading = "Change"
    )]
    ablate: String,
    /// The run whose nodes change: values of the other one are put into it
    #[arg(
        long,
        default_value = "clean",
        value_name = "clean|corrupted",
        requires = "swap",
        help_heading = "Change"
    )]
    into: String,
    /// Take as constant in the gradient: nothing, patterns, norms or patterns+norms
    #[arg(long, default_value = "nothing", value_name = "WHAT", help_heading = "Estimate")]
    freeze: Freeze,
    /// Steps of integrated gradients, each a pass forward and back through the blocks above; 0 for none
    #[arg(long, default_value_t = 10, value_name = "N", help_heading = "Estimate")]
    steps: usize,
    /// Audit so many of the largest nodes by each score
    #[arg(long, default_value_t = 20, value_name = "N", help_heading = "Audit")]
    top: usize,
    /// Audit so many of the others, drawn at random
    #[arg(long, default_value_t = 40, value_name = "N", help_heading = "Audit")]
    drawn: usize,
    /// Seed of the draw
    #[arg(long, default_value_t = 0, value_name = "N", help_heading = "Audit")]
    seed: u64,
    /// The k of recall@k
    #[arg(long, default_value_t = 20, value_name = "K", help_heading = "Audit")]
    recall: usize,
    /// Rows that run through the model at once at most
    #[arg(long, default_value_t = 2048, value_name = "N")]
    batch_tokens: usize,
    /// Estimates that the lake keeps, the largest; what was audited is kept besides
    #[arg(long, default_value_t = 1000, value_name = "N")]
    keep: usize,
    /// What is printed: the `effects` of nodes, the `audit`, or the `direct` contributions to the logits
    #[arg(long, default_value = "effects", value_name = "effects|audit|direct", help_heading = "Answer")]
    answer: Answer,
}

/// All that was found.
pub(super) struct Found<'a> {
    pub(super) attributed: Vec<Attributed<'a>>,
    pub(super) verdicts: Vec<Verdict>,
    /// None of a metric that is no difference of logits.
    pub(super) direct: Vec<(Writer, f64)>,
    /// The metric of the run.
    pub(super) base: f64,
    /// The metric of the other run, if there is one.
    pub(super) other: Option<f64>,
}

impl Found<'_> {
    /// Every effect, the largest estimate first.
    pub(super) fn effects(&self) -> Vec<&Effect> {
        let mut effects =
            self.attributed.iter().flat_map(|attributed| &attributed.effects).collect::<Vec<_>>();
        effects.sort_by(|a, b| b.estimate.abs().total_cmp(&a.estimate.abs()).then(a.node.cmp(&b.node)));
        effects
    }
}

/// Attributes, audits, prints, and adds what was found to the lake.
pub(super) fn run(options: &Options) -> Result<Ending, Error> {
    let format: Format = options.subject.format.parse()?;
    let reversed = match options.into.as_str() {
        "clean" => false,
        "corrupted" => true,
        word => return Err(value("into", word, "`clean` or `corrupted`").into()),
    };
    let swaps = swaps(&options.swap)?;
    if !["zero", "mean"].contains(&options.ablate.as_str()) {
        return Err(value("ablate", &options.ablate, "`zero` or `mean`").into());
    }
    let mut subject = options.subject.open()?;
    if options.answer == Answer::Direct && !matches!(subject.metric, Metric::Difference(_)) {
        return Err(crate::intervene::InterveneError::NotADifference.into());
    }
    let pair = match swaps.as_slice() {
        [] => None,
        swaps => {
            let pair = Pair::swapped(subject.prompt.clone(), swaps, &subject.opened.tokenizer)?;
            Some(if reversed { pair.reversed() } else { pair })
        }
    };
    if let Some(pair) = &pair {
        subject.prompt = pair.clean.clone();
    }
    let found = options.attribute(&subject, pair.as_ref())?;
    let limit = options.subject.limit.or((format == Format::Table).then_some(20));
    let bytes = options.answer.print(&subject, &found, limit, format)?;
    let store =
        (!options.subject.print_only).then(|| rows(&subject, &found, options.keep, &options.recorded()));
    if let Some((described, analysis)) = store {
        add(&mut subject.lake, &described, analysis)?;
    }
    ui::data(&bytes)?;
    Ok(Ending::Done)
}

impl Options {
    fn attribute<'a>(&self, subject: &'a Subject, pair: Option<&Pair>) -> Result<Found<'a>, Error> {
        let means = if self.ablate == "mean" { means(&self.subject.lake, subject)? } else { Vec::new() };
        let started = Instant::now();
        let run = |ids: &[u32]| Base::run(&subject.opened.llama, ids, &subject.metric, &[]);
        let base = run(&Subject::ids(&subject.prompt))?;
        let other = pair.map(|pair| run(&Subject::ids(&pair.corrupted))).transpose()?;
        let values = match (&other, pair) {
            (Some(other), Some(pair)) => Values::Run(other, &pair.partners),
            _ if self.ablate == "mean" => Values::Mean(&means),
            _ => Values::Zero,
        };
        let forward = started.elapsed();
        let ask = Ask { values, freeze: self.freeze };
        let mut attributed = base.attributed(&subject.dictionaries, ask)?;
        let estimated = started.elapsed();
        if self.steps > 0 {
            base.integrate(&mut attributed, self.steps)?;
        }
        let integrated = started.elapsed();
        let budget = self.batch_tokens;
        base.audit(&mut attributed, Plan { top: self.top, drawn: self.drawn, seed: self.seed, budget })?;
        let effects = attributed.iter().flat_map(|attributed| &attributed.effects).collect::<Vec<_>>();
        let verdicts = verdicts(&effects, self.recall);
        let direct = match subject.metric {
            Metric::Difference(_) => base.direct()?,
            Metric::LogProbability(_) => Vec::new(),
        };
        let other = other.map(|other| other.value);
        let found = Found { attributed, verdicts, direct, base: base.value, other };
        let seconds = |from: Duration, to: Duration| to.saturating_sub(from).as_secs_f64();
        ui::note(&format!(
            "{} tokens: runs forward {:.1} s, estimates of {} nodes {:.1} s, integrated gradients {:.1} s, audit {:.1} s",
            base.n_tokens(),
            forward.as_secs_f64(),
            found.effects().len(),
            seconds(forward, estimated),
            seconds(estimated, integrated),
            seconds(integrated, started.elapsed()),
        ));
        self.say(subject, &found)?;
        Ok(found)
    }

    /// Says what adds up to what, and how far it can be believed.
    fn say(&self, subject: &Subject, found: &Found<'_>) -> Result<(), Error> {
        let name = &subject.metric_name;
        match found.other {
            Some(other) => {
                ui::note(&format!("{name}: {:.4} of the run, {other:.4} of the other", found.base));
            }
            None => ui::note(&format!("{name}: {:.4}", found.base)),
        }
        for attributed in &found.attributed {
            let layer = attributed.changed.dictionary.hook.layer;
            let integrated = attributed
                .integrated
                .map_or(String::new(), |whole| format!(", integrated gradients to {whole:+.4}"));
            let exact =
                attributed.exact.map_or(String::new(), |exact| format!("changed wholly {exact:+.4}; "));
            ui::note(&format!(
                "layer {layer}: {exact}estimates add up to {:+.4}{integrated}",
                attributed.sum()
            ));
        }
        if self.answer != Answer::Audit {
            ui::note(audit_table(found, Format::Table)?.trim_end());
        }
        Ok(())
    }

    /// What the lake records of the settings.
    fn recorded(&self) -> serde_json::Value {
        serde_json::json!({
            "swap": self.swap, "into": self.into, "ablate": self.ablate, "freeze": self.freeze.to_string(), "steps": self.steps,
            "top": self.top, "drawn": self.drawn, "seed": self.seed, "recall": self.recall, "keep": self.keep,
        })
    }
}

/// The mean of every feature of each dictionary over the lake.
fn means(lake: &Path, subject: &Subject) -> Result<Vec<(usize, Vec<f32>)>, Error> {
    let tables = tables::open(lake)?;
    let of_layer = |dictionary: &Dictionary| {
        let layer = dictionary.hook.layer;
        let mut means = vec![0.0; dictionary.d_sae];
        for (feature, mean) in queries::means(&tables, layer as i32)? {
            if let Some(place) = means.get_mut(feature.cast_unsigned() as usize) {
                *place = mean;
            }
        }
        Ok((layer, means))
    };
    subject.dictionaries.iter().map(of_layer).collect::<Result<Vec<_>, Error>>()
}

fn value(option: &'static str, word: &str, expected: &'static str) -> UsageError {
    UsageError::Value { option, value: word.to_owned(), expected }
}
