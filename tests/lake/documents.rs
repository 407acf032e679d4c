//! The texts that are made from the tables: `schemas/*.schema` and the column tables of `data-layout.md`.

use std::fs;

use crate::support::repository;

/// `SAELAKE_BLESS=1` writes the texts instead of comparing them.
fn check(path: &str, expected: &str) {
    let place = repository(path);
    if std::env::var_os("SAELAKE_BLESS").is_some() {
        fs::write(&place, expected).unwrap();
    }
    let found = fs::read_to_string(&place).unwrap_or_default();
    assert!(found == expected, "{path} differs from schemas/tables.rs; SAELAKE_BLESS=1 rewrites it");
}

#[test]
fn the_schema_files_are_those_of_the_tables() {
    for table in schemas::every() {
        check(&format!("schemas/{}.schema", table.name), &schemas::message(table));
    }
    let files = fs::read_dir(repository("schemas")).unwrap().map(|entry| entry.unwrap().path());
    let twins = files.filter(|path| path.extension().is_some_and(|end| end == "schema")).count();
    assert_eq!(twins, schemas::every().count(), "a schema file has no table");
}

/// The text twin is in Parquet's own notation, and the files have just that schema.
#[test]
fn the_schema_files_are_parquet_schemas() {
    for table in schemas::every() {
        let text = schemas::message(table);
        // The parser takes no comments; they name the folders.
        let message: String = text.lines().filter(|line| !line.starts_with("//")).collect();
        let parsed = parquet::schema::parser::parse_message_type(&message).unwrap();
        let names: Vec<&str> = parsed.get_fields().iter().map(|field| field.name()).collect();
        assert_eq!(names, table.columns.iter().map(|column| column.name).collect::<Vec<_>>());
    }
}

#[test]
fn the_column_tables_of_the_layout_are_those_of_the_tables() {
    let path = "data-layout.md";
    let mut text = fs::read_to_string(repository(path)).unwrap();
    for table in schemas::every() {
        let begin = format!("<!-- columns: {} -->\n", table.name);
        let start = text.find(&begin).unwrap_or_else(|| panic!("{path} has no {begin}")) + begin.len();
        let end = start + text[start..].find("<!-- end -->").unwrap();
        text.replace_range(start..end, &schemas::markdown(table));
    }
    check(path, &text);
}
