//! The tables as text: Parquet's message notation for the `*.schema` files, Markdown for `data-layout.md`.

use std::fmt::Write as _;

use crate::table::{Encoding, Table, Type};

/// The table in Parquet's message notation, partition columns as comments.
#[must_use]
pub fn message(table: &Table) -> String {
    let mut text = String::new();
    for partition in table.partition {
        let _ = writeln!(text, "// folder {}=<int32>", partition.name);
    }
    let _ = writeln!(text, "message {} {{", table.name);
    for column in table.columns {
        let presence = if column.nullable { "optional" } else { "required" };
        let (ty, annotation) = match column.ty {
            Type::Int32 => ("int32", ""),
            Type::Int64 => ("int64", ""),
            Type::Float32 => ("float", ""),
            Type::Utf8 => ("byte_array", " (STRING)"),
            Type::Boolean => ("boolean", ""),
        };
        let _ = writeln!(text, "  {presence} {ty} {}{annotation};", column.name);
    }
    text.push_str("}\n");
    text
}

/// The table as a Markdown table of its columns.
#[must_use]
pub fn markdown(table: &Table) -> String {
    let mut text = String::from("| column | type | encoding | what it holds |\n|---|---|---|---|\n");
    for partition in table.partition {
        let _ = writeln!(text, "| `{}` | Int32 | folder | {} |", partition.name, partition.about);
    }
    for column in table.columns {
        let encoding = match column.encoding {
            Encoding::Dictionary => "dictionary",
            Encoding::Plain => "plain",
            Encoding::Delta => "delta",
            Encoding::ByteStreamSplit => "byte stream split",
        };
        let missing = if column.nullable { ", may be missing" } else { "" };
        let _ = writeln!(
            text,
            "| `{}` | {:?}{missing} | {encoding} | {} |",
            column.name, column.ty, column.about
        );
    }
    text
}
