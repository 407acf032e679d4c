//! Every question of the menu, and the ways in which the tests ask it about a lake of made games.

use std::path::Path;

use queries::{
    Asked, Condition, Given, QueryError, Scope, Selection, Specials, Tables, Weights,
    attribution::{self, AsPublished},
    causal_trace, compare,
    contrast::{self, Groups},
    effects, feature, features,
    flow::{self, Heads},
    heatmap,
    last_token::{self, Thresholds},
    overview, position, trace,
};

use super::games;

/// A question that was asked.
pub(super) struct Case {
    /// The question and how it was asked, for people.
    pub(super) what: String,
    /// The question's name in the menu.
    pub(super) name: &'static str,
    /// The plan and its SQL.
    pub(super) asked: Asked,
}

/// A question with one choice of its options.
struct Question {
    name: &'static str,
    options: &'static str,
    scopes: &'static [bool],
    ask: fn(&Tables, &Selection) -> Result<Asked, QueryError>,
}

const STEP: &[bool] = &[false];
const ALL: &[bool] = &[true];
const BOTH: &[bool] = &[false, true];

/// The options that take files of the made games.
const WITH_FILES: [&str; 4] = [" with weights", " with another lake", " with other games", " by importance"];

/// Every question with every choice that changes its plan.
const QUESTIONS: &[Question] = &[
    Question {
        name: "attribution",
        options: "",
        scopes: BOTH,
        ask: |tables, selection| attribution::ask(tables, selection, AsPublished::No),
    },
    Question {
        name: "attribution",
        options: " as published",
        scopes: STEP,
        ask: |tables, selection| attribution::ask(tables, selection, AsPublished::Yes),
    },
    Question {
        name: "flow",
        options: "",
        scopes: BOTH,
        ask: |tables, selection| flow::ask(tables, selection, Heads::Mean),
    },
    Question {
        name: "flow",
        options: " of each head",
        scopes: BOTH,
        ask: |tables, selection| flow::ask(tables, selection, Heads::Each),
    },
    Question { name: "heatmap", options: "", scopes: BOTH, ask: heatmap::ask },
    Question {
        name: "position",
        options: "",
        scopes: BOTH,
        ask: |tables, selection| position::ask(tables, &somewhere(selection), Heads::Mean),
    },
    Question {
        name: "position",
        options: " of each head",
        scopes: STEP,
        ask: |tables, selection| position::ask(tables, &somewhere(selection), Heads::Each),
    },
    Question {
        name: "trace",
        options: "",
        scopes: BOTH,
        ask: |tables, selection| trace::ask(tables, selection, &Weights::default()),
    },
    Question {
        name: "trace",
        options: " with weights",
        scopes: BOTH,
        ask: |tables, selection| trace::ask(tables, selection, &weights()),
    },
    Question { name: "effects", options: "", scopes: BOTH, ask: effects::ask },
    Question { name: "causal-trace", options: "", scopes: BOTH, ask: causal_trace::ask },
    Question {
        name: "last-token",
        options: "",
        scopes: BOTH,
        ask: |tables, selection| last_token::ask(tables, selection, Thresholds::default()),
    },
    Question {
        name: "last-token",
        options: " by other thresholds",
        scopes: BOTH,
        ask: |tables, selection| {
            last_token::ask(tables, selection, Thresholds { threshold: 1.25, silent: 0.75 })
        },
    },
    Question {
        name: "compare",
        options: " with another lake",
        scopes: ALL,
        ask: |tables, selection| compare::ask(tables, &Tables::open(&games().join("other"))?, selection),
    },
    Question {
        name: "compare",
        options: " with other games",
        scopes: ALL,
        ask: |tables, selection| {
            let others = Tables::open(&games().join("lake"))?.only(Condition::parse(["bet_type!=fixed"])?)?;
            compare::ask(tables, &others, selection)
        },
    },
    Question {
        name: "games",
        options: "",
        scopes: ALL,
        ask: |tables, selection| Ok(queries::games::ask(tables, selection)),
    },
    Question { name: "overview", options: "", scopes: ALL, ask: overview::ask },
    Question {
        name: "features",
        options: "",
        scopes: BOTH,
        ask: |tables, selection| features::ask(tables, selection, &Weights::default()),
    },
    Question {
        name: "features",
        options: " by importance",
        scopes: BOTH,
        ask: |tables, selection| {
            let importance = Some(Given::importance(&games().join("importance.parquet"))?);
            features::ask(tables, selection, &Weights { importance, couplings: None })
        },
    },
    Question {
        name: "feature",
        options: "",
        scopes: ALL,
        ask: |tables, selection| {
            // Of layer 3 one that is everywhere, of the others one of the game and one of the decision.
            let name = match selection.layer {
                Some(7) => "L7-29",
                Some(11) => "L11-5",
                _ => "L3-0",
            };
            feature::ask(tables, &Selection { feature: name.parse().ok(), ..selection.clone() })
        },
    },
    Question {
        name: "contrast",
        options: "",
        scopes: ALL,
        ask: |tables, selection| contrast::ask(tables, selection, &Groups::default(), 1),
    },
    Question {
        name: "contrast",
        options: " of runs",
        scopes: ALL,
        ask: |tables, selection| {
            let groups = Groups::of("run", Some("00000000000000a1"), Some("00000000000000b2"))?;
            contrast::ask(tables, selection, &groups, 1)
        },
    },
];

