//! A batch of games as it comes from a capture, and as the rows of the files that it becomes.

use std::collections::{BTreeMap, BTreeSet};

use arrow::array::{Array, BooleanArray, Int64Array, RecordBatch};
use arrow::compute::{concat_batches, filter_record_batch};
use arrow::error::ArrowError;
use rayon::prelude::*;
use schemas::{
    Table, Uneven, Values, attention, attention_rows, dictionaries, feature_rollup, features, games,
    positions, prefixes, runs, spans, steps, tokens,
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
    /// The positions of steps that are stored with earlier steps.
    pub prefixes: prefixes::Rows,
    /// The features by layer.
    pub features: BTreeMap<i32, features::Rows>,
    /// What the features of a position add up to, by layer.
    pub positions: BTreeMap<i32, positions::Rows>,
    /// The attention weights by layer.
    pub attention: BTreeMap<i32, attention::Rows>,
    /// What the attention weights of a row leave out, by layer.
    pub attention_rows: BTreeMap<i32, attention_rows::Rows>,
    /// Where the features of the games fired, by layer; made by [`Batch::roll_up`] of the layers that it lacks.
    pub feature_rollup: BTreeMap<i32, feature_rollup::Rows>,
    /// More of the four before, of other games, in as many parts as they come in: they are large, and are not copied
    /// together.
    pub more: Vec<Captured>,
}

/// Rows of the tables that are partitioned, by layer.
#[derive(Clone, Debug, Default)]
pub struct Captured {
    /// Rows of `features`.
    pub features: BTreeMap<i32, features::Rows>,
    /// Rows of `positions`.
    pub positions: BTreeMap<i32, positions::Rows>,
    /// Rows of `attention`.
    pub attention: BTreeMap<i32, attention::Rows>,
    /// Rows of `attention_rows`.
    pub attention_rows: BTreeMap<i32, attention_rows::Rows>,
}

impl Captured {
    /// Adds the rows of `other`.
    pub fn append(&mut self, other: Self) {
        for (layer, rows) in other.features {
            self.features.entry(layer).or_default().append(rows);
        }
        for (layer, rows) in other.positions {
            self.positions.entry(layer).or_default().append(rows);
        }
        for (layer, rows) in other.attention {
            self.attention.entry(layer).or_default().append(rows);
        }
        for (layer, rows) in other.attention_rows {
            self.attention_rows.entry(layer).or_default().append(rows);
        }
    }

    /// The columns of each table and layer.
    fn into_columns(self) -> Vec<(&'static Table, Option<i32>, Columns)> {
        let mut tables: Vec<(&'static Table, Option<i32>, Columns)> = Vec::new();
        for (layer, rows) in self.features {
            tables.push((&features::TABLE, Some(layer), rows.try_into_values()));
        }
        for (layer, rows) in self.positions {
            tables.push((&positions::TABLE, Some(layer), rows.try_into_values()));
        }
        for (layer, rows) in self.attention {
            tables.push((&attention::TABLE, Some(layer), rows.try_into_values()));
        }
        for (layer, rows) in self.attention_rows {
            tables.push((&attention_rows::TABLE, Some(layer), rows.try_into_values()));
        }
        tables
    }
}

pub(super) type Columns = Result<Vec<Values>, Uneven>;

/// Rows of one table, sorted, that go into one file.
#[derive(Clone)]
pub(crate) struct Frame {
    pub(crate) table: &'static Table,
    pub(crate) folders: Folders,
    pub(crate) rows: RecordBatch,
}

impl Batch {
    /// The layers that have features.
    pub(crate) fn feature_layers(&self) -> BTreeSet<i32> {
        let more = self.more.iter().flat_map(|more| more.features.keys());
        self.features.keys().chain(more).copied().collect()
    }

    /// Takes out the games of which `has` says so, with all their rows; how many.
    pub(crate) fn leave_out(&mut self, has: impl Fn(i64) -> bool) -> usize {
        let before = self.games.len();
        if !self.games.game.iter().any(|game| has(*game)) {
            return 0;
        }
        macro_rules! retain {
            ($($rows:expr),*) => {$({
                let rows = $rows;
                let keep: Vec<bool> = rows.game.iter().map(|game| !has(*game)).collect();
                rows.retain(&keep);
            })*};
        }
        retain!(&mut self.games, &mut self.steps, &mut self.tokens, &mut self.spans, &mut self.prefixes);
        self.features.values_mut().for_each(|rows| retain!(rows));
        self.feature_rollup.values_mut().for_each(|rows| retain!(rows));
        self.positions.values_mut().for_each(|rows| retain!(rows));
        self.attention.values_mut().for_each(|rows| retain!(rows));
        self.attention_rows.values_mut().for_each(|rows| retain!(rows));
        for more in &mut self.more {
            more.features.values_mut().for_each(|rows| retain!(rows));
            more.positions.values_mut().for_each(|rows| retain!(rows));
            more.attention.values_mut().for_each(|rows| retain!(rows));
            more.attention_rows.values_mut().for_each(|rows| retain!(rows));
        }
        before - self.games.len()
    }

