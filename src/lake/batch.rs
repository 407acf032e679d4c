//! A batch of games as it comes from a capture, and as the rows of the files that it becomes.

use std::collections::{BTreeMap, BTreeSet};

use arrow::array::{Array, BooleanArray, Int64Array, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::error::ArrowError;
use schemas::{
    Table, Uneven, Values, attention, attention_rows, dictionaries, features, games, positions, runs, spans,
    steps, tokens,
};

use super::layout::Folders;
use super::{BatchError, LakeError, columns, order};

/// Whole games with everything that was captured of them.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// The run, until a batch of it has been committed.
    pub run: Option<runs::Row>,
    /// The run's dictionaries, likewise; those that the lake has already are left out.
    pub dictionaries: Vec<dictionaries::Row>,
    /// The games; `game_block` is overwritten by the lake.
    pub games: games::Rows,
    /// Their steps.
    pub steps: steps::Rows,
    /// The tokens of the steps.
    pub tokens: tokens::Rows,
    /// The spans of the steps.
    pub spans: spans::Rows,
    /// The features by layer.
    pub features: BTreeMap<i32, features::Rows>,
    /// What the features of a position add up to, by layer.
    pub positions: BTreeMap<i32, positions::Rows>,
    /// The attention weights by layer.
    pub attention: BTreeMap<i32, attention::Rows>,
    /// What the attention weights of a row leave out, by layer.
    pub attention_rows: BTreeMap<i32, attention_rows::Rows>,
}

/// Rows of one table, sorted, that go into one file.
pub(crate) struct Frame {
    pub(crate) table: &'static Table,
    pub(crate) folders: Folders,
    pub(crate) rows: RecordBatch,
}

impl Batch {
    /// The rows of every table in the order of [`schemas::ALL`], sorted, each layer for itself.
    pub(crate) fn into_frames(self) -> Result<Vec<Frame>, LakeError> {
        let runs: runs::Rows = self.run.into_iter().collect();
        let dictionaries: dictionaries::Rows = self.dictionaries.into_iter().collect();
        let mut frames = vec![
            frame(&runs::TABLE, None, runs.try_into_values())?,
            frame(&dictionaries::TABLE, None, dictionaries.try_into_values())?,
        ];
        for (layer, rows) in self.features {
            frames.push(frame(&features::TABLE, Some(layer), rows.try_into_values())?);
        }
        for (layer, rows) in self.positions {
            frames.push(frame(&positions::TABLE, Some(layer), rows.try_into_values())?);
        }
        for (layer, rows) in self.attention {
            frames.push(frame(&attention::TABLE, Some(layer), rows.try_into_values())?);
        }
        for (layer, rows) in self.attention_rows {
            frames.push(frame(&attention_rows::TABLE, Some(layer), rows.try_into_values())?);
        }
        frames.push(frame(&tokens::TABLE, None, self.tokens.try_into_values())?);
        frames.push(frame(&spans::TABLE, None, self.spans.try_into_values())?);
        frames.push(frame(&steps::TABLE, None, self.steps.try_into_values())?);
        frames.push(frame(&games::TABLE, None, self.games.try_into_values())?);
        frames.retain(|frame| frame.rows.num_rows() > 0);
        Ok(frames)
    }
}

impl Frame {
    /// The column of game keys; `runs` and `dictionaries` have none.
    pub(crate) fn games(&self) -> Option<&Int64Array> {
        self.rows.column_by_name("game")?.as_any().downcast_ref()
    }

    /// The frame cut by the block of its games, if its table has blocks.
    pub(crate) fn split(self, blocks: &BTreeMap<i64, i32>) -> Result<Vec<Self>, ArrowError> {
        let Some(games) = self.games().filter(|_| !self.table.partition.is_empty()) else {
            return Ok(vec![self]);
        };
        let of_row: Vec<Option<i32>> = games.values().iter().map(|game| blocks.get(game).copied()).collect();
        let distinct: BTreeSet<Option<i32>> = of_row.iter().copied().collect();
        let part = |block: Option<i32>| -> Result<Self, ArrowError> {
            let folders = Folders { game_block: block, ..self.folders };
            let rows = if distinct.len() == 1 {
                self.rows.clone()
            } else {
                let mask: BooleanArray = of_row.iter().map(|of_row| Some(*of_row == block)).collect();
                filter_record_batch(&self.rows, &mask)?
            };
            Ok(Self { table: self.table, folders, rows })
        };
        distinct.iter().copied().map(part).collect()
    }
}

fn frame(
    table: &'static Table,
    layer: Option<i32>,
    values: Result<Vec<Values>, Uneven>,
) -> Result<Frame, LakeError> {
    let values = values.map_err(BatchError::from)?;
    let rows = columns::to_arrow(table, values)
        .and_then(|rows| order::sorted(table, &rows))
        .map_err(|error| LakeError::parquet(table.name.as_ref(), error.into()))?;
    if let Some(row) = order::repeated(table, &rows) {
        return Err(BatchError::Twice { table: table.name, key: order::name(table, &rows, row) }.into());
    }
    Ok(Frame { table, folders: Folders { game_block: None, layer }, rows })
}
