//! A report in a real browser without a network, and pictures of answers.

mod pictures;

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use serde_json::Value;
use tempfile::TempDir;

use crate::queries::{games, python};
use crate::support::{program, said};

/// Where the tests' reports are.
fn folder() -> &'static Path {
    static FOLDER: OnceLock<TempDir> = OnceLock::new();
    FOLDER.get_or_init(|| tempfile::tempdir().unwrap()).path()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Writes a report of the lake, with more options, and returns where it is.
fn report(lake: &Path, name: &str, options: &[&str]) -> PathBuf {
    let path = folder().join(name);
    let output = program(&[&["report", text(lake), "-o", text(&path)], options].concat());
    assert!(output.status.success(), "{}", said(&output));
    path
}

/// What a reader of the report of the made games saw.
fn seen() -> &'static Value {
    static SEEN: OnceLock<Value> = OnceLock::new();
    SEEN.get_or_init(|| {
        let path = report(&games().join("lake"), "games.html", &["--steps", "36"]);
        serde_json::from_str(&python("browser.py", &[&path], "")).unwrap()
    })
}

#[test]
fn the_page_opens_without_trouble_in_both_schemes_and_widths() {
    let visits = seen()["visits"].as_object().unwrap();
    assert_eq!(visits.len(), 4);
    for (name, visit) in visits {
        assert_eq!(visit["trouble"], serde_json::json!([]), "{name}");
        assert_eq!(visit["scroll_width"], visit["width"], "{name} scrolls sideways");
        assert_eq!(visit["missing"], serde_json::json!([]), "{name}");
    }
    assert_ne!(visits["light wide"]["background"], visits["dark wide"]["background"]);
    assert_ne!(visits["light wide"]["text"], visits["dark wide"]["text"]);
}

#[test]
fn every_token_is_text_and_runs_nothing() {
    let tokens = &seen()["tokens"];
    let [held, shown] = ["tokens", "shown"].map(|name| tokens[name].as_array().unwrap());
    assert_eq!(held.len(), shown.len());
    assert!(held.iter().any(|token| token.as_str().unwrap().starts_with("</script>")), "the lake has none");
    for (held, shown) in held.iter().zip(shown) {
        let (held, shown) = (held.as_str().unwrap(), shown.as_str().unwrap());
        if held.chars().all(|letter| !letter.is_whitespace() && !letter.is_control() && letter != '\u{202e}')
        {
            assert_eq!(held, shown);
        }
    }
    let shown = |text: &str| shown.iter().any(|token| token == text);
    assert!(shown("↵") && shown("⇥") && shown("·שלום") && shown("·‹202E›abc"));
    assert_eq!(tokens["scripts"], tokens["scripts_after"], "a token became a script");
    assert_eq!(tokens["pictures"], 0);
}

#[test]
fn pointing_at_a_token_says_what_is_known_of_it() {
    let hover = &seen()["hover"];
    let facts = hover["facts"].as_str().unwrap();
    assert!(facts.contains(&format!("position {}", hover["position"])), "{facts}");
    assert!(facts.contains(hover["token"].as_str().unwrap()) && facts.contains("attends to"), "{facts}");
    assert!(hover["arcs"].as_u64().unwrap() > 1);
    let tip = seen()["heatmap"].as_str().unwrap();
    for word in ["L11-", "position", "token", "activation"] {
        assert!(tip.contains(word), "no `{word}` in: {tip}");
    }
}

#[test]
fn games_steps_and_layers_are_chosen_in_the_page() {
    for name in ["layer", "step", "game"] {
        let choice = &seen()["chosen"][name];
        assert!(choice["to"] == choice["now"] && choice["changed"] == true, "{name}: {choice}");
    }
    let keys = &seen()["keys"];
    assert_eq!(keys["after"].as_i64().unwrap() + 1, keys["before"].as_i64().unwrap());
    let table = &seen()["table"];
    assert_ne!(table["down"], table["up"], "a table is not sorted");
    let theme = seen()["theme"].as_array().unwrap();
    assert_ne!(theme[0], theme[1]);
}

