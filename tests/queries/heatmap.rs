//! Heatmaps say what numpy says.

use queries::{Scope, Selection, Specials, heatmap};

use super::{
    plain::{compare, refused},
    rows, tables,
};

fn selections() -> Vec<Selection> {
    vec![
        Selection::default(),
        Selection { layer: Some(3), limit: Some(1), ..Selection::default() },
        Selection { span: Some("balance".to_owned()), limit: Some(20), ..Selection::default() },
        Selection { span: Some("decision".to_owned()), ..Selection::default() },
        Selection {
            specials: Specials::Include,
            feature: Some("L7-5".parse().unwrap()),
            ..Selection::default()
        },
    ]
}

#[test]
fn the_heatmap_of_a_step_is_what_numpy_says() {
    compare("heatmap", &selections(), heatmap::ask);
}

#[test]
fn the_heatmap_of_all_games_is_what_numpy_says() {
    compare("heatmap-all", &selections(), heatmap::ask);
}

#[test]
fn the_feature_that_varies_most_comes_first() {
    let tables = tables();
    let numbers = |limit| {
        let selection = Selection { limit, ..Selection::default() };
        let rows = rows(heatmap::ask(&tables, &selection).unwrap()).unwrap();
        let mut numbers = rows.iter().map(|row| row["feature"].as_i64().unwrap()).collect::<Vec<_>>();
        numbers.sort_unstable();
        numbers.dedup();
        numbers
    };
    // Both fire everywhere, in proportion; feature 9 is the stronger.
    assert_eq!(numbers(Some(1)), [9]);
    assert_eq!(numbers(None), [5, 9]);
}

#[test]
fn what_a_heatmap_cannot_find_is_named() {
    let tables = tables();
    for scope in [Scope::default(), Scope::AllGames] {
        let said = |selection: Selection, code| {
            refused(heatmap::ask(&tables, &Selection { scope, ..selection }), code)
        };
        let feature = Selection { feature: Some("L3-6".parse().unwrap()), ..Selection::default() };
        assert_eq!(said(feature.clone(), 1), "L3-6 fires nowhere here; the nearest that do are L3-5, L3-9");
        assert_eq!(said(Selection { layer: Some(7), ..feature }, 2), "L3-6 is no feature of layer 7");
        let span = Selection { span: Some("goal".to_owned()), ..Selection::default() };
        assert!(said(span, 1).starts_with("there is no span `goal`; the nearest are "));
        assert!(said(Selection { layer: Some(4), ..Selection::default() }, 1).contains("layer 4"));
    }
}
