//! What an analysis adds beside the games: added, replaced, refused, and missing in lakes that have none.

use saelake::lake::{Analysis, Lake, LakeError, verify};
use schemas::{CAUSAL, edges, effects, interventions};

use super::synthetic::{SMALL, batch, first_batch};
use super::{data_files, folder};

fn arm(analysis: &str, arm: i32) -> interventions::Row {
    interventions::Row {
        analysis: analysis.to_owned(),
        arm,
        name: "L15-59 x 3".to_owned(),
        command: "patch".to_owned(),
        started_at: "2026-11-25T22:00:00Z".to_owned(),
        saelake_version: "0.1.0".to_owned(),
        model: "m".to_owned(),
        model_hash: "h".to_owned(),
        edit: "replace".to_owned(),
        hook: None,
        layer: Some(15),
        head: None,
        feature: Some(59),
        span: None,
        strength: None,
        scope: "prompt".to_owned(),
        seed: 0,
        settings: "{}".to_owned(),
    }
}

fn effect(analysis: &str, row: i32, (game, step): (i64, i32)) -> effects::Row {
    effects::Row {
        game,
        step,
        analysis: analysis.to_owned(),
        row,
        arm: 0,
        metric: "logit( Bet) - logit( Stop)".to_owned(),
        method: "exact".to_owned(),
        node: "activation".to_owned(),
        hook: Some("blocks.15.hook_resid_post".to_owned()),
        layer: Some(15),
        position_start: Some(3),
        position_end: Some(4),
        span: None,
        head: None,
        feature: None,
        strength: None,
        estimate: None,
        exact: Some(0.25),
        metric_base: 1.0,
        metric_other: Some(2.0),
    }
}

fn edge(analysis: &str, row: i32, game: i64) -> edges::Row {
    edges::Row {
        game,
        step: 0,
        analysis: analysis.to_owned(),
        row,
        source_node: "token".to_owned(),
        source_layer: None,
        source_position: 3,
        source_feature: None,
        target_node: "metric".to_owned(),
        target_layer: None,
        target_position: 9,
        target_feature: None,
        weight: -0.5,
        method: "gradient".to_owned(),
        frozen: true,
    }
}

/// An analysis of game 3 with one arm and so many effects.
fn analysis(name: &str, effects: i32) -> Analysis {
    Analysis {
        interventions: std::iter::once(arm(name, 0)).collect(),
        effects: (0..effects).rev().map(|row| effect(name, row, (3, 1))).collect(),
        edges: std::iter::once(edge(name, 0, 3)).collect(),
    }
}

fn rows(lake: &Lake) -> Vec<effects::Row> {
    let files = lake.files(&effects::TABLE).unwrap();
    let of_file = |file| lake.read(&effects::TABLE, file).unwrap();
    let rows = |values| effects::Rows::from_values(values).unwrap().into_rows();
    files.iter().map(of_file).flat_map(rows).collect()
}

#[test]
fn a_lake_without_an_analysis_is_as_it_was_and_gets_its_tables_with_the_first() {
    let folder = folder();
    let mut lake = Lake::create_or_open(folder.path()).unwrap();
    lake.append(first_batch(&[3, 5], SMALL)).unwrap();
    let games = data_files(folder.path());
    assert!(CAUSAL.iter().all(|table| !folder.path().join(table.name).exists()));
    assert!(matches!(lake.files(&effects::TABLE), Err(LakeError::MissingTable { table: "effects", .. })));
    assert_eq!(Lake::open(folder.path()).unwrap().info().unwrap().tables.len(), schemas::ALL.len());

    let receipt = lake.add_analysis(analysis("a", 3)).unwrap();
    assert_eq!((receipt.rows, receipt.games), (5, 0));
    for lake in [lake, Lake::open(folder.path()).unwrap()] {
        assert_eq!(rows(&lake).iter().map(|row| row.row).collect::<Vec<_>>(), [0, 1, 2]);
        assert_eq!(rows(&lake)[2], effect("a", 2, (3, 1)));
        let info = lake.info().unwrap();
        let causal: Vec<(&str, u64)> =
            info.tables[schemas::ALL.len()..].iter().map(|table| (table.name, table.rows)).collect();
        assert_eq!(causal, [("edges", 1), ("effects", 3), ("interventions", 1)]);
    }
    // Games are untouched, can be asked about, and can be added.
    let kept = data_files(folder.path()).into_iter().filter(|file| games.contains(file));
    assert_eq!(kept.count(), games.len());
    assert!(queries::Tables::open(folder.path()).is_ok());
    let mut lake = Lake::open(folder.path()).unwrap();
    lake.append(batch(&[9], SMALL)).unwrap();
    assert_eq!((rows(&lake).len(), lake.n_games()), (3, 3), "what a new game clears away is no analysis");
}

