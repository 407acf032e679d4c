//! The files of a table as one lazy frame.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use polars::{
    io::HiveOptions,
    prelude::{
        DataFrame, DataType, Field, IntoLazy, LazyFrame, PlRefPath, ScanArgsParquet, Schema, SchemaRef,
    },
};
use schemas::{Table, Type};

use crate::QueryError;

/// Scans the files of `table` below the lake's `root`: `TABLE/*.parquet`, or
/// `TABLE/game_block=*/layer=*/*.parquet`. A table without files has no rows.
///
/// The files are listed here and not by a glob of polars, which skips empty files without a word and
/// stumbles over brackets in the root. Nothing else in the table's folder is looked at, so that the
/// Parquet checkpoints of the Delta log stay out.
///
/// # Errors
/// [`QueryError::List`] if a folder cannot be listed, [`QueryError::Engine`] if a path is not Unicode.
pub(crate) fn scan(root: &Path, table: &'static Table) -> Result<LazyFrame, QueryError> {
    let mut folders = vec![root.join(table.name)];
    for partition in table.partition {
        let prefix = format!("{}=", partition.name);
        let below = list(&folders)?;
        folders = below.into_iter().filter(|path| name(path).starts_with(&prefix)).collect::<Vec<_>>();
    }
    let files = list(&folders)?
        .into_iter()
        .filter(|path| path.extension().is_some_and(|extension| extension == "parquet"))
        .map(|path| PlRefPath::try_from_path(&path))
        .collect::<Result<Vec<_>, _>>()?;
    if files.is_empty() {
        return Ok(DataFrame::empty_with_schema(&schema(table)).lazy());
    }
    let hive_options = HiveOptions {
        enabled: Some(!table.partition.is_empty()),
        hive_start_idx: 0,
        schema: (!table.partition.is_empty()).then(|| partition_schema(table)),
        try_parse_dates: false,
    };
    let args = ScanArgsParquet { hive_options, glob: false, ..ScanArgsParquet::default() };
    Ok(LazyFrame::scan_parquet_files(files.into(), args)?)
}

/// The type that a column of the lake has in polars.
pub(crate) fn data_type(ty: Type) -> DataType {
    match ty {
        Type::Int32 => DataType::Int32,
        Type::Int64 => DataType::Int64,
        Type::Float32 => DataType::Float32,
        Type::Utf8 => DataType::String,
        Type::Boolean => DataType::Boolean,
    }
}

/// What the folders hold, sorted.
fn list(folders: &[PathBuf]) -> Result<Vec<PathBuf>, QueryError> {
    let mut paths = Vec::new();
    for folder in folders {
        let failed = |source| QueryError::List { path: folder.clone(), source };
        for entry in fs::read_dir(folder).map_err(failed)? {
            paths.push(entry.map_err(failed)?.path());
        }
    }
    paths.sort_unstable();
    Ok(paths)
}

fn name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// Given and not guessed, so that a partition is an Int32 in every lake.
fn partition_schema(table: &Table) -> SchemaRef {
    Arc::new(
        table
            .partition
            .iter()
            .map(|partition| Field::new(partition.name.into(), DataType::Int32))
            .collect::<Schema>(),
    )
}

fn schema(table: &Table) -> Schema {
    let columns = table.columns.iter().map(|column| Field::new(column.name.into(), data_type(column.ty)));
    let partition =
        table.partition.iter().map(|partition| Field::new(partition.name.into(), DataType::Int32));
    columns.chain(partition).collect::<Schema>()
}
