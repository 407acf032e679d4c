//! An answer in every format.

use std::io::{self, Write};

use queries::{Format, QueryError, attribution::AsPublished};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{GAMES, Question, python, tables};

fn small() -> Question {
    Question {
        game: Some(GAMES[1]),
        step: Some(0),
        layer: Some(3),
        limit: Some(4),
        published: AsPublished::Yes,
        ..Question::default()
    }
}

fn written(question: &Question, format: Format) -> Vec<u8> {
    let mut frame = queries::run(question.asked(&tables()).unwrap().plan).unwrap();
    let mut out = Vec::new();
    queries::write(&mut frame, format, &mut out).unwrap();
    out
}

fn text(question: &Question, format: Format) -> String {
    String::from_utf8(written(question, format)).unwrap()
}

#[test]
fn a_table_is_for_people() {
    assert_eq!(
        text(&small(), Format::Table),
        r#"
         game  step  layer  rank  position  token      importance  attention  feature_norm  published_importance  published_rank
7000000000022     0      3     1         1  Stop           0.3622     0.1435         20.52                     0               3
7000000000022     0      3     2         2  " now"         0.1969    0.09759         16.40                     0               4
7000000000022     0      3     3         3  " now"         0.1969    0.09759         16.40                     0               5
7000000000022     0      3     4         4  " \"or\""      0.1530     0.1523         8.165                     0               6
7000000000022     0      3     -         6  <end>               -     0.1369         19.93                 1.000               1
"#
        .trim_start_matches('\n')
    );
}

#[test]
fn a_line_break_does_not_break_a_line() {
    let table = text(&Question { limit: Some(100), ..Question::default() }, Format::Table);
    assert_eq!(table.lines().count(), 1 + 6, "{table}");
    assert!(table.contains("\"\\n\"") && table.contains("\" $90\""), "{table}");
}

#[test]
fn csv_rounds_nothing() {
    let csv = text(&small(), Format::Csv);
    assert_eq!(
        csv.lines().collect::<Vec<_>>(),
        [
            "game,step,layer,rank,position,token,importance,attention,feature_norm,published_importance,published_rank",
            "7000000000022,0,3,1,1,Stop,0.3622398,0.14349434,20.52271,0.0,3",
            "7000000000022,0,3,2,2, now,0.19691014,0.09758937,16.40359,0.0,4",
            "7000000000022,0,3,3,3, now,0.19691014,0.09758937,16.40359,0.0,5",
            "7000000000022,0,3,4,4,\" \"\"or\"\"\",0.15297756,0.1523093,8.165346,0.0,6",
            "7000000000022,0,3,,6,<end>,,0.13685668,19.927103,1.0,1",
        ]
    );
}

#[test]
fn json_is_an_array_of_objects() {
    let question = Question { limit: Some(1), published: AsPublished::No, ..small() };
    assert_eq!(
        text(&question, Format::Json),
        "[{\"game\":7000000000022,\"step\":0,\"layer\":3,\"rank\":1,\"position\":1,\"token\":\"Stop\",\
         \"importance\":0.3622398,\"attention\":0.14349434,\"feature_norm\":20.52271}]\n"
    );
    assert_eq!(text(&Question { limit: Some(0), ..question }, Format::Json), "[]\n");
}

#[test]
fn parquet_holds_the_rows() {
    let folder = TempDir::new().unwrap();
    let (file, sql) = (folder.path().join("answer.parquet"), folder.path().join("all.sql"));
    std::fs::write(&file, written(&small(), Format::Parquet)).unwrap();
    std::fs::write(&sql, "SELECT * FROM read_parquet(getvariable('lake'))").unwrap();
    let jobs = json!([{"sql": sql, "variables": {"lake": file}}]);
    let read = python("engines.py", &[], &jobs.to_string());
    let read = serde_json::from_str::<Value>(&read).unwrap();
    let rows = serde_json::from_str::<Value>(&text(&small(), Format::Json)).unwrap();
    assert_eq!(rows.as_array().unwrap().len(), 5);
    // DuckDB returns single precision in double; the shortest decimals of both name the same float.
    let single = |rows: &Value| {
        let mut rows = rows.clone();
        for row in rows.as_array_mut().unwrap() {
            for value in row.as_object_mut().unwrap().values_mut() {
                if let Some(x) = value.as_f64().filter(|_| value.is_f64()) {
                    *value = Value::from(f64::from(x as f32));
                }
            }
        }
        rows
    };
    assert_eq!(single(&read[0]), single(&rows));
}

#[test]
fn nothing_found_is_a_header() {
    let question = Question { limit: Some(0), ..Question::default() };
    assert_eq!(
        text(&question, Format::Table),
        "game  step  layer  rank  position  token  importance  attention  feature_norm\n"
    );
    assert_eq!(
        text(&question, Format::Csv),
        "game,step,layer,rank,position,token,importance,attention,feature_norm\n"
    );
}

#[test]
fn formats_have_names() {
    for format in [Format::Table, Format::Csv, Format::Json, Format::Parquet] {
        assert_eq!(format.to_string().parse::<Format>().unwrap(), format);
    }
    let error = "yaml".parse::<Format>().unwrap_err();
    assert_eq!(error.to_string(), "there is no format `yaml`");
    assert_eq!(error.exit_code(), 2);
    assert_eq!(error.hint().unwrap(), "the formats are table, csv, json and parquet");
}

/// A disk that is full from the start.
struct Full;

impl Write for Full {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::Error::from(io::ErrorKind::StorageFull))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn an_answer_that_cannot_be_written_is_an_error() {
    for format in [Format::Table, Format::Csv, Format::Json, Format::Parquet] {
        let mut frame = queries::run(small().asked(&tables()).unwrap().plan).unwrap();
        let error = queries::write(&mut frame, format, &mut Full).unwrap_err();
        let QueryError::Output(error) = error else { panic!("{format}: {error}") };
        assert_eq!(error.kind(), io::ErrorKind::StorageFull, "{format}");
    }
}
