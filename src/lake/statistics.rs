//! What a Delta log says of a file, so that readers can leave it out without opening it.

use parquet::file::metadata::{ParquetMetaData, RowGroupMetaData};
use parquet::file::statistics::Statistics;
use schemas::Table;
use serde_json::{Map, Value, json};

/// Texts up to this length have their least and greatest value in the log: run ids do, tokens need not.
const LONGEST_TEXT: usize = 32;

/// Row count, and per column the least and greatest value and the number of missing ones, as the Delta
/// protocol writes them in an `add` action.
pub(crate) fn of_footer(table: &Table, footer: &ParquetMetaData) -> String {
    let mut least = Map::new();
    let mut greatest = Map::new();
    let mut missing = Map::new();
    for (index, column) in table.columns.iter().enumerate() {
        let groups: Option<Vec<&Statistics>> =
            footer.row_groups().iter().map(|group| group.column(index).statistics()).collect();
        let Some(groups) = groups else { continue };
        if let Some((min, max)) = bounds(&groups) {
            least.insert(column.name.to_owned(), min);
            greatest.insert(column.name.to_owned(), max);
        }
        let nulls: Option<u64> = groups.iter().map(|group| group.null_count_opt()).sum();
        if let Some(nulls) = nulls {
            missing.insert(column.name.to_owned(), nulls.into());
        }
    }
    json!({
        "numRecords": footer.file_metadata().num_rows(),
        "minValues": least,
        "maxValues": greatest,
        "nullCount": missing,
    })
    .to_string()
}

/// The greatest value of an Int32 column over all row groups.
pub(crate) fn greatest(footer: &ParquetMetaData, column: &str) -> Option<i32> {
    let chunks = footer.row_groups().iter().flat_map(RowGroupMetaData::columns);
    let values =
        chunks.filter(|chunk| chunk.column_path().string() == column).filter_map(|chunk| {
            match chunk.statistics() {
                Some(Statistics::Int32(stats)) => stats.max_opt().copied(),
                _ => None,
            }
        });
    values.max()
}

/// The least and greatest value over all row groups; none if a group has no value or a long text.
fn bounds(groups: &[&Statistics]) -> Option<(Value, Value)> {
    let mut bounds: Option<(Value, Value)> = None;
    for group in groups {
        let (min, max) = match group {
            Statistics::Int32(stats) => (json!(stats.min_opt()?), json!(stats.max_opt()?)),
            Statistics::Int64(stats) => (json!(stats.min_opt()?), json!(stats.max_opt()?)),
            Statistics::Float(stats) => (json!(stats.min_opt()?), json!(stats.max_opt()?)),
            Statistics::ByteArray(stats) => {
                let text = |bytes: &[u8]| {
                    let text = std::str::from_utf8(bytes).ok()?;
                    (text.len() <= LONGEST_TEXT).then(|| Value::from(text))
                };
                if !stats.min_is_exact() || !stats.max_is_exact() {
                    return None;
                }
                (text(stats.min_opt()?.data())?, text(stats.max_opt()?.data())?)
            }
            _ => return None,
        };
        bounds = Some(match bounds {
            None => (min, max),
            Some((least, greatest)) => (
                if less(&min, &least) { min } else { least },
                if less(&greatest, &max) { max } else { greatest },
            ),
        });
    }
    bounds
}

fn less(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::String(a), Value::String(b)) => a < b,
        // Keys need all 64 bits, floats need a point.
        _ => match (a.as_i64(), b.as_i64()) {
            (Some(a), Some(b)) => a < b,
            _ => a.as_f64() < b.as_f64(),
        },
    }
}
