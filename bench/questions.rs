//! What is timed: every question about one step, one position or one feature, and about all games.

use queries::{
    Asked, Condition, QueryError, Scope, Selection, Tables, Weights,
    attribution::{self, AsPublished},
    compare,
    contrast::{self, Groups},
    feature, features,
    flow::{self, Heads},
    games, heatmap,
    last_token::{self, Thresholds},
    overview, position, trace,
};

/// How a question is asked.
type Ask = fn(&Tables, &Selection) -> Result<Asked, QueryError>;

/// A question as it is asked here.
pub(crate) struct Question {
    pub(crate) title: &'static str,
    pub(crate) selection: fn() -> Selection,
    pub(crate) ask: Ask,
}

/// A game in the middle of the first block.
fn step() -> Selection {
    Selection { scope: Scope::Step { game: Some(25), step: Some(0) }, ..Selection::default() }
}

fn step_layer() -> Selection {
    Selection { layer: Some(15), ..step() }
}

fn step_position() -> Selection {
    Selection { position: Some(23), ..step_layer() }
}

fn all() -> Selection {
    Selection { scope: Scope::AllGames, ..Selection::default() }
}

fn all_layer() -> Selection {
    Selection { layer: Some(15), ..all() }
}

fn all_span() -> Selection {
    Selection { span: Some("balance".to_owned()), ..all() }
}

fn all_feature() -> Selection {
    Selection { feature: "L15-97".parse().ok(), ..all() }
}

const ATTRIBUTION: Ask = |tables, selection| attribution::ask(tables, selection, AsPublished::No);
const FLOW: Ask = |tables, selection| flow::ask(tables, selection, Heads::Mean);
const POSITION: Ask = |tables, selection| position::ask(tables, selection, Heads::Mean);
const TRACE: Ask = |tables, selection| trace::ask(tables, selection, &Weights::default());
const LAST_TOKEN: Ask = |tables, selection| last_token::ask(tables, selection, Thresholds::default());
const FEATURES: Ask = |tables, selection| features::ask(tables, selection, &Weights::default());
const CONTRAST: Ask = |tables, selection| contrast::ask(tables, selection, &Groups::default(), 5);
const GAMES: Ask = |tables, selection| Ok(games::ask(tables, selection));

/// The games that went bankrupt against the others.
const COMPARE: Ask = |tables, selection| {
    let of = |condition| tables.only(Condition::parse([condition])?);
    compare::ask(&of("outcome=bankruptcy")?, &of("outcome!=bankruptcy")?, selection)
};

macro_rules! questions {
    ($($title:literal $selection:ident $ask:expr;)*) => {
        &[$(Question { title: $title, selection: $selection, ask: $ask }),*]
    };
}

/// Every question.
pub(crate) const ALL: &[Question] = questions! {
    "attribution of a step" step ATTRIBUTION;
    "features of a step" step FEATURES;
    "flow of a step" step FLOW;
    "flow of a step, one layer" step_layer FLOW;
    "heatmap of a step" step heatmap::ask;
    "position of a step, one layer" step_position POSITION;
    "trace of a step" step TRACE;
    "last-token of a step" step LAST_TOKEN;
    "games" all GAMES;
    "overview" all overview::ask;
    "attribution of all games" all ATTRIBUTION;
    "attribution of all games, one layer" all_layer ATTRIBUTION;
    "features of all games" all FEATURES;
    "features of all games, one layer" all_layer FEATURES;
    "feature, in which games" all_feature feature::ask;
    "contrast of all games" all CONTRAST;
    "contrast of all games, one layer" all_layer CONTRAST;
    "contrast of all games, one span" all_span CONTRAST;
    "flow of all games" all FLOW;
    "flow of all games, one layer" all_layer FLOW;
    "heatmap of all games" all heatmap::ask;
    "heatmap of all games, one feature" all_feature heatmap::ask;
    "position of all games, one span" all_span POSITION;
    "trace of all games" all TRACE;
    "last-token of all games" all LAST_TOKEN;
    "last-token of all games, one layer" all_layer LAST_TOKEN;
    "compare games" all COMPARE;
    "compare games, one layer" all_layer COMPARE;
};
