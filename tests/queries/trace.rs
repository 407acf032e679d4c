//! Traces are what plain loops say, and what does not fit is refused.

use std::path::Path;

use queries::{Coupling, FeatureName, Given, QueryError, Scope, Selection, Specials, Tables, Weights, trace};
use serde_json::{Map, Value, json};
use tempfile::TempDir;

use super::{GAMES, copy, games, loops, made, rows, tables};

/// The features that fire at every position of the lake.
const FEATURES: [i32; 2] = [5, 9];

fn all_games() -> Selection {
    Selection { scope: Scope::AllGames, ..Selection::default() }
}

fn step(game: usize, step: i32) -> Selection {
    Selection { scope: Scope::Step { game: Some(GAMES[game]), step: Some(step) }, ..Selection::default() }
}

fn feature(layer: i32, feature: i32) -> FeatureName {
    FeatureName { layer, feature }
}

/// Importances of the upper layer and couplings that leave a pair out, one of them negative.
fn weights() -> Weights {
    let coupling = |(from_feature, to_feature, coupling): (i32, i32, f32)| Coupling {
        from_layer: 3,
        from_feature,
        to_layer: 7,
        to_feature,
        coupling,
    };
    let couplings = [(5, 5, 0.5), (9, 5, -1.75), (9, 9, 0.125)].map(coupling);
    Weights {
        importance: Some(Given::of_importance(&[(7, 5, -2.5), (7, 9, 0.25), (3, 5, 9.0)]).unwrap()),
        couplings: Some(Given::of_couplings(&couplings).unwrap()),
    }
}

/// The settings of the loops that are the same question.
fn settings(selection: &Selection, weights: &Weights) -> Value {
    let mut settings = Map::new();
    let mut set = |name: &str, value: Value| {
        if !value.is_null() {
            settings.insert(name.to_owned(), value);
        }
    };
    match selection.scope {
        Scope::AllGames => set("name", "trace-all".into()),
        Scope::Step { game, step } => {
            set("name", "trace".into());
            set("game", json!(game));
            set("step", json!(step.unwrap_or(0)));
        }
    }
    set("layer", json!(selection.layer.or(selection.feature.map(|name| name.layer))));
    set("feature", json!(selection.feature.map(|name| name.feature)));
    set("span", json!(selection.span));
    set("limit", json!(selection.limit));
    set("specials", json!((selection.specials == Specials::Include).then_some("include")));
    let given = |given: &Option<Given>| given.as_ref().map(numbers);
    set("importance", json!(given(&weights.importance)));
    set("couplings", json!(given(&weights.couplings)));
    Value::Object(settings)
}

/// The rows of a table of weights as lists.
fn numbers(given: &Given) -> Vec<Vec<Value>> {
    let mut json = Vec::new();
    queries::write(&mut given.rows().clone(), queries::Format::Json, &mut json).unwrap();
    let rows = serde_json::from_slice::<Vec<Map<String, Value>>>(&json).unwrap();
    rows.into_iter().map(|row| row.into_iter().map(|(_, value)| value).collect()).collect()
}

#[test]
fn traces_are_what_plain_loops_find() {
    let tables = tables();
    let mut selections = vec![Selection::default(), all_games()];
    for game in [0, 1] {
        selections.push(step(game, 1));
        selections.push(Selection { specials: Specials::Include, limit: Some(30), ..step(game, 0) });
    }
    selections.push(Selection { layer: Some(3), ..step(0, 1) });
    selections.push(Selection { feature: Some(feature(7, 9)), limit: Some(1), ..Selection::default() });
    selections.push(Selection { specials: Specials::Include, limit: Some(3), ..all_games() });
    selections.push(Selection { span: Some("balance".to_owned()), ..all_games() });
    selections.push(Selection {
        span: Some("decision".to_owned()),
        feature: Some(feature(7, 5)),
        ..all_games()
    });
    let mut cases = Vec::new();
    for selection in &selections {
        for weights in [Weights::default(), weights()] {
            let asked = trace::ask(&tables, selection, &weights).unwrap();
            cases.push((asked, settings(selection, &weights)));
        }
    }
    let found = loops::check(&made().join("lake"), cases);
    assert!(found.iter().filter(|rows| **rows > 2).count() > 15, "{found:?}");
}