/// A question about a position needs one, or a span.
fn somewhere(selection: &Selection) -> Selection {
    match selection.span {
        Some(_) => selection.clone(),
        None => span("bet_option", selection),
    }
}

/// The importances and couplings that go with the made games.
fn weights() -> Weights {
    let file = |name: &str| games().join(name);
    Weights {
        importance: Some(Given::importance(&file("importance.parquet")).unwrap()),
        couplings: Some(Given::couplings(&file("couplings.parquet")).unwrap()),
    }
}

/// A game of three steps or more whose second has two spans `balance` and one `history[0]`, of the first run.
const GAME: i64 = 1_000_003;

/// A game whose decisions are special tokens.
const SPECIAL: i64 = 2_000_009;

/// A game of a prompts file, without decisions.
const PROMPT: i64 = 4_504_834_195_260_619;

fn step(game: i64, step: i32) -> Selection {
    Selection { scope: Scope::Step { game: Some(game), step: Some(step) }, ..Selection::default() }
}

fn all() -> Selection {
    Selection { scope: Scope::AllGames, ..Selection::default() }
}

fn span(name: &str, selection: &Selection) -> Selection {
    Selection { span: Some(name.to_owned()), ..selection.clone() }
}

/// What is asked about, and which games there are to choose from.
fn selections(of_all: bool) -> Vec<(Selection, &'static [&'static str])> {
    let start = || if of_all { all() } else { step(GAME, 1) };
    let default = if of_all { all() } else { Selection::default() };
    let mut selections: Vec<(Selection, &'static [&'static str])> = vec![
        (default.clone(), &[]),
        (Selection { layer: Some(7), ..start() }, &[]),
        (Selection { specials: Specials::Include, limit: Some(7), ..start() }, &[]),
        (span("balance", &start()), &[]),
        (span("decision", &Selection { layer: Some(11), ..start() }), &[]),
        (default.clone(), &["outcome=bankruptcy", "n_steps>2"]),
        (default, &["metadata.arm=b", "components~G"]),
    ];
    if !of_all {
        selections.push((step(SPECIAL, 0), &[]));
        selections.push((span("goal", &step(PROMPT, 0)), &[]));
    }
    selections
}

/// One layer of a step and of all games.
pub(super) fn of_one_layer(layer: i32) -> [Selection; 2] {
    [Selection { layer: Some(layer), ..step(GAME, 1) }, Selection { layer: Some(layer), ..all() }]
}

/// The answers of every question to every selection, on the lake of made games.
pub(super) fn cases() -> Vec<Case> {
    cases_of(&games().join("lake"))
}

/// The same on a lake of the same games.
pub(super) fn cases_of(lake: &Path) -> Vec<Case> {
    let lake = Tables::open(lake).unwrap();
    let mut cases = Vec::new();
    for of_all in [false, true] {
        for (selection, condition) in selections(of_all) {
            let tables = lake.only(Condition::parse(condition.iter().copied()).unwrap()).unwrap();
            cases.extend(ask_each(&tables, &selection, of_all, &format!("{selection:?} {condition:?}")));
        }
    }
    cases
}

/// Every question about one selection.
pub(super) fn ask_each(tables: &Tables, selection: &Selection, of_all: bool, what: &str) -> Vec<Case> {
    let asked = |question: &Question| {
        let what = format!("{}{} {what}", question.name, question.options);
        let asked = (question.ask)(tables, selection).unwrap_or_else(|error| panic!("{what}: {error}"));
        Case { what, name: question.name, asked }
    };
    QUESTIONS.iter().filter(|question| question.scopes.contains(&of_all)).map(asked).collect()
}

/// Every question that needs no other file, about one step and about all games; what each came to.
pub(super) fn of_any_lake(tables: &Tables) -> Vec<Result<Asked, QueryError>> {
    let needs_no_file = |question: &&Question| !WITH_FILES.contains(&question.options);
    let mut asked = vec![compare::ask(tables, tables, &all())];
    for (of_all, selection) in [(false, Selection::default()), (true, all())] {
        let of_scope = QUESTIONS.iter().filter(needs_no_file);
        let of_scope = of_scope.filter(|question| question.scopes.contains(&of_all));
        let selection = Selection { specials: Specials::Include, ..span("balance", &selection) };
        asked.extend(of_scope.map(|question| (question.ask)(tables, &selection)));
    }
    asked
}

#[test]
fn every_question_of_the_menu_is_asked() {
    for query in queries::ALL {
        for (sql, of_all) in [(query.step_sql, false), (query.all_sql, true)] {
            let asked =
                QUESTIONS.iter().any(|asked| asked.name == query.name && asked.scopes.contains(&of_all));
            assert_eq!(asked, sql.is_some(), "{} of all: {of_all}", query.name);
        }
    }
}
