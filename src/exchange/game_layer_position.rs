//! Parquet with a folder for each game, layer and position, for tools that find their rows by paths.
//!
//! The lake itself has a folder for a hundred games and a layer: a game of ten steps of 250 tokens in three layers would
//! be 750 files a table here, each a few kilobytes.

use std::fs;
use std::sync::Arc;

use arrow::array::{RecordBatch, UInt64Array};
use arrow::compute::take_record_batch;
use arrow::error::ArrowError;
use schemas::{
    Table, Uneven, Values, attention, attention_rows, dictionaries, features, games, positions, runs, steps,
    tokens,
};

use super::ExchangeError;
use super::layout::{About, Ended, Layout};
use super::parquet_file::ParquetFile;
use crate::lake::{Whole, columns};

/// The name of every file in a folder of a position.
const FILE: &str = "part-0.parquet";

/// The small tables as one file each, and how many files there are of the large ones.
pub(super) struct GameLayerPosition {
    about: About,
    games: ParquetFile,
    steps: ParquetFile,
    tokens: ParquetFile,
    n_folders: u64,
    n_features: u64,
}

impl GameLayerPosition {
    /// The tables of runs and dictionaries, and the beginning of the others.
    pub(super) fn begin(about: About) -> Result<Self, ExchangeError> {
        let file = |table: &'static Table| {
            let path = about.folder.join(format!("{}.parquet", table.name));
            ParquetFile::create(path, columns::schema(table))
        };
        let runs: runs::Rows = about.runs.values().cloned().collect();
        let mut of_runs = file(&runs::TABLE)?;
        of_runs.write(&batch(&runs::TABLE, runs.try_into_values())?)?;
        of_runs.end()?;
        let dictionaries: dictionaries::Rows = about.dictionaries.values().cloned().collect();
        let mut of_dictionaries = file(&dictionaries::TABLE)?;
        of_dictionaries.write(&batch(&dictionaries::TABLE, dictionaries.try_into_values())?)?;
        of_dictionaries.end()?;
        let (games, steps, tokens) = (file(&games::TABLE)?, file(&steps::TABLE)?, file(&tokens::TABLE)?);
        Ok(Self { games, steps, tokens, n_folders: 0, n_features: 0, about })
    }

    /// Writes the rows of a table, position by position.
    fn spread(
        &mut self,
        table: &'static Table,
        (game, layer): (i64, i32),
        values: Result<Vec<Values>, Uneven>,
    ) -> Result<(), ExchangeError> {
        let place = if table.column("query").is_some() { "query" } else { "position" };
        let failed =
            |error: ArrowError| ExchangeError::unwritable(&self.about.folder, std::io::Error::other(error));
        let values = values.map_err(|error| failed(ArrowError::ComputeError(error.to_string())))?;
        let at = table.columns.iter().zip(&values).find(|(column, _)| column.name == place);
        let Some((_, Values::Int32(at))) = at else { return Ok(()) };
        let mut order: Vec<usize> = (0..at.len()).collect::<Vec<_>>();
        order.sort_by_key(|row| at[*row]);
        let groups: Vec<(i32, Vec<u64>)> = order
            .chunk_by(|one, next| at[*one] == at[*next])
            .map(|rows| (at[rows[0]], rows.iter().map(|row| *row as u64).collect::<Vec<_>>()))
            .collect::<Vec<_>>();
        let all = columns::to_arrow(table, values).map_err(failed)?;
        let kept: Vec<usize> = (0..table.columns.len())
            .filter(|column| !["game", place].contains(&table.columns[*column].name))
            .collect::<Vec<_>>();
        for (position, rows) in groups {
            let folder = self
                .about
                .folder
                .join(format!("{}/game={game}/layer={layer}/position={position}", table.name));
            fs::create_dir_all(&folder).map_err(|error| ExchangeError::unwritable(&folder, error))?;
            let rows = take_record_batch(&all, &UInt64Array::from(rows)).map_err(failed)?;
            let rows = rows.project(&kept).map_err(failed)?;
            let mut file = ParquetFile::create(folder.join(FILE), Arc::clone(rows.schema_ref()))?;
            file.write(&rows)?;
            file.end()?;
            self.n_folders += 1;
        }
        Ok(())
    }
}

impl Layout for GameLayerPosition {
    fn tables(&self) -> &'static [&'static Table] {
        &[&attention::TABLE, &attention_rows::TABLE]
    }

    fn take(&mut self, whole: &Whole) -> Result<(), ExchangeError> {
        let game: games::Rows = std::iter::once(whole.game.clone()).collect();
        self.games.write(&batch(&games::TABLE, game.try_into_values())?)?;
        let of_game: steps::Rows = whole.steps.iter().cloned().collect();
        self.steps.write(&batch(&steps::TABLE, of_game.try_into_values())?)?;
        self.tokens.write(&batch(&tokens::TABLE, whole.tokens.clone().try_into_values())?)?;
        let (key, captured) = (whole.game.game, &whole.captured);
        for (layer, rows) in &captured.features {
            self.n_features += rows.len() as u64;
            self.spread(&features::TABLE, (key, *layer), rows.clone().try_into_values())?;
        }
        for (layer, rows) in &captured.positions {
            self.spread(&positions::TABLE, (key, *layer), rows.clone().try_into_values())?;
        }
        for (layer, rows) in &captured.attention {
            self.spread(&attention::TABLE, (key, *layer), rows.clone().try_into_values())?;
        }
        for (layer, rows) in &captured.attention_rows {
            self.spread(&attention_rows::TABLE, (key, *layer), rows.clone().try_into_values())?;
        }
        Ok(())
    }

    fn end(self: Box<Self>) -> Result<Ended, ExchangeError> {
        self.games.end()?;
        self.steps.end()?;
        self.tokens.end()?;
        let notes = vec![format!("{} folders of positions", self.n_folders)];
        Ok(Ended { features: self.n_features, notes })
    }
}

fn batch(table: &'static Table, values: Result<Vec<Values>, Uneven>) -> Result<RecordBatch, ExchangeError> {
    let failed = |error: String| ExchangeError::unwritable(table.name.as_ref(), std::io::Error::other(error));
    let values = values.map_err(|error| failed(error.to_string()))?;
    columns::to_arrow(table, values).map_err(|error| failed(error.to_string()))
}
