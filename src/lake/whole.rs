//! The games of a lake one after the other, each whole, in memory that does not grow with the lake.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use arrow::array::RecordBatch;
use arrow::error::ArrowError;
use schemas::{
    Table, Values, attention, attention_rows, features, games, positions, prefixes, steps, tokens,
};

use super::compact_read::Stream;
use super::shared_rows::with_shared;
use super::spill::Spill;
use super::{Captured, Lake, LakeError, columns, file, order};

/// A game with all that a lake has of it.
#[derive(Clone, Debug)]
pub struct Whole {
    /// Its row of `games`.
    pub game: games::Row,
    /// Its steps, in their order.
    pub steps: Vec<steps::Row>,
    /// Its tokens, by step and position.
    pub tokens: tokens::Rows,
    /// What was captured, by layer, as far as it was asked for. Every step has its own rows here, those of positions
    /// that are stored with an earlier step too; they are in the order of their table.
    pub captured: Captured,
}

/// What is wanted of every game.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// Of the large tables.
    pub tables: &'a [&'static Table],
    /// The layers; all of the lake if there are none.
    pub layers: &'a BTreeSet<i32>,
    /// A folder that rows are set aside in; it is made, and left empty.
    pub scratch: &'a Path,
}

impl Lake {
    /// Hands on every game of the lake, by block and key.
    ///
    /// # Errors
    /// If a file cannot be read, rows cannot be set aside, and whatever `take` fails by.
    pub fn each_game<E: From<LakeError>>(
        &self,
        wanted: Wanted<'_>,
        take: &mut dyn FnMut(Whole) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut blocks: BTreeMap<i32, Vec<games::Row>> = BTreeMap::new();
        self.each_file(&games::TABLE, |values| {
            for row in games::Rows::from_values(values).unwrap_or_default().into_rows() {
                blocks.entry(row.game_block).or_default().push(row);
            }
        })?;
        let home: BTreeMap<i64, i32> =
            blocks.values().flatten().map(|row| (row.game, row.game_block)).collect();
        let small = [&steps::TABLE, &tokens::TABLE, &prefixes::TABLE];
        let small = small.map(|table| self.by_block(table, &home, wanted.scratch));
        let [steps, tokens, prefixes] = small;
        let small = (steps?, tokens?, prefixes?);
        for (block, mut games) in blocks {
            games.sort_by_key(|row| row.game);
            let mut block = Block::read(self, block, &small, wanted)?;
            for game in games {
                take(block.whole(game)?)?;
            }
        }
        Ok(())
    }

    /// The rows of a small table, set aside by block.
    fn by_block(
        &self,
        table: &'static Table,
        home: &BTreeMap<i64, i32>,
        scratch: &Path,
    ) -> Result<Spill, LakeError> {
        let spill = Spill::new(table, scratch.to_owned())?;
        for file in self.files(table)? {
            for batch in Stream::of(table, &self.store, &self.log(table)?.path(&file.path))? {
                spill.add(&batch?, |game| home.get(&game).copied().map(i64::from))?;
            }
        }
        Ok(spill)
    }

    /// Hands on the values of every file of a table.
    fn each_file(&self, table: &Table, mut take: impl FnMut(Vec<Values>)) -> Result<(), LakeError> {
        for file in self.files(table)? {
            take(file::read(table, &self.store, &self.log(table)?.path(&file.path))?);
        }
        Ok(())
    }
}