#[test]
fn traces_of_made_games_are_what_plain_loops_find() {
    let lake = games().join("lake");
    let tables = Tables::open(&lake).unwrap();
    let given = Weights {
        importance: Some(Given::importance(&games().join("importance.parquet")).unwrap()),
        couplings: Some(Given::couplings(&games().join("couplings.parquet")).unwrap()),
    };
    let of_step = Selection {
        scope: Scope::Step { game: Some(1_000_003), step: Some(1) },
        limit: Some(5),
        ..Selection::default()
    };
    let special =
        Selection { scope: Scope::Step { game: Some(2_000_009), step: Some(0) }, ..of_step.clone() };
    let of_all = Selection { specials: Specials::Include, limit: Some(3), ..all_games() };
    let mut cases = Vec::new();
    for selection in [of_step, special, all_games(), of_all] {
        for weights in [&Weights::default(), &given] {
            let asked = trace::ask(&tables, &selection, weights).unwrap();
            cases.push((asked, settings(&selection, weights)));
        }
    }
    let found = loops::check(&lake, cases);
    assert!(found.iter().all(|rows| *rows >= 9), "{found:?}");
}

#[test]
fn what_was_planted_is_traced() {
    let truth = std::fs::read(games().join("truth.json")).unwrap();
    let planted = &serde_json::from_slice::<Value>(&truth).unwrap()["planted"]["coupled"];
    let name = |end: &str| planted[end].as_str().unwrap().parse::<FeatureName>().unwrap();
    let (from, to) = (name("from"), name("to"));
    let tables = Tables::open(&games().join("lake")).unwrap();
    let span = planted["span"].as_str().map(str::to_owned);
    let selection = Selection { feature: Some(to), span, ..all_games() };
    let found = rows(trace::ask(&tables, &selection, &Weights::default()).unwrap()).unwrap();
    assert_eq!(
        (&found[0]["from_layer"], &found[0]["from_feature"]),
        (&json!(from.layer), &json!(from.feature))
    );
    assert!(found[0]["correlation"].as_f64().unwrap() > 0.99);
    assert!(found[1]["correlation"].as_f64().unwrap().abs() < 0.9);
}

#[test]
fn edges_lead_from_tokens_to_the_output() {
    let found = rows(trace::ask(&tables(), &step(0, 1), &Weights::default()).unwrap()).unwrap();
    let of = |kind: &str| found.iter().filter(|row| row["kind"] == kind).collect::<Vec<_>>();
    let (outputs, features, tokens) = (of("output"), of("feature"), of("token"));
    assert_eq!((outputs.len(), features.len()), (2, 16));
    assert_eq!(found.len(), outputs.len() + features.len() + tokens.len());
    for output in &outputs {
        assert_eq!((&output["from_position"], &output["from_token"]), (&json!(7), &json!("?")));
        assert_eq!(output["score"], output["activation"]);
        assert!(output["to_layer"].is_null() && output["attention"].is_null());
    }
    // What the decision carries itself needs no attention; the special token 5 and position 0 are no sources.
    for edge in &features {
        assert_eq!(edge["attention"] == 1.0, edge["from_position"] == 7);
        assert!(![json!(0), json!(5)].contains(&edge["from_position"]));
        assert!(outputs.iter().any(|output| output["from_feature"] == edge["to_feature"]));
        let own = tokens.iter().find(|token| {
            token["to_position"] == edge["from_position"] && token["to_feature"] == edge["from_feature"]
        });
        assert_eq!(own.unwrap()["from_position"], edge["from_position"]);
    }
}

#[test]
fn pairs_are_all_that_couplings_can_be_asked_of() {
    let tables = tables();
    let all = FEATURES.iter().flat_map(|from| FEATURES.map(|to| (3, *from, 7, to))).collect::<Vec<_>>();
    for selection in [step(0, 0), all_games()] {
        assert_eq!(trace::pairs(&tables, &selection, &Weights::default()).unwrap(), all);
        let one = Selection { feature: Some(feature(7, 9)), ..selection.clone() };
        assert_eq!(trace::pairs(&tables, &one, &weights()).unwrap(), [(3, 5, 7, 9), (3, 9, 7, 9)]);
        let lowest = Selection { layer: Some(3), ..selection };
        assert_eq!(trace::pairs(&tables, &lowest, &Weights::default()).unwrap(), []);
    }
}

