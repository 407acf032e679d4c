//! Numbers that no lake holds, since the model's weights or a person give them: how much a feature counts,
//! and how strongly one feature writes into another.

use std::path::{Path, PathBuf};

use polars::prelude::{
    Column, DataFrame, DataType, IntoLazy as _, LazyCsvReader, LazyFileListReader as _, LazyFrame,
    NamedFrom as _, PlHashMap, PlRefPath, PolarsError, PolarsResult, ScanArgsParquet, Series,
    UniqueKeepStrategy, col,
};

use crate::{QueryError, Variables, run, schema_of};

/// What names a feature in a table of importances.
const IMPORTANCE: Columns = Columns { keys: &["layer", "feature"], value: "importance" };

/// What names a pair of features in a table of couplings.
const COUPLINGS: Columns =
    Columns { keys: &["from_layer", "from_feature", "to_layer", "to_feature"], value: "coupling" };

/// How strongly a feature writes into another one: what the residual stream carries straight from the decoder
/// row of the first to the encoder row of the second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Coupling {
    /// Layer of the feature that writes.
    pub from_layer: i32,
    /// Index into the dictionary of that layer.
    pub from_feature: i32,
    /// Layer of the feature that reads; above the other.
    pub to_layer: i32,
    /// Index into the dictionary of that layer.
    pub to_feature: i32,
    /// What a unit of activation of the first adds to the second before its nonlinearity.
    pub coupling: f32,
}

/// A table of such numbers, checked.
#[derive(Clone, Debug)]
pub struct Given {
    rows: DataFrame,
    path: Option<PathBuf>,
}

/// The tables that may be given along with a question. Without one, every number of it is 1.
#[derive(Clone, Debug, Default)]
pub struct Weights {
    /// How much a feature counts: layer, feature, importance. Features that are not in it do not count.
    pub importance: Option<Given>,
    /// How features write into others, the columns of [`Coupling`]. Pairs that are not in it are not joined.
    pub couplings: Option<Given>,
}

/// The columns of a table: whole numbers that name a row, and its number.
struct Columns {
    keys: &'static [&'static str],
    value: &'static str,
}

impl Given {
    /// Reads a table of importances (layer, feature, importance) from a Parquet or CSV file.
    ///
    /// # Errors
    /// [`QueryError::Weights`] if the file cannot be read, lacks a column or a number, or names a feature
    /// twice.
    pub fn importance(path: &Path) -> Result<Self, QueryError> {
        Self::read(path, &IMPORTANCE)
    }

    /// Reads a table of couplings (the columns of [`Coupling`]) from a Parquet or CSV file.
    ///
    /// # Errors
    /// [`QueryError::Weights`] if the file cannot be read, lacks a column or a number, or names a pair twice.
    pub fn couplings(path: &Path) -> Result<Self, QueryError> {
        Self::read(path, &COUPLINGS)
    }

    /// Importances as layer, feature and importance.
    ///
    /// # Errors
    /// [`QueryError::Weights`] if a feature comes twice or a number is not finite.
    pub fn of_importance(rows: &[(i32, i32, f32)]) -> Result<Self, QueryError> {
        let columns = vec![
            whole("layer", rows.iter().map(|row| row.0)),
            whole("feature", rows.iter().map(|row| row.1)),
            Column::from(Series::new("importance".into(), rows.iter().map(|row| row.2).collect::<Vec<_>>())),
        ];
        Self::checked(DataFrame::new(rows.len(), columns)?.lazy(), None, &IMPORTANCE)
    }

    /// Couplings by row.
    ///
    /// # Errors
    /// [`QueryError::Weights`] if a pair comes twice or a number is not finite.
    pub fn of_couplings(rows: &[Coupling]) -> Result<Self, QueryError> {
        let coupling = rows.iter().map(|row| row.coupling).collect::<Vec<_>>();
        let columns = vec![
            whole("from_layer", rows.iter().map(|row| row.from_layer)),
            whole("from_feature", rows.iter().map(|row| row.from_feature)),
            whole("to_layer", rows.iter().map(|row| row.to_layer)),
            whole("to_feature", rows.iter().map(|row| row.to_feature)),
            Column::from(Series::new("coupling".into(), coupling)),
        ];
        Self::checked(DataFrame::new(rows.len(), columns)?.lazy(), None, &COUPLINGS)
    }

    /// Its rows: whole numbers in 32 bits and the number in double precision. [`write`](crate::write) makes a
    /// file of them that SQL can read.
    pub fn rows(&self) -> &DataFrame {
        &self.rows
    }