/// The games of a block, while they are handed on.
struct Block {
    steps: BTreeMap<i64, Vec<steps::Row>>,
    tokens: BTreeMap<i64, tokens::Rows>,
    prefixes: BTreeMap<i64, Vec<prefixes::Row>>,
    large: Vec<(&'static Table, i32, Spill)>,
}

impl Block {
    fn read(
        lake: &Lake,
        block: i32,
        (steps, tokens, prefixes): &(Spill, Spill, Spill),
        wanted: Wanted<'_>,
    ) -> Result<Self, LakeError> {
        let heap = i64::from(block);
        let of_steps = rows(&steps::TABLE, &steps.take(heap)?, steps::Rows::from_values);
        let of_tokens = rows(&tokens::TABLE, &tokens.take(heap)?, tokens::Rows::from_values);
        let of_prefixes = rows(&prefixes::TABLE, &prefixes.take(heap)?, prefixes::Rows::from_values);
        let mut read = Self {
            steps: BTreeMap::new(),
            tokens: BTreeMap::new(),
            prefixes: BTreeMap::new(),
            large: Vec::new(),
        };
        for row in of_steps?.into_rows() {
            read.steps.entry(row.game).or_default().push(row);
        }
        for row in of_tokens?.into_rows() {
            read.tokens.entry(row.game).or_default().push(row);
        }
        for row in of_prefixes?.into_rows() {
            read.prefixes.entry(row.game).or_default().push(row);
        }
        let of_block = |game: i64| read.steps.contains_key(&game).then_some(game);
        for table in wanted.tables {
            read.large.extend(large(lake, table, block, wanted, of_block)?);
        }
        Ok(read)
    }

    fn whole(&mut self, game: games::Row) -> Result<Whole, LakeError> {
        let key = game.game;
        let mut steps = self.steps.remove(&key).unwrap_or_default();
        steps.sort_by_key(|row| row.step);
        let mut of_tokens = self.tokens.remove(&key).unwrap_or_default().into_rows();
        of_tokens.sort_by_key(|row| (row.step, row.position));
        let runs = self.prefixes.remove(&key).unwrap_or_default();
        let mut captured = Captured::default();
        for (table, layer, spill) in &self.large {
            let failed = |error: ArrowError| LakeError::parquet(table.name.as_ref(), error.into());
            let own = order::sorted(table, &spill.take(key)?).map_err(failed)?;
            let all = with_shared(table, &own, &runs).map_err(failed)?;
            put(&mut captured, table, *layer, &all)?;
        }
        Ok(Whole { game, steps, tokens: of_tokens.into_iter().collect(), captured })
    }
}

/// The rows of a large table in a block, set aside by game, layer by layer.
fn large(
    lake: &Lake,
    table: &'static Table,
    block: i32,
    wanted: Wanted<'_>,
    of_block: impl Fn(i64) -> Option<i64>,
) -> Result<Vec<(&'static Table, i32, Spill)>, LakeError> {
    let mut found: BTreeMap<i32, Spill> = BTreeMap::new();
    for file in lake.files(table)? {
        let Some(layer) = file.folders.layer.filter(|_| file.folders.game_block == Some(block)) else {
            continue;
        };
        if !wanted.layers.is_empty() && !wanted.layers.contains(&layer) {
            continue;
        }
        let spill = match found.entry(layer) {
            Entry::Occupied(spill) => spill.into_mut(),
            Entry::Vacant(place) => {
                place.insert(Spill::new(table, wanted.scratch.join(format!("layer-{layer}")))?)
            }
        };
        for batch in Stream::of(table, &lake.store, &lake.log(table)?.path(&file.path))? {
            spill.add(&batch?, &of_block)?;
        }
    }
    Ok(found.into_iter().map(|(layer, spill)| (table, layer, spill)).collect::<Vec<_>>())
}

/// Puts the rows of a table where they belong.
fn put(
    captured: &mut Captured,
    table: &'static Table,
    layer: i32,
    batch: &RecordBatch,
) -> Result<(), LakeError> {
    if table.name == features::TABLE.name {
        captured.features.insert(layer, rows(table, batch, features::Rows::from_values)?);
    } else if table.name == positions::TABLE.name {
        captured.positions.insert(layer, rows(table, batch, positions::Rows::from_values)?);
    } else if table.name == attention::TABLE.name {
        captured.attention.insert(layer, rows(table, batch, attention::Rows::from_values)?);
    } else if table.name == attention_rows::TABLE.name {
        captured.attention_rows.insert(layer, rows(table, batch, attention_rows::Rows::from_values)?);
    }
    Ok(())
}

/// The rows of a batch as they are typed.
fn rows<R>(table: &Table, batch: &RecordBatch, typed: fn(Vec<Values>) -> Option<R>) -> Result<R, LakeError> {
    let odd = || LakeError::Damaged {
        path: table.name.into(),
        what: "its columns are not those of the table".to_owned(),
    };
    columns::from_arrow(table, batch).and_then(typed).ok_or_else(odd)
}
