//! `saelake query`: a question's name, a lake, and the answer on stdout.

use std::path::PathBuf;

use clap::Subcommand;
use queries::attribution::{self, AsPublished};
use queries::contrast::{self, Groups};
use queries::flow::{self, Heads};
use queries::last_token::{self, Thresholds};
use queries::{
    Asked, Condition, causal_trace, compare, effects, feature, features, games, heatmap, overview, position,
    trace,
};

use super::Ending;
use super::asked::Options;
use super::{given, tables, ui};
use crate::error::Error;

/// Ask a lake a question.
#[derive(Debug, Subcommand)]
pub(super) enum Question {
    /// Which games there are
    Games {
        #[command(flatten)]
        asked: Options,
    },
    /// How much there is: games, steps, tokens, decisions, and how well the dictionaries do at each layer
    Overview {
        #[command(flatten)]
        asked: Options,
    },
    /// Which tokens a decision attends to, weighted by their features
    ///
    /// The importance of a token is the decision row of the pattern, averaged over heads, times the norm of
    /// the token's features, as a share of the sum. With --all or --where: how much each span holds.
    Attribution {
        #[command(flatten)]
        asked: Options,
        /// Show beside it the published formula, which takes the column of the pattern instead of the row:
        /// it says who attends to the last token, and under a causal mask only the last token can
        #[arg(long)]
        as_published: bool,
    },
    /// Which features carry what a decision attends to
    ///
    /// The score of a feature is the sum over the tokens of attention times activation times importance.
    Features {
        #[command(flatten)]
        asked: Options,
        #[command(flatten)]
        given: given::Options,
    },
    /// In which games a feature fires most, and where in them it is strongest
    Feature {
        #[command(flatten)]
        asked: Options,
    },
    /// How much each span attends to each span, by layer; layer -1 is the rollout over the captured layers
    ///
    /// With --all or --where: the steps that bet against those that stop.
    Flow {
        #[command(flatten)]
        asked: Options,
        /// Every head beside their mean, which is head -1
        #[arg(long)]
        heads: bool,
    },
    /// Where the features fire that vary most
    Heatmap {
        #[command(flatten)]
        asked: Options,
    },
    /// Everything known of one position or span
    Position {
        #[command(flatten)]
        asked: Options,
        /// Every head beside their mean, which is head -1
        #[arg(long)]
        heads: bool,
    },
    /// Which features of which spans differ between two outcomes, over all games
    ///
    /// Tests are clustered by game; q values are Benjamini and Hochberg's over the whole answer.
    Contrast {
        #[command(flatten)]
        asked: Options,
        /// What tells two groups apart: `decision` (bet against stop, by step), or a column of `games` such
        /// as `outcome`, `bet_type` or `components`
        #[arg(long, default_value = "decision", value_name = "COLUMN")]
        group: String,
        /// The first group's value [default: bet, or bankruptcy of outcome]
        #[arg(long, value_name = "VALUE")]
        first: Option<String>,
        /// The second group's value [default: stop, or `voluntary_stop` of outcome]
        #[arg(long, value_name = "VALUE")]
        second: Option<String>,
        /// Games in which a feature must fire in the span to be tested
        #[arg(long, default_value_t = contrast::MIN_SUPPORT, value_name = "N")]
        min_support: u32,
    },
    /// From a decision back to features and tokens, by attention and correlation: observational, not causal
    Trace {
        #[command(flatten)]
        asked: Options,
        #[command(flatten)]
        given: given::Options,
        /// Leave the dictionaries' own couplings (decoder row times encoder row) out of the scores
        #[arg(long)]
        no_couplings: bool,
        /// Write the couplings to a Parquet file, for the SQL
        #[arg(long, value_name = "FILE")]
        save_couplings: Option<PathBuf>,
    },
    /// What changes inside the model do to a decision, exactly and by estimate, as `patch` and `attribute` found
    Effects {
        #[command(flatten)]
        asked: Options,
    },
    /// What adds to a decision and to the features behind it, by gradients, as `trace --causal` found
    CausalTrace {
        #[command(flatten)]
        asked: Options,
    },
    /// What a reading of the last position alone misses
    LastToken {
        #[command(flatten)]
        asked: Options,
        /// A feature fires where its activation is above this
        #[arg(long, default_value_t = Thresholds::default().threshold, value_name = "X")]
        threshold: f64,
        /// A feature is silent at the decision where its activation is below this
        #[arg(long, default_value_t = Thresholds::default().silent, value_name = "X")]
        silent: f64,
    },
    /// Two lakes, or two kinds of games of one lake, side by side
    Compare {
        #[command(flatten)]
        asked: Options,
        /// The second lake [default: the same]
        #[arg(long, value_name = "LAKE")]
        with: Option<PathBuf>,
        /// The second kind of games: a condition as for --where, repeatable
        #[arg(long, value_name = "CONDITION")]
        against: Vec<String>,
    },
}