#[test]
fn weights_are_read_from_files() {
    let (folder, tables) = (TempDir::new().unwrap(), tables());
    let path = |name: &str| folder.path().join(name);
    std::fs::write(
        path("importance.csv"),
        "note,layer,feature,importance\na,7,5,-2.5\nb,7,9,0.25\nc,3,5,9\n",
    )
    .unwrap();
    let given = weights().couplings.unwrap();
    let mut parquet = Vec::new();
    queries::write(&mut given.rows().clone(), queries::Format::Parquet, &mut parquet).unwrap();
    std::fs::write(path("couplings.parquet"), parquet).unwrap();
    let read = Weights {
        importance: Some(Given::importance(&path("importance.csv")).unwrap()),
        couplings: Some(Given::couplings(&path("couplings.parquet")).unwrap()),
    };
    let asked = |weights: &Weights| trace::ask(&tables, &step(0, 1), weights).unwrap();
    assert_eq!(rows(asked(&read)).unwrap(), rows(asked(&weights())).unwrap());
    let names = read.variables().iter().map(|(name, _)| name).collect::<Vec<_>>();
    assert_eq!(names, ["couplings"], "SQL reads Parquet only");
}

#[test]
fn weights_that_make_no_sense_are_refused() {
    let folder = TempDir::new().unwrap();
    let refused = |name: &str, content: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        let error = Given::importance(&path).unwrap_err();
        assert_eq!(error.exit_code(), 2);
        assert!(error.hint().unwrap().starts_with("importances have the columns layer, feature, importance"));
        let text = error.to_string();
        assert!(text.starts_with(&*path.to_string_lossy()), "{text}");
        text
    };
    assert!(refused("a.csv", "layer,importance\n7,1\n").ends_with("it has no column `feature`"));
    assert!(
        refused("b.csv", "layer,feature,importance\n7,1,2\n7,1,3\n").ends_with("layer, feature comes twice")
    );
    assert!(refused("c.csv", "layer,feature,importance\n7,1,\n").ends_with("a number is missing"));
    assert!(refused("d.csv", "layer,feature,importance\n7,x,1\n").contains("it cannot be read"));
    assert!(refused("e.parquet", "no Parquet").contains("it cannot be read"));
    let error = Given::couplings(Path::new("nowhere.parquet")).unwrap_err();
    assert!(error.to_string().starts_with("nowhere.parquet: it cannot be read"), "{error}");
    let error = Given::of_importance(&[(7, 5, f32::NAN)]).unwrap_err();
    assert_eq!(error.to_string(), "the weights: a number of `importance` is not finite");
}

#[test]
fn what_is_not_there_is_named() {
    let tables = tables();
    let refused = |selection: Selection| trace::ask(&tables, &selection, &Weights::default()).err().unwrap();
    for selection in [step(0, 0), all_games()] {
        let error = refused(Selection { feature: Some(feature(7, 6)), ..selection.clone() });
        assert_eq!(error.to_string(), "L7-6 fires nowhere here; the nearest that do are L7-5, L7-9");
        assert_eq!(error.exit_code(), 1);
        let error = refused(Selection { layer: Some(3), feature: Some(feature(7, 5)), ..selection });
        assert!(matches!(error, QueryError::TwoLayers { layer: 3, .. }), "{error}");
    }
    let error = refused(Selection { layer: Some(5), ..all_games() });
    assert_eq!(error.to_string(), "no game has anything at layer 5; there are the layers 3, 7");
    let error = refused(Selection { layer: Some(5), ..step(0, 0) });
    assert!(matches!(error, QueryError::UnknownLayer { layer: 5, .. }), "{error}");
    let error = refused(Selection { span: Some("balanc".to_owned()), ..all_games() });
    assert!(error.to_string().starts_with("there is no span `balanc`; the nearest are balance"), "{error}");
}

#[test]
fn a_trace_opens_no_file_above_its_layer() {
    let folder = TempDir::new().unwrap();
    let lake = copy(&folder);
    for table in ["features", "positions", "attention", "attention_rows"] {
        std::fs::write(lake.join(table).join("game_block=0/layer=7/part-z.parquet"), "not Parquet").unwrap();
    }
    let damaged = Tables::open(&lake).unwrap();
    for selection in [step(0, 1), all_games()] {
        let selection = Selection { layer: Some(3), ..selection };
        let found = |tables: &Tables| rows(trace::ask(tables, &selection, &Weights::default())?);
        assert_eq!(found(&damaged).unwrap(), found(&tables()).unwrap());
        let error = trace::ask(&damaged, &Selection { layer: None, ..selection }, &Weights::default());
        assert!(matches!(error.err().unwrap(), QueryError::Engine(_)));
    }
}
