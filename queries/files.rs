//! The files of a table, and a lazy frame of them.

use std::{
    collections::BTreeMap,
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

/// What a row of `games` says of where a game's rows are.
pub(crate) struct Home {
    /// The folder of the large tables.
    pub(crate) game_block: i32,
    /// The run that added it.
    pub(crate) run: String,
}

/// The games of a lake by their key.
pub(crate) type Homes = BTreeMap<i64, Home>;

/// A file of a table.
#[derive(Clone, Debug)]
pub(crate) struct File {
    path: PathBuf,
    /// The run and the lowest and highest game, if its name is one that a writer gives.
    name: Option<(String, i64, i64)>,
    game_block: Option<i32>,
}

impl File {
    /// Whether all its rows are of games that exist, in the block that they are in. A file of a writer's
    /// name holds whole games of one batch, of which all are in `games` or none.
    pub(crate) fn counts(&self, homes: &Homes) -> bool {
        let is_home = |run: &str, game: &i64| {
            let home = homes.get(game);
            home.is_some_and(|home| {
                home.run == run && self.game_block.is_none_or(|block| block == home.game_block)
            })
        };
        self.name.as_ref().is_some_and(|(run, first, last)| is_home(run, first) && is_home(run, last))
    }

    /// Whether it may hold rows of one of the games.
    pub(crate) fn may_hold(&self, games: &Homes) -> bool {
        self.name
            .as_ref()
            .is_none_or(|(_, first, last)| first > last || games.range(*first..=*last).next().is_some())
    }
}

/// The files of `table` below the lake's `root`, sorted: `TABLE/*.parquet`, or
/// `TABLE/game_block=*/layer=*/*.parquet`.
///
/// They are listed here and not by a glob of polars, which skips empty files without a word and
/// stumbles over brackets in the root. Nothing else in the table's folder is looked at, so that the
/// Parquet checkpoints of the Delta log stay out.
///
/// # Errors
/// [`QueryError::List`] if a folder cannot be listed.
pub(crate) fn of(root: &Path, table: &Table) -> Result<Vec<File>, QueryError> {
    let mut folders = vec![(root.join(table.name), None)];
    for partition in table.partition {
        let prefix = format!("{}=", partition.name);
        let mut below = Vec::new();
        for (folder, game_block) in &folders {
            for path in list(folder)? {
                if let Some(value) = name(&path).strip_prefix(&prefix) {
                    let block = if partition.name == "game_block" { value.parse().ok() } else { *game_block };
                    below.push((path, block));
                }
            }
        }
        folders = below;
    }
    let mut files = Vec::new();
    for (folder, game_block) in folders {
        for path in list(&folder)? {
            if path.extension().is_some_and(|extension| extension == "parquet") {
                files.push(File { name: parse(&name(&path)), path, game_block });
            }
        }
    }
    Ok(files)
}

/// Files of `table` below the lake's `root` by their paths in the table's folder, as its log names them.
pub(crate) fn named(root: &Path, table: &Table, paths: &[String]) -> Vec<File> {
    let file = |path: &String| {
        let block = path.split('/').find_map(|folder| folder.strip_prefix("game_block="));
        let path = root.join(table.name).join(path);
        File { name: parse(&name(&path)), path, game_block: block.and_then(|block| block.parse().ok()) }
    };
    paths.iter().map(file).collect::<Vec<_>>()
}

/// Where a frame's columns are known from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Columns {
    /// The first file is opened when a plan is made.
    FirstFile,
    /// They are those of the table, and no file is opened before the plan runs.
    Table,
}

/// A frame of files of `table`. A table without files has no rows.
///
/// # Errors
/// [`QueryError::Engine`] if a path is not Unicode.
pub(crate) fn scan<'a>(
    table: &Table,
    files: impl IntoIterator<Item = &'a File>,
    columns: Columns,
) -> Result<LazyFrame, QueryError> {
    let paths = files.into_iter().map(|file| PlRefPath::try_from_path(&file.path));
    let paths = paths.collect::<Result<Vec<_>, _>>()?;
    if paths.is_empty() {
        return Ok(DataFrame::empty_with_schema(&with_partitions(table)).lazy());
    }
    let hive_options = HiveOptions {
        enabled: Some(!table.partition.is_empty()),
        hive_start_idx: 0,
        schema: (!table.partition.is_empty()).then(|| partition_schema(table)),
        try_parse_dates: false,
    };
    let schema = (columns == Columns::Table).then(|| Arc::new(schema(table)));
    let args = ScanArgsParquet { hive_options, glob: false, schema, ..ScanArgsParquet::default() };
    Ok(LazyFrame::scan_parquet_files(paths.into(), args)?)
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

/// What a folder holds, sorted.
fn list(folder: &Path) -> Result<Vec<PathBuf>, QueryError> {
    let failed = |source| QueryError::List { path: folder.to_owned(), source };
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        paths.push(entry.map_err(failed)?.path());
    }
    paths.sort_unstable();
    Ok(paths)
}

fn name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// Reads the name of a file with games: `part-<run>-<lowest game>-<highest game>.parquet`.
fn parse(name: &str) -> Option<(String, i64, i64)> {
    let key = |text: &str| {
        (text.len() == 16).then(|| u64::from_str_radix(text, 16).ok()).flatten().map(|key| key as i64)
    };
    let mut parts = name.strip_prefix("part-")?.strip_suffix(".parquet")?.split('-');
    let (run, first, last) = (parts.next()?, key(parts.next()?)?, key(parts.next()?)?);
    parts.next().is_none().then(|| (run.to_owned(), first, last))
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

/// The columns of the files of a table.
fn schema(table: &Table) -> Schema {
    table
        .columns
        .iter()
        .map(|column| Field::new(column.name.into(), data_type(column.ty)))
        .collect::<Schema>()
}

/// The columns of a frame of a table: those of its files, and then those of its folders.
pub(crate) fn with_partitions(table: &Table) -> Schema {
    let mut columns = schema(table);
    for partition in table.partition {
        columns.with_column(partition.name.into(), DataType::Int32);
    }
    columns
}