/// Asks, and prints the answer.
#[expect(clippy::too_many_lines, reason = "one arm a question, each of two lines")]
pub(super) fn run(question: &Question) -> Result<Ending, Error> {
    let name = question.name();
    let (options, asked) = match question {
        Question::Games { asked } => {
            let (tables, selection) = asked.begin_all(name)?;
            (asked, games::ask(&tables, &selection))
        }
        Question::Overview { asked } => {
            let (tables, selection) = asked.begin_all(name)?;
            (asked, overview::ask(&tables, &selection)?)
        }
        Question::Attribution { asked, as_published } => {
            let (tables, selection) = asked.begin(name)?;
            let published = if *as_published { AsPublished::Yes } else { AsPublished::No };
            (asked, attribution::ask(&tables, &selection, published)?)
        }
        Question::Features { asked, given } => {
            let (tables, selection) = asked.begin(name)?;
            let weights = given.importance(&asked.lake, &tables, &selection)?;
            (asked, features::ask(&tables, &selection, &weights)?)
        }
        Question::Feature { asked } => {
            let (tables, selection) = asked.begin_all(name)?;
            (asked, feature::ask(&tables, &selection)?)
        }
        Question::Flow { asked, heads } => {
            let (tables, selection) = asked.begin(name)?;
            (asked, flow::ask(&tables, &selection, shown(*heads))?)
        }
        Question::Heatmap { asked } => {
            let (tables, selection) = asked.begin(name)?;
            (asked, heatmap::ask(&tables, &selection)?)
        }
        Question::Position { asked, heads } => {
            let (tables, selection) = asked.begin(name)?;
            (asked, position::ask(&tables, &selection, shown(*heads))?)
        }
        Question::Contrast { asked, group, first, second, min_support } => {
            let groups = Groups::of(group, first.as_deref(), second.as_deref())?;
            let (tables, selection) = asked.begin_all(name)?;
            (asked, contrast::ask(&tables, &selection, &groups, *min_support)?)
        }
        Question::Trace { asked, given, no_couplings, save_couplings } => {
            let (tables, selection) = asked.begin(name)?;
            let mut weights = given.importance(&asked.lake, &tables, &selection)?;
            if !no_couplings {
                let save = save_couplings.as_deref();
                weights = given.couplings(&asked.lake, &tables, &selection, weights, save)?;
            }
            (asked, trace::ask(&tables, &selection, &weights)?)
        }
        Question::Effects { asked } => {
            let (tables, selection) = asked.begin(name)?;
            (asked, effects::ask(&tables, &selection)?)
        }
        Question::CausalTrace { asked } => {
            let (tables, selection) = asked.begin(name)?;
            (asked, causal_trace::ask(&tables, &selection)?)
        }
        Question::LastToken { asked, threshold, silent } => {
            let (tables, selection) = asked.begin(name)?;
            let thresholds = Thresholds { threshold: *threshold, silent: *silent };
            (asked, last_token::ask(&tables, &selection, thresholds)?)
        }
        Question::Compare { asked, with, against } => (asked, comparison(asked, with.as_ref(), against)?),
    };
    options.answer(name, asked)
}

impl Question {
    fn name(&self) -> &'static str {
        match self {
            Self::Games { .. } => games::QUERY.name,
            Self::Overview { .. } => overview::QUERY.name,
            Self::Attribution { .. } => attribution::QUERY.name,
            Self::Features { .. } => features::QUERY.name,
            Self::Feature { .. } => feature::QUERY.name,
            Self::Flow { .. } => flow::QUERY.name,
            Self::Heatmap { .. } => heatmap::QUERY.name,
            Self::Position { .. } => position::QUERY.name,
            Self::Contrast { .. } => contrast::QUERY.name,
            Self::Trace { .. } => trace::QUERY.name,
            Self::Effects { .. } => effects::QUERY.name,
            Self::CausalTrace { .. } => causal_trace::QUERY.name,
            Self::LastToken { .. } => last_token::QUERY.name,
            Self::Compare { .. } => compare::QUERY.name,
        }
    }
}

fn comparison(asked: &Options, with: Option<&PathBuf>, against: &[String]) -> Result<Asked, Error> {
    let condition = Condition::parse(against.iter().map(String::as_str))?;
    let (first, selection) = asked.begin_all(compare::QUERY.name)?;
    let with = with.unwrap_or(&asked.lake);
    let second = tables::open(with)?.only(condition)?;
    let differing = compare::differing(&first, &second)?;
    if !differing.is_empty() {
        let layers = differing.iter().map(i32::to_string).collect::<Vec<_>>().join(", ");
        ui::note(&format!("the dictionaries of layer {layers} differ, so their features are not compared"));
    }
    Ok(compare::ask(&first, &second, &selection)?)
}

fn shown(heads: bool) -> Heads {
    if heads { Heads::Each } else { Heads::Mean }
}
