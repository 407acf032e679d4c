//! An answer as text or Parquet.

use std::{fmt, io::Write, str::FromStr};

use polars::prelude::{
    AnyValue, Column, CsvWriter, DataFrame, JsonFormat, JsonWriter, ParquetWriter, SerWriter as _,
};

use crate::QueryError;

/// How an answer is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// Aligned columns for people. Floats have four significant digits; text that would not be seen as it
    /// is (line breaks, spaces at an end, quotes, backslashes) is quoted and escaped; `-` is a missing value.
    #[default]
    Table,
    /// Comma-separated values with a header, nothing rounded; a missing value is empty.
    Csv,
    /// An array of objects, nothing rounded.
    Json,
    /// A Parquet file.
    Parquet,
}

impl FromStr for Format {
    type Err = QueryError;

    fn from_str(name: &str) -> Result<Self, QueryError> {
        match name {
            "table" => Ok(Self::Table),
            "csv" => Ok(Self::Csv),
            "json" => Ok(Self::Json),
            "parquet" => Ok(Self::Parquet),
            _ => Err(QueryError::UnknownFormat { name: name.to_owned() }),
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Table => "table",
            Self::Csv => "csv",
            Self::Json => "json",
            Self::Parquet => "parquet",
        })
    }
}

/// Writes every row and column of `frame`, all or nothing unless `out` fails midway.
///
/// # Errors
/// [`QueryError::Output`] if `out` does not take it.
pub fn write(frame: &mut DataFrame, format: Format, out: &mut impl Write) -> Result<(), QueryError> {
    let mut bytes = Vec::new();
    match format {
        Format::Table => bytes.extend(table(frame)?.into_bytes()),
        Format::Csv => CsvWriter::new(&mut bytes).finish(frame)?,
        Format::Json => {
            JsonWriter::new(&mut bytes).with_json_format(JsonFormat::Json).finish(frame)?;
            bytes.push(b'\n');
        }
        Format::Parquet => {
            ParquetWriter::new(&mut bytes).finish(frame)?;
        }
    }
    out.write_all(&bytes)?;
    Ok(out.flush()?)
}

fn table(frame: &DataFrame) -> Result<String, QueryError> {
    const GAP: &str = "  ";
    let columns = frame.columns().iter().map(Cells::new).collect::<Result<Vec<_>, _>>()?;
    let mut text = String::new();
    for line in 0..=frame.height() {
        let cells = columns.iter().map(|column| column.padded(line)).collect::<Vec<_>>();
        text.push_str(cells.join(GAP).trim_end());
        text.push('\n');
    }
    Ok(text)
}

/// A column as text, its name first.
struct Cells {
    lines: Vec<String>,
    width: usize,
    side: Side,
}

/// The side that a column is aligned to.
enum Side {
    Left,
    Right,
}

impl Cells {
    fn new(column: &Column) -> Result<Self, QueryError> {
        let mut lines = vec![column.name().to_string()];
        for row in 0..column.len() {
            lines.push(cell(&column.get(row)?));
        }
        let width = lines.iter().map(|line| line.chars().count()).max().unwrap_or_default();
        let side = if column.dtype().is_numeric() { Side::Right } else { Side::Left };
        Ok(Self { lines, width, side })
    }

    fn padded(&self, line: usize) -> String {
        let (text, width) = (&self.lines[line], self.width);
        match self.side {
            Side::Left => format!("{text:<width$}"),
            Side::Right => format!("{text:>width$}"),
        }
    }
}

fn cell(value: &AnyValue<'_>) -> String {
    match value {
        AnyValue::Null => "-".to_owned(),
        AnyValue::Float32(x) => significant(f64::from(*x)),
        AnyValue::Float64(x) => significant(*x),
        AnyValue::String(text) => visible(text),
        AnyValue::StringOwned(text) => visible(text),
        other => other.to_string(),
    }
}

/// Four significant digits, as a decimal where that is short and with an exponent elsewhere.
fn significant(x: f64) -> String {
    const DIGITS: i32 = 4;
    if x == 0.0 || !x.is_finite() {
        return x.to_string();
    }
    // The exponent after rounding: 9.9996 is 1.000e1.
    let scientific = format!("{x:.*e}", (DIGITS - 1) as usize);
    let exponent = scientific.split_once('e').and_then(|(_, exponent)| exponent.parse::<i32>().ok());
    match exponent {
        Some(exponent @ -4..=6) => format!("{x:.*}", (DIGITS - 1 - exponent).max(0) as usize),
        _ => scientific,
    }
}

/// The text, quoted and escaped if it would not be seen as it is.
fn visible(text: &str) -> String {
    let hidden = |c: char| c.is_control() || c == '"' || c == '\\';
    let plain = !text.is_empty() && text == text.trim() && text != "-" && !text.contains(hidden);
    if plain { text.to_owned() } else { format!("{text:?}") }
}