    /// The rows of every table in the order of [`schemas::ALL`], sorted, each layer for itself. The rows of a table and
    /// a layer may be in several frames, one after the other.
    pub(crate) fn into_frames(self) -> Result<Vec<Frame>, LakeError> {
        let runs: runs::Rows = self.run.into_iter().collect();
        let dictionaries: dictionaries::Rows = self.dictionaries.into_iter().collect();
        let first = Captured {
            features: self.features,
            positions: self.positions,
            attention: self.attention,
            attention_rows: self.attention_rows,
        };
        let mut tables: Vec<(&'static Table, Option<i32>, Columns)> = vec![
            (&runs::TABLE, None, runs.try_into_values()),
            (&dictionaries::TABLE, None, dictionaries.try_into_values()),
        ];
        tables.extend(std::iter::once(first).chain(self.more).flat_map(Captured::into_columns));
        for (layer, rows) in self.feature_rollup {
            tables.push((&feature_rollup::TABLE, Some(layer), rows.try_into_values()));
        }
        tables.push((&tokens::TABLE, None, self.tokens.try_into_values()));
        tables.push((&spans::TABLE, None, self.spans.try_into_values()));
        tables.push((&prefixes::TABLE, None, self.prefixes.try_into_values()));
        tables.push((&steps::TABLE, None, self.steps.try_into_values()));
        tables.push((&games::TABLE, None, self.games.try_into_values()));
        let made = tables.into_par_iter().map(|(table, layer, values)| frame(table, layer, values));
        // All of them, so that of several errors the first is told, whichever was found first.
        let made: Vec<Result<Frame, LakeError>> = made.collect();
        let mut frames: Vec<Frame> = made.into_iter().collect::<Result<_, _>>()?;
        // A reader's glob must find a file of these, though batches need not have rows of them.
        let must_be = [prefixes::TABLE.name, spans::TABLE.name];
        frames.retain(|frame| frame.rows.num_rows() > 0 || must_be.contains(&frame.table.name));
        in_order(frames)
    }
}

/// The frames in the order of [`schemas::ALL`] and of layers, those of one table and layer so that no row comes before
/// one of a frame before; frames whose rows lie between each other's become one.
fn in_order(mut frames: Vec<Frame>) -> Result<Vec<Frame>, LakeError> {
    let place = |frame: &Frame| {
        let table = schemas::ALL.iter().position(|table| table.name == frame.table.name);
        (table, frame.folders.layer)
    };
    frames.sort_by_key(place);
    let mut ordered = Vec::new();
    for same in frames.chunk_by_mut(|one, next| place(one) == place(next)) {
        let table = same[0].table;
        same.sort_by(|one, next| order::of_first_rows(table, &one.rows, &next.rows));
        let apart = same.windows(2).all(|pair| order::is_before(table, &pair[0].rows, &pair[1].rows));
        if apart {
            ordered.extend(same.iter().map(Frame::clone));
        } else {
            let rows = concat_batches(&columns::schema(table), same.iter().map(|frame| &frame.rows))
                .map_err(|error| LakeError::parquet(table.name.as_ref(), error.into()))?;
            ordered.push(sorted_frame(table, same[0].folders.layer, rows)?);
        }
    }
    Ok(ordered)
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
        // The rows of a game are together, so that each is looked up once.
        let games = games.values().chunk_by(|one, next| one == next);
        let runs: Vec<(Option<i32>, usize)> =
            games.map(|rows| (blocks.get(&rows[0]).copied(), rows.len())).collect();
        let distinct: BTreeSet<Option<i32>> = runs.iter().map(|(block, _)| *block).collect();
        let part = |block: Option<i32>| -> Result<Self, ArrowError> {
            let folders = Folders { game_block: block, ..self.folders };
            let rows = if distinct.len() == 1 {
                self.rows.clone()
            } else {
                let of_run = |(of_run, rows): &(_, usize)| std::iter::repeat_n(Some(*of_run == block), *rows);
                let mask: BooleanArray = runs.iter().flat_map(of_run).collect();
                filter_record_batch(&self.rows, &mask)?
            };
            Ok(Self { table: self.table, folders, rows })
        };
        distinct.iter().copied().map(part).collect()
    }
}

pub(super) fn frame(table: &'static Table, layer: Option<i32>, values: Columns) -> Result<Frame, LakeError> {
    let values = values.map_err(BatchError::from)?;
    let rows = columns::to_arrow(table, values)
        .map_err(|error| LakeError::parquet(table.name.as_ref(), error.into()))?;
    sorted_frame(table, layer, rows)
}

fn sorted_frame(table: &'static Table, layer: Option<i32>, rows: RecordBatch) -> Result<Frame, LakeError> {
    let folders = Folders { game_block: None, layer };
    if order::is_strict(table, &rows) {
        return Ok(Frame { table, folders, rows });
    }
    let rows =
        order::sorted(table, &rows).map_err(|error| LakeError::parquet(table.name.as_ref(), error.into()))?;
    if let Some(row) = order::repeated(table, &rows) {
        return Err(BatchError::Twice { table: table.name, key: order::name(table, &rows, row) }.into());
    }
    Ok(Frame { table, folders, rows })
}
