//! Whether a file is what its log says: there, whole, of its table, readable, sorted, finite.

use std::fs::File;
use std::io::Read as _;

use arrow::array::{AsArray as _, RecordBatch};
use arrow::datatypes::Int64Type;
use arrow::row::OwnedRow;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use schemas::Table;
use sha2::{Digest as _, Sha256};

use super::compact_order::{Keys, said};
use super::compact_read::{Stream, local};
use super::compact_rewrite::Rewrite;
use super::log::Log;
use super::{DataFile, Format, LakeError, columns, order, validate};

/// Bytes that are summed up at a time.
const SUMMED_AT_ONCE: usize = 1 << 20;

/// What a file that is sound has.
pub(super) struct Facts {
    /// The columns that its rows are sorted by.
    pub(super) sort: Vec<&'static str>,
    /// The keys of its first and its last row, if it has rows.
    pub(super) ends: Option<(OwnedRow, OwnedRow)>,
    /// The games that it has rows of, ascending.
    pub(super) games: Vec<i64>,
    /// Its rows.
    pub(super) rows: u64,
}

/// Checks a file.
///
/// # Errors
/// What is wrong with it.
pub(super) fn check(log: &Log, file: &DataFile, format: Format) -> Result<Facts, String> {
    let (store, path) = (&log.store, log.path(&file.path));
    let bytes = store
        .size(&path)
        .map_err(|error| format!("it is in the log and cannot be opened: {}", cause(&error)))?;
    if bytes != file.bytes {
        return Err(format!("it has {bytes} bytes, and its log says {}", file.bytes));
    }
    if let Some(said) = &file.sha256 {
        let found =
            sha256(local(store, &path).map_err(|error| cause(&error))?).map_err(|error| error.to_string())?;
        if found != *said {
            return Err(format!("its SHA-256 is {found}, and its log says {said}"));
        }
    }
    let opened = local(store, &path).map_err(|error| cause(&error))?;
    let about = ArrowReaderMetadata::load(&opened, ArrowReaderOptions::default());
    let about = about.map_err(|error| format!("its footer cannot be read: {error}"))?;
    check_schema(log.table, &about, format)?;
    let footer = about.metadata();
    let rows = footer.file_metadata().num_rows() as u64;
    if rows != file.rows {
        return Err(format!("its footer says {rows} rows, and its log {}", file.rows));
    }
    let pairs = footer.file_metadata().key_value_metadata().into_iter().flatten();
    if let Some(other) = pairs.filter(|pair| pair.key == "saelake.table").find_map(|pair| pair.value.as_ref())
        && other != log.table.name
    {
        return Err(format!("it is a file of table `{other}`"));
    }
    let mut sort = Rewrite::sort_of(log.table, footer);
    if said(footer).is_none_or(|sort| sort.is_empty()) {
        sort = log.table.sort.to_vec();
    }
    check_rows(log, &path, sort, rows)
}

fn check_schema(table: &Table, about: &ArrowReaderMetadata, format: Format) -> Result<(), String> {
    let (schema, expected) = (about.schema(), columns::schema(table));
    for column in format.columns(table) {
        let field =
            schema.field_with_name(column.name).map_err(|_| format!("it has no column `{}`", column.name))?;
        let ty = expected.field_with_name(column.name).map_err(|error| error.to_string())?.data_type();
        if field.data_type() != ty {
            return Err(format!("its column `{}` is {}, not {ty}", column.name, field.data_type()));
        }
    }
    match schema.fields().iter().find(|field| table.column(field.name()).is_none()) {
        Some(field) => {
            Err(format!("it has a column `{}`, which table `{}` has not", field.name(), table.name))
        }
        None => Ok(()),
    }
}

/// Decodes every page.
fn check_rows(log: &Log, path: &str, sort: Vec<&'static str>, said: u64) -> Result<Facts, String> {
    let failed = |error: LakeError| format!("it cannot be read to its end: {}", cause(&error));
    let keys = Keys::of(&columns::schema(log.table), &sort).map_err(|error| error.to_string())?;
    let (mut ends, mut games, mut rows): (Option<(OwnedRow, OwnedRow)>, Vec<i64>, u64) =
        (None, Vec::new(), 0);
    for batch in Stream::of(log.table, &log.store, path).map_err(failed)? {
        let batch = batch.map_err(failed)?;
        check_values(log.table, &batch)?;
        if batch.num_rows() == 0 {
            continue;
        }
        let of_batch = keys.rows(&batch).map_err(|error| error.to_string())?;
        let last = ends.as_ref().map(|(_, last)| last.row());
        let disorder = (1..of_batch.num_rows()).find(|row| of_batch.row(row - 1) >= of_batch.row(*row));
        let disorder = if last.is_some_and(|last| last >= of_batch.row(0)) { Some(0) } else { disorder };
        if let Some(row) = disorder {
            let name = order::name(log.table, &batch, row);
            return Err(format!("its rows are not in the order of {}, or twice: {name}", sort.join(", ")));
        }
        let end = of_batch.row(batch.num_rows() - 1).owned();
        ends = Some((ends.map_or_else(|| of_batch.row(0).owned(), |(first, _)| first), end));
        if let Some(of_row) =
            batch.column_by_name("game").and_then(|column| column.as_primitive_opt::<Int64Type>())
        {
            games.extend(of_row.values().chunk_by(|one, next| one == next).map(|run| run[0]));
            games.sort_unstable();
            games.dedup();
        }
        rows += batch.num_rows() as u64;
    }
    if rows != said {
        return Err(format!("it has {rows} rows, and its footer says {said}"));
    }
    Ok(Facts { sort, ends, games, rows })
}

/// Refuses numbers that are not finite.
fn check_values(table: &Table, batch: &RecordBatch) -> Result<(), String> {
    validate::odd_number(table, batch).map_or(Ok(()), |(column, row, value)| {
        Err(format!("its `{column}` is {value} at {}", order::name(table, batch, row)))
    })
}

fn sha256(mut file: File) -> std::io::Result<String> {
    let (mut hash, mut bytes) = (Sha256::new(), vec![0; SUMMED_AT_ONCE]);
    loop {
        let read = file.read(&mut bytes)?;
        if read == 0 {
            return Ok(format!("{:x}", hash.finalize()));
        }
        hash.update(&bytes[..read]);
    }
}

/// An error with its causes on one line.
pub(super) fn cause(error: &LakeError) -> String {
    error.to_string().lines().map(str::trim).collect::<Vec<_>>().join(" ")
}
