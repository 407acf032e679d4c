//! Single pictures of answers: lines and pixels.

use std::path::Path;

use queries::attribution::{self, AsPublished};
use queries::contrast::{self, Groups};
use queries::flow::{self, Heads};
use queries::last_token::{self, Thresholds};
use queries::{
    Asked, Format, Scope, Selection, Tables, Weights, compare, features, heatmap, overview, position, trace,
};
use saelake::report::{ReportError, plot};

use super::folder;
use crate::queries::games;

/// An answer as JSON.
fn answer(asked: Asked) -> String {
    let mut rows = queries::run(asked.plan).unwrap();
    let mut json = Vec::new();
    queries::write(&mut rows, Format::Json, &mut json).unwrap();
    String::from_utf8(json).unwrap()
}

fn tables() -> Tables {
    Tables::open(&games().join("lake")).unwrap()
}

fn all() -> Selection {
    Selection { scope: Scope::AllGames, ..Selection::default() }
}

fn in_span(selection: &Selection) -> Selection {
    Selection { span: Some("balance".to_owned()), ..selection.clone() }
}

/// Every picture there is, by its question and an answer; about a step first, then about all games.
fn answers() -> Vec<(&'static str, String)> {
    let tables = tables();
    let other = Tables::open(&games().join("other")).unwrap();
    let mut answers = Vec::new();
    for selection in [Selection::default(), all()] {
        let weights = Weights::default();
        let spanned = in_span(&selection);
        answers.extend([
            ("attribution", attribution::ask(&tables, &selection, AsPublished::No)),
            ("features", features::ask(&tables, &selection, &weights)),
            ("flow", flow::ask(&tables, &selection, Heads::Mean)),
            ("heatmap", heatmap::ask(&tables, &selection)),
            ("position", position::ask(&tables, &spanned, Heads::Mean)),
            ("trace", trace::ask(&tables, &selection, &weights)),
            ("last-token", last_token::ask(&tables, &selection, Thresholds::default())),
        ]);
    }
    answers.extend([
        ("contrast", contrast::ask(&tables, &all(), &Groups::default(), contrast::MIN_SUPPORT)),
        ("compare", compare::ask(&tables, &other, &all())),
        ("overview", overview::ask(&tables, &all())),
    ]);
    answers.into_iter().map(|(question, asked)| (question, answer(asked.unwrap()))).collect()
}

/// The width and height that the head of a PNG says.
fn size_of_png(bytes: &[u8]) -> (u32, u32) {
    assert_eq!(bytes[..8], *b"\x89PNG\r\n\x1a\n");
    let number = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap());
    (number(16), number(20))
}

#[test]
fn every_picture_is_drawn_in_lines_and_in_pixels() {
    for (index, (question, rows)) in answers().into_iter().enumerate() {
        let [svg, png] = ["svg", "png"].map(|ending| folder().join(format!("{question}-{index}.{ending}")));
        plot(question, rows.as_bytes(), &svg).unwrap();
        plot(question, rows.as_bytes(), &png).unwrap();
        let drawn = std::fs::read_to_string(&svg).unwrap();
        assert!(drawn.starts_with("<svg") && drawn.contains("<text"), "{question}");
        assert!(!drawn.contains("NaN") && !drawn.contains("undefined"), "{question}");
        let (width, height) = size_of_png(&std::fs::read(&png).unwrap());
        if let Some(kept) = std::env::var_os("SAELAKE_PICTURES") {
            std::fs::copy(&png, Path::new(&kept).join(png.file_name().unwrap())).unwrap();
        }
        assert!(width == 1920 && height >= 200, "{question} is {width} by {height}");
    }
}

#[test]
fn the_words_of_an_answer_are_in_its_picture() {
    let rows = r#"[
        {"game":1,"step":0,"layer":8,"rank":1,"position":5,"token":" <b>&\"\u0000","importance":0.5,"attention":0.2,"feature_norm":3.0},
        {"game":1,"step":0,"layer":8,"rank":2,"position":7,"token":"\n\ufffe","importance":0.25,"attention":0.1,"feature_norm":2.0}
    ]"#;
    let path = folder().join("awkward.svg");
    plot("attribution", rows.as_bytes(), &path).unwrap();
    let svg = std::fs::read_to_string(&path).unwrap();
    assert!(
        svg.contains("step 0 of game 1, layer 8") && svg.contains("·&lt;b&gt;&amp;") && svg.contains('↵'),
        "{svg}"
    );
    plot("attribution", rows.as_bytes(), &folder().join("awkward.png")).unwrap();
}

#[test]
fn pictures_that_cannot_be_are_refused() {
    let refused =
        |question: &str, rows: &str, path: &Path| plot(question, rows.as_bytes(), path).unwrap_err();
    let svg = folder().join("refused.svg");
    let row = r#"[{"layer":1,"x":2}]"#;
    let error = refused("attribution", row, Path::new("picture.gif"));
    assert!(matches!(error, ReportError::UnknownPicture { .. }) && error.exit_code() == 2, "{error}");
    let error = refused("runs", row, &svg);
    assert!(matches!(error, ReportError::NoPicture { .. }) && error.exit_code() == 2, "{error}");
    let error = refused("overview", "[]", &svg);
    assert!(matches!(error, ReportError::NoRows) && error.exit_code() == 1, "{error}");
    assert!(matches!(refused("overview", "{", &svg), ReportError::Answer(_)));
    let rows = &answers()[0].1;
    let error = refused("attribution", rows, Path::new("/proc/none/picture.svg"));
    assert!(matches!(error, ReportError::Unwritable { .. }) && error.exit_code() == 3, "{error}");
    assert!(!svg.exists());
}
