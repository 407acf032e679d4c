//! Rows as small JSON: by column, rounded to what people read.

use serde_json::{Map, Number, Value, json};

use super::answers::Row;

/// Significant digits that are kept, as many as the page shows.
const DIGITS: usize = 3;

/// The rows as columns, those named in `without` left out. A column with one value is written once, and one with long
/// runs of a value as values and lengths; `unpack` in page/data.js reads it.
pub(super) fn pack(rows: &[Row], without: &[&str]) -> Value {
    let names = rows.first().map(|row| row.keys().cloned().collect::<Vec<_>>()).unwrap_or_default();
    let columns = names.into_iter().filter(|name| !without.contains(&name.as_str())).map(|name| {
        let values = rows.iter().map(|row| rounded(row.get(&name).unwrap_or(&Value::Null))).collect();
        let packed = column(values);
        (name, packed)
    });
    json!({ "n": rows.len(), "columns": columns.collect::<Map<_, _>>() })
}

fn column(values: Vec<Value>) -> Value {
    let mut runs: Vec<(&Value, usize)> = Vec::new();
    for value in &values {
        match runs.last_mut() {
            Some((last, length)) if *last == value => *length += 1,
            _ => runs.push((value, 1)),
        }
    }
    match runs.as_slice() {
        [(value, _)] => json!({ "one": value }),
        // A run costs two numbers.
        runs if runs.len() * 3 < values.len() => json!({
            "runs": runs.iter().map(|(value, _)| value).collect::<Vec<_>>(),
            "lengths": runs.iter().map(|(_, length)| length).collect::<Vec<_>>(),
        }),
        _ => Value::Array(values),
    }
}

/// A number with fewer digits; anything else as it is.
fn rounded(value: &Value) -> Value {
    match value {
        Value::Number(number) if number.is_f64() => number.as_f64().map_or(Value::Null, short),
        value => value.clone(),
    }
}

/// Written without a point if it is whole, which is shorter and the same number to a browser.
fn short(number: f64) -> Value {
    let text = format!("{number:.*e}", DIGITS - 1);
    let near = text.parse::<f64>().unwrap_or(number);
    if near.fract() == 0.0 && near.abs() < 1e15 {
        return Value::Number((near as i64).into());
    }
    Number::from_f64(near).map_or(Value::Null, Value::Number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(value: Value) -> Vec<Row> {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn columns_are_written_in_the_shortest_way() {
        let packed = pack(
            &rows(json!([
                { "layer": 8, "position": 1, "feature": 5, "token": "a" },
                { "layer": 8, "position": 2, "feature": 5, "token": "b" },
                { "layer": 8, "position": 3, "feature": 5, "token": "c" },
                { "layer": 8, "position": 4, "feature": 5, "token": "d" },
                { "layer": 8, "position": 5, "feature": 6, "token": "e" },
                { "layer": 8, "position": 6, "feature": 6, "token": "f" },
                { "layer": 8, "position": 7, "feature": 6, "token": "g" },
            ])),
            &["token"],
        );
        let expected = json!({ "n": 7, "columns": {
            "layer": { "one": 8 },
            "position": [1, 2, 3, 4, 5, 6, 7],
            "feature": { "runs": [5, 6], "lengths": [4, 3] },
        } });
        assert_eq!(packed, expected);
    }

    #[test]
    fn numbers_keep_three_digits() {
        let packed = pack(
            &rows(json!([{ "a": 1.234_567 }, { "a": 3.0 }, { "a": null }, { "a": 0.000_012_345_6 }])),
            &[],
        );
        assert_eq!(packed["columns"]["a"].to_string(), "[1.23,3,null,0.0000123]");
    }

    #[test]
    fn no_rows_have_no_columns() {
        assert_eq!(pack(&[], &[]), json!({ "n": 0, "columns": {} }));
    }
}