#[test]
fn the_same_analysis_takes_its_own_place() {
    let folder = folder();
    let mut lake = Lake::create_or_open(folder.path()).unwrap();
    lake.append(first_batch(&[3], SMALL)).unwrap();
    lake.add_analysis(analysis("a", 3)).unwrap();
    lake.add_analysis(analysis("b", 1)).unwrap();
    lake.add_analysis(analysis("a", 2)).unwrap();
    let names: Vec<String> = rows(&lake).into_iter().map(|row| row.analysis).collect();
    assert_eq!(names, ["a", "a", "b"]);
    assert_eq!(lake.files(&interventions::TABLE).unwrap().len(), 2);
}

#[test]
fn an_analysis_that_is_not_in_order_is_refused_whole() {
    let folder = folder();
    let mut lake = Lake::create_or_open(folder.path()).unwrap();
    lake.append(first_batch(&[3], SMALL)).unwrap();
    let mut refused = |change: &dyn Fn(&mut Analysis), says: &str| {
        let mut analysis = analysis("a", 2);
        change(&mut analysis);
        let error = lake.add_analysis(analysis).unwrap_err().to_string();
        assert!(error.contains(says), "`{says}` is not in: {error}");
    };
    refused(
        &|analysis| analysis.interventions = interventions::Rows::default(),
        "one row in `interventions`",
    );
    refused(&|analysis| analysis.effects.analysis[1] = "b".to_owned(), "`a` and `b`");
    refused(&|analysis| analysis.effects.game[0] = 4, "game 4");
    refused(&|analysis| analysis.edges.game[0] = 4, "game 4");
    refused(&|analysis| analysis.effects.row[0] = analysis.effects.row[1], "row 0");
    refused(&|analysis| analysis.effects.exact[0] = Some(f32::NAN), "NaN");
    assert!(CAUSAL.iter().all(|table| !folder.path().join(table.name).exists()), "nothing is half-written");
    // A game that was played anew need not be in the lake.
    let mut anew = analysis("a", 2);
    for (game, step) in anew.effects.game.iter_mut().zip(&mut anew.effects.step) {
        (*game, *step) = (4, -1);
    }
    assert!(lake.add_analysis(anew).is_ok());
}

#[test]
fn a_step_is_read_with_its_tokens_and_spans() {
    let folder = folder();
    let mut lake = Lake::create_or_open(folder.path()).unwrap();
    let given = first_batch(&[3, 5], SMALL);
    lake.append(given.clone()).unwrap();
    let step = lake.step(5, 1).unwrap().unwrap();
    let of_step = |game: &i64, step: &i32| (*game, *step) == (5, 1);
    let tokens: Vec<_> =
        given.tokens.into_rows().into_iter().filter(|row| of_step(&row.game, &row.step)).collect();
    assert_eq!(step.tokens, tokens);
    assert_eq!((step.row.game, step.row.step, step.row.n_tokens as usize), (5, 1, tokens.len()));
    assert_eq!(step.spans.len(), 3);
    assert!(lake.step(5, 2).unwrap().is_none() && lake.step(4, 0).unwrap().is_none());
    assert_eq!((lake.steps_of(5).unwrap(), lake.steps_of(4).unwrap()), (vec![0, 1], vec![]));
}

/// Games 3 and 5 have effects, edges and a game played anew; 3 goes, and the analysis may be done again.
#[test]
fn a_dropped_game_leaves_no_row_of_an_analysis() {
    let folder = folder();
    let mut lake = Lake::create_or_open(folder.path()).unwrap();
    lake.append(first_batch(&[3, 5], SMALL)).unwrap();
    let mut both = analysis("a", 3);
    both.effects.push(effect("a", 3, (3, -1)));
    both.effects.push(effect("a", 4, (5, 0)));
    both.edges.push(edge("a", 1, 5));
    lake.add_analysis(both).unwrap();
    lake.add_analysis(analysis("b", 2)).unwrap();
    assert_eq!(verify(folder.path()).unwrap().findings, []);
    lake.drop_games(&[3].into(), &mut |_| {}).unwrap();
    for lake in [&lake, &Lake::open(folder.path()).unwrap()] {
        assert_eq!(rows(lake), [effect("a", 4, (5, 0))]);
        assert_eq!(lake.files(&edges::TABLE).unwrap().iter().map(|file| file.rows).sum::<u64>(), 1);
    }
    assert_eq!(verify(folder.path()).unwrap().findings, []);
    let mut again = analysis("a", 0);
    again.edges = edges::Rows::default();
    again.effects.push(effect("a", 0, (5, 1)));
    lake.add_analysis(again).unwrap();
    assert_eq!(rows(&lake), [effect("a", 0, (5, 1))]);
    assert_eq!(verify(folder.path()).unwrap().findings, []);
}