    /// The same table, known to be in a Parquet file.
    #[must_use]
    pub fn at(self, path: &Path) -> Self {
        Self { path: Some(path.to_owned()), ..self }
    }

    /// The numbers by the whole numbers that name them, which are the first `N` columns.
    ///
    /// # Errors
    /// If the columns have other types.
    pub(crate) fn by_name<const N: usize>(&self) -> PolarsResult<PlHashMap<[i32; N], f64>> {
        let keys = &self.rows.columns()[..N];
        let keys = keys.iter().map(|key| key.i32()).collect::<PolarsResult<Vec<_>>>()?;
        let values = self.rows.columns()[N].f64()?.iter().enumerate();
        let named = values.filter_map(|(row, value)| {
            let mut name = [0; N];
            for (part, key) in name.iter_mut().zip(&keys) {
                *part = key.get(row)?;
            }
            Some((name, value?))
        });
        Ok(named.collect::<PlHashMap<_, _>>())
    }

    /// The same as a lazy frame.
    pub(crate) fn lazy(&self) -> LazyFrame {
        self.rows.clone().lazy()
    }

    fn read(path: &Path, columns: &Columns) -> Result<Self, QueryError> {
        let is_csv = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("csv"));
        let scan = if is_csv { scan_csv(path) } else { scan_parquet(path) };
        Self::checked(scan.map_err(|error| unreadable(Some(path), &error))?, Some(path), columns)
    }

    fn checked(scan: LazyFrame, path: Option<&Path>, columns: &Columns) -> Result<Self, QueryError> {
        let wrong = |reason: String| QueryError::Weights { path: path.map(Path::to_owned), reason };
        let mut scan = scan;
        let found = schema_of(&mut scan).map_err(|error| unreadable(path, &error))?;
        if let Some(missing) =
            columns.keys.iter().chain([&columns.value]).find(|column| !found.contains(column))
        {
            return Err(wrong(format!("it has no column `{missing}`")));
        }
        let keys = columns.keys.iter().map(|key| col(*key).strict_cast(DataType::Int32));
        let value = col(columns.value).strict_cast(DataType::Float64);
        let rows = match run(scan.select(keys.chain([value]).collect::<Vec<_>>())) {
            Err(QueryError::Engine(error)) => return Err(unreadable(path, &error)),
            rows => rows?,
        };
        if rows.columns().iter().any(|column| column.null_count() > 0) {
            return Err(wrong("a number is missing".to_owned()));
        }
        if !rows.column(columns.value)?.f64()?.iter().flatten().all(f64::is_finite) {
            return Err(wrong(format!("a number of `{}` is not finite", columns.value)));
        }
        let keys = columns.keys.iter().map(|key| col(*key)).collect::<Vec<_>>();
        let distinct = run(rows.clone().lazy().unique_generic(Some(keys), UniqueKeepStrategy::Any))?;
        if distinct.height() < rows.height() {
            return Err(wrong(format!("{} comes twice", columns.keys.join(", "))));
        }
        Ok(Self { rows, path: path.map(Path::to_owned) })
    }

    /// The file that SQL can read, if it was read from one. SQL reads no CSV.
    fn file(&self) -> Option<String> {
        let path = self.path.as_ref()?;
        (path.extension()? != "csv").then(|| path.to_string_lossy().into_owned())
    }
}

impl Weights {
    /// The variables by which SQL is told the same: the Parquet files. Tables that were not read from one have
    /// none; write their [`rows`](Given::rows) to a file to ask the same in SQL.
    pub fn variables(&self) -> Variables {
        let mut variables = Variables::default();
        variables
            .set("importance", self.importance.as_ref().and_then(Given::file))
            .set("couplings", self.couplings.as_ref().and_then(Given::file));
        variables
    }
}

fn whole(name: &str, values: impl Iterator<Item = i32>) -> Column {
    Column::from(Series::new(name.into(), values.collect::<Vec<_>>()))
}

fn scan_parquet(path: &Path) -> PolarsResult<LazyFrame> {
    let args = ScanArgsParquet { glob: false, ..ScanArgsParquet::default() };
    LazyFrame::scan_parquet(PlRefPath::try_from_path(path)?, args)
}

fn scan_csv(path: &Path) -> PolarsResult<LazyFrame> {
    LazyCsvReader::new(PlRefPath::try_from_path(path)?).with_glob(false).finish()
}

fn unreadable(path: Option<&Path>, error: &PolarsError) -> QueryError {
    QueryError::Weights { path: path.map(Path::to_owned), reason: format!("it cannot be read: {error}") }
}