/// The tables of what changes do and of what adds to the decision have their rows, with names for nodes and ends.
#[test]
fn effects_and_edges_are_shown() {
    let causal = &seen()["causal"];
    let [effects, edges] = ["effects", "edges"].map(|name| causal[name].as_array().unwrap());
    assert!(effects.len() > 10 && edges.len() > 10, "{} and {}", effects.len(), edges.len());
    let nodes: Vec<&str> = effects.iter().map(|row| row[0].as_str().unwrap()).collect();
    assert!(nodes.iter().any(|node| node.starts_with('L') && node.contains('-')), "{nodes:?}");
    assert!(nodes.iter().any(|node| node.starts_with("unexplained, layer ")), "{nodes:?}");
    assert_eq!(edges[0][0], "decision");
    assert!(edges.iter().any(|row| row[1].as_str().unwrap().contains(" at ")), "{edges:?}");
}

#[test]
fn markup_in_names_is_shown_and_not_obeyed() {
    let lake = folder().join("hostile");
    python("hostile_lake.py", &[&games().join("lake"), &lake], "");
    let path = report(&lake, "hostile.html", &["--steps", "12"]);
    let seen: Value = serde_json::from_str(&python("browser.py", &[&path], "")).unwrap();
    for (name, visit) in seen["visits"].as_object().unwrap() {
        assert_eq!(visit["trouble"], serde_json::json!([]), "{name}");
        assert_eq!(visit["scroll_width"], visit["width"], "{name} scrolls sideways");
    }
    assert_eq!(seen["tokens"]["scripts"], seen["tokens"]["scripts_after"]);
    assert_eq!(seen["tokens"]["pictures"], 0);
    let body = seen["body"].as_str().unwrap();
    for name in ["game_id", "name", "model", "neuronpedia"] {
        assert!(
            body.contains(&format!("<script>alert(\"{name}\")</script>")),
            "{name} is not shown as it is"
        );
    }
    let links = seen["links"].as_array().unwrap();
    assert!(links.iter().all(|link| !link.as_str().unwrap().contains("alert")), "{links:?}");
}

#[test]
fn a_page_says_what_it_leaves_out() {
    let lake = games().join("lake");
    let few = report(&lake, "few.html", &["--steps", "7", "--layer", "7", "--where", "n_steps>1"]);
    let held = std::fs::read_to_string(few).unwrap();
    assert!(held.contains("\"steps_shown\":7") && held.contains("n_steps"));
    assert_eq!(held.matches("json\" id=\"step-").count(), 7);
    assert!(held.contains("default-src 'none'"));
}

#[test]
fn a_report_is_written_whole_or_not_at_all() {
    let lake = games().join("lake");
    let path = folder().join("none.html");
    let refused = |arguments: &[&str], code: i32, says: &str| {
        let output = program(arguments);
        assert_eq!(output.status.code(), Some(code), "{}", said(&output));
        assert!(said(&output).contains(says), "{}", said(&output));
    };
    refused(&["report", text(&lake), "-o", "/proc/none/report.html"], 3, "/proc/none/report.html");
    refused(&["report", text(&lake), "-o", text(&path), "--where", "outcome=lost"], 1, "outcome");
    refused(&["report", text(&lake), "-o", text(&path), "--layer", "4"], 1, "layer 4");
    refused(&["report", text(folder()), "-o", text(&path)], 3, "not a lake");
    let empty = folder().join("empty");
    for table in schemas::ALL {
        std::fs::create_dir_all(empty.join(table.name)).unwrap();
    }
    refused(&["report", text(&empty), "-o", text(&path)], 1, "no game");
    assert!(!path.exists(), "a refused report must leave nothing behind");
    let left = std::fs::read_dir(folder())
        .unwrap()
        .filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().ends_with(".part"));
    assert_eq!(left.count(), 0);
}
