//! The questions that a page asks, and how much of each answer it holds.

use queries::attribution::{self, AsPublished};
use queries::contrast::{self, Groups};
use queries::flow::{self, Heads};
use queries::last_token::{self, Thresholds};
use queries::{Asked, LazyFrame, Place, QueryError, Selection, Tables, features, heatmap, overview};

/// A question of the page.
pub(super) struct Question<A> {
    /// The name by which the page knows the answer.
    pub(super) key: &'static str,
    /// Asks it.
    pub(super) ask: A,
    /// What the question is told to rank at most.
    pub(super) limit: u32,
    /// Columns that the page knows from elsewhere.
    pub(super) without: &'static [&'static str],
}

/// Asks about what a selection says.
pub(super) type Ask = fn(&Tables, &Selection) -> Result<Asked, QueryError>;

/// Asks about a layer of a step, whose place is found once for all of them.
pub(super) type AskAt = fn(&Tables, &Place, &Selection) -> Result<LazyFrame, QueryError>;

/// What every answer about one step and layer says again.
const OF_A_STEP: &[&str] = &["game", "step", "layer", "token"];

/// How many of the surest differences a page holds.
pub(super) const DIFFERENCES: u32 = 800;

/// Asked about each step at each layer.
pub(super) const OF_LAYERS: &[Question<AskAt>] = &[
    Question {
        key: "attribution",
        ask: |tables, place, selection| Ok(attribution::plan(tables, place, selection, AsPublished::No)),
        limit: 600,
        // The rank is the order, and the attention is among what is known of every position.
        without: &["game", "step", "layer", "token", "rank", "attention"],
    },
    Question {
        key: "features",
        ask: |tables, place, selection| features::plan(tables, place, selection, None),
        limit: 20,
        without: OF_A_STEP,
    },
    Question { key: "heatmap", ask: heatmap::plan, limit: 50, without: OF_A_STEP },
    Question {
        key: "last_token",
        ask: |tables, place, selection| last_token::plan(tables, place, selection, Thresholds::default()),
        limit: 20,
        without: OF_A_STEP,
    },
];

/// How many targets, and sources of each, a trace is asked for. The decision's own position alone has dozens of sources,
/// of which few are kept.
pub(super) const TRACED: u32 = 100;

/// How many of the largest effects of changes in a step a page holds, and how many edges of its causal trace.
pub(super) const EFFECTS: u32 = 60;
pub(super) const EDGES: u32 = 120;

/// Asked about all games.
pub(super) const OF_GAMES: &[Question<Ask>] = &[
    Question { key: "overview", ask: overview::ask, limit: 1000, without: &[] },
    Question {
        key: "attribution",
        ask: |tables, selection| attribution::ask(tables, selection, AsPublished::No),
        limit: 1000,
        without: &[],
    },
    Question {
        key: "flow",
        ask: |tables, selection| flow::ask(tables, selection, Heads::Mean),
        limit: 1000,
        without: &[],
    },
    Question {
        key: "last_token",
        ask: |tables, selection| last_token::ask(tables, selection, Thresholds::default()),
        limit: 20,
        without: &[],
    },
    Question {
        key: "decision",
        ask: |tables, selection| contrast_by("decision", tables, selection),
        limit: DIFFERENCES,
        without: &["statistic"],
    },
    Question {
        key: "outcome",
        ask: |tables, selection| contrast_by("outcome", tables, selection),
        limit: DIFFERENCES,
        without: &["statistic"],
    },
];

/// Asked about all games at each layer, since the question looks at one.
pub(super) const OF_GAMES_AND_LAYERS: &[Question<Ask>] =
    &[Question { key: "heatmap", ask: heatmap::ask, limit: 24, without: &[] }];

fn contrast_by(group: &str, tables: &Tables, selection: &Selection) -> Result<Asked, QueryError> {
    contrast::ask(tables, selection, &Groups::of(group, None, None)?, contrast::MIN_SUPPORT)
}
