//! A lake that stores positions once gives the answers of one that stores them with every step.

use std::path::Path;
use std::sync::OnceLock;

use queries::{QueryError, Selection, Tables, overview};
use serde_json::Value;
use tempfile::TempDir;

use super::{asked::cases_of, copy_of, difference, engine, engines::columns, games, python, rows};

/// What `shared_lake.py` made: a lake that stores every position and one that does not, of the same games.
fn made() -> &'static Path {
    static MADE: OnceLock<TempDir> = OnceLock::new();
    let folder = MADE.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let lakes = [games().join("lake"), folder.path().join("all"), folder.path().join("new")];
        let runs = python("shared_lake.py", &lakes.each_ref().map(AsRef::as_ref), "");
        assert!(runs.trim().parse::<u32>().unwrap() > 50, "steps share next to nothing: {runs}");
        folder
    });
    folder.path()
}

/// How many rows the files of a table hold.
fn stored(lake: &Path, table: &str) -> usize {
    let files = python("lake_rows.py", &[lake, Path::new(table)], "");
    files.trim().parse().unwrap()
}

#[test]
fn shared_positions_are_stored_once_and_seen_everywhere() {
    let (all, new) = (made().join("all"), made().join("new"));
    for table in ["features", "positions", "attention", "attention_rows"] {
        assert!(stored(&new, table) * 10 < stored(&all, table) * 9, "{table} has nothing less");
    }
    let differences = cases_of(&all).into_iter().zip(cases_of(&new)).filter_map(|(all, new)| {
        let (expected, found) = (rows(all.asked).unwrap(), rows(new.asked).unwrap());
        let columns: Vec<&str> = columns(&expected);
        let empty = expected.is_empty().then(|| "no rows".to_owned());
        let different = empty.or_else(|| difference(&found, &expected, &columns));
        different.map(|what| format!("{}: {what}", all.what))
    });
    let differences: Vec<String> = differences.collect();
    assert!(differences.is_empty(), "{}", differences.join("\n\n"));
}

#[test]
fn sql_sees_shared_positions_too() {
    let cases = cases_of(&made().join("new"));
    let answers = engine("duckdb", &cases.iter().map(|case| &case.asked).collect::<Vec<_>>());
    let mut differences = Vec::new();
    for (case, theirs) in cases.into_iter().zip(&answers) {
        let ours = rows(case.asked).unwrap();
        if let Some(difference) = difference(&ours, theirs, &columns(theirs)) {
            differences.push(format!("{}: {difference}", case.what));
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n\n"));
}

#[test]
fn where_decisions_alone_are_stored_a_question_about_more_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let lake = copy_of(&games().join("lake"), &folder);
    python("only_decisions.py", &[&lake], "");
    let tables = Tables::open(&lake).unwrap();
    let refused = |asked: Result<queries::Asked, QueryError>| match asked {
        Err(error @ QueryError::OnlyDecisions { .. }) => {
            assert_eq!((error.exit_code(), error.hint().is_some()), (2, true));
            true
        }
        Err(error) => panic!("{error}"),
        Ok(asked) => {
            assert!(!rows(asked).unwrap().is_empty(), "an empty answer says nothing");
            false
        }
    };
    let all = Selection { scope: queries::Scope::AllGames, ..Selection::default() };
    assert!(!refused(overview::ask(&tables, &all)));
    assert!(!refused(Ok(queries::games::ask(&tables, &all))));
    let decision = Selection { span: Some("decision".to_owned()), ..all.clone() };
    let groups = queries::contrast::Groups::default();
    assert!(!refused(queries::contrast::ask(&tables, &decision, &groups, 1)));
    assert!(refused(queries::contrast::ask(&tables, &all, &groups, 1)));
    for step in [all.clone(), Selection::default()] {
        assert!(refused(queries::attribution::ask(&tables, &step, queries::attribution::AsPublished::No)));
        assert!(refused(queries::heatmap::ask(&tables, &step)));
        assert!(refused(queries::flow::ask(&tables, &step, queries::flow::Heads::Mean)));
        assert!(refused(queries::trace::ask(&tables, &step, &queries::Weights::default())));
        assert!(refused(queries::features::ask(&tables, &step, &queries::Weights::default())));
        assert!(refused(queries::last_token::ask(
            &tables,
            &step,
            queries::last_token::Thresholds::default()
        )));
    }
    let whole = Tables::open(&games().join("lake")).unwrap();
    assert!(refused(queries::compare::ask(&whole, &tables, &all)));
    // Decisions have the numbers of a lake with all positions.
    let same = |tables: &Tables| -> Vec<Value> {
        rows(queries::contrast::ask(tables, &decision, &groups, 1).unwrap()).unwrap()
    };
    let (found, expected) = (same(&tables), same(&whole));
    assert_eq!(difference(&found, &expected, &columns(&expected)), None);
}
