//! What a lake should hold, as row counts and checksums that do not depend on the order of rows.

use std::collections::BTreeMap;

use saelake::lake::{Batch, GAMES_PER_BLOCK, Lake};
use schemas::{Table, Values};
use serde_json::{Map, Value, json};

use super::rollup;

const MIX: u64 = 0x9E37_79B9_7F4A_7C15;
const START: u64 = 0xCBF2_9CE4_8422_2325;
const MISSING: u64 = 0x5851_F42D_4C95_7F2D;

/// Rows and checksum of every table.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Expected {
    tables: BTreeMap<&'static str, (u64, u64)>,
    games: Vec<i64>,
}

impl Expected {
    /// Takes in what a batch adds to the lake.
    pub(super) fn add(&mut self, batch: &Batch) {
        let mut batch = batch.clone();
        batch.feature_rollup = rollup::plain(&batch);
        let first = self.games.len();
        let block = |index: usize| ((first + index) / GAMES_PER_BLOCK) as i32;
        batch.games.game_block = (0..batch.games.len()).map(block).collect();
        let blocks: BTreeMap<i64, i32> =
            batch.games.game.iter().copied().zip(batch.games.game_block.iter().copied()).collect();
        self.games.extend(&batch.games.game);
        let runs: schemas::runs::Rows = batch.run.into_iter().collect();
        let dictionaries: schemas::dictionaries::Rows = batch.dictionaries.into_iter().collect();
        self.rows(&schemas::runs::TABLE, &runs.into_values(), None, &blocks);
        self.rows(&schemas::dictionaries::TABLE, &dictionaries.into_values(), None, &blocks);
        self.rows(&schemas::games::TABLE, &batch.games.into_values(), None, &blocks);
        self.rows(&schemas::steps::TABLE, &batch.steps.into_values(), None, &blocks);
        self.rows(&schemas::tokens::TABLE, &batch.tokens.into_values(), None, &blocks);
        self.rows(&schemas::spans::TABLE, &batch.spans.into_values(), None, &blocks);
        self.rows(&schemas::prefixes::TABLE, &batch.prefixes.into_values(), None, &blocks);
        for (layer, rows) in batch.feature_rollup {
            self.rows(&schemas::feature_rollup::TABLE, &rows.into_values(), Some(layer), &blocks);
        }
        for (layer, rows) in batch.features {
            self.rows(&schemas::features::TABLE, &rows.into_values(), Some(layer), &blocks);
        }
        for (layer, rows) in batch.positions {
            self.rows(&schemas::positions::TABLE, &rows.into_values(), Some(layer), &blocks);
        }
        for (layer, rows) in batch.attention {
            self.rows(&schemas::attention::TABLE, &rows.into_values(), Some(layer), &blocks);
        }
        for (layer, rows) in batch.attention_rows {
            self.rows(&schemas::attention_rows::TABLE, &rows.into_values(), Some(layer), &blocks);
        }
    }

    /// What a lake holds of the games that it has, read by the crate itself.
    pub(super) fn of_lake(lake: &Lake) -> Self {
        Self::of_lake_without(lake, &[])
    }

    /// The same without some games; runs and dictionaries are there as long as a game is.
    pub(super) fn of_lake_without(lake: &Lake, games: &[i64]) -> Self {
        let stays = |game: &i64| lake.has_game(*game) && !games.contains(game);
        let mut found = Self { games: lake.games().filter(stays).collect(), ..Self::default() };
        if found.games.is_empty() {
            return found;
        }
        let runs: Vec<&str> = lake.runs().iter().map(|run| run.run.as_str()).collect();
        for table in schemas::ALL {
            for file in lake.files(table).unwrap() {
                let values = lake.read(table, &file).unwrap();
                let counts = |row: usize| match (&values[0], table.column("game")) {
                    (Values::Int64(games), Some(_)) => stays(&games[row]),
                    (Values::Utf8(of_row), None) => runs.contains(&of_row[row].as_str()),
                    _ => panic!("`{}` begins with neither `game` nor `run`", table.name),
                };
                let partition = [file.folders.game_block, file.folders.layer];
                let hashes = hashes(&values, |_| partition.iter().flatten().copied().collect());
                assert_eq!(hashes.len() as u64, file.rows, "{}", file.path);
                for (_, hash) in hashes.into_iter().enumerate().filter(|(row, _)| counts(*row)) {
                    found.row(table, hash);
                }
            }
        }
        found
    }

    /// The same games, tables and rows; the order in which games came does not matter.
    pub(super) fn assert_same(&self, other: &Self) {
        let sorted = |games: &Vec<i64>| {
            let mut games = games.clone();
            games.sort_unstable();
            games
        };
        assert_eq!(sorted(&self.games), sorted(&other.games));
        assert_eq!(self.tables, other.tables);
    }

    pub(super) fn of_table(&self, table: &Table) -> Option<(u64, u64)> {
        self.tables.get(table.name).copied()
    }

    pub(super) fn n_rows(&self, table: &Table) -> u64 {
        self.tables.get(table.name).map_or(0, |(rows, _)| *rows)
    }

    /// For tests/python/readers.py.
    pub(super) fn to_json(&self) -> Value {
        let table = |table: &&Table| {
            let columns = table.columns.iter().map(|column| (column.name, format!("{:?}", column.ty)));
            let folders = table.partition.iter().map(|partition| (partition.name, "Int32".to_owned()));
            let columns: Map<String, Value> =
                columns.chain(folders).map(|(name, ty)| (name.to_owned(), ty.into())).collect();
            let (rows, checksum) = self.tables.get(table.name).copied().unwrap_or_default();
            let folders: Vec<&str> = table.partition.iter().map(|partition| partition.name).collect();
            let about = json!({
                "columns": columns, "folders": folders, "rows": rows, "checksum": checksum.to_string(),
            });
            (table.name.to_owned(), about)
        };
        Value::Object(schemas::ALL.iter().map(table).collect())
    }

    fn rows(&mut self, table: &Table, values: &[Values], layer: Option<i32>, blocks: &BTreeMap<i64, i32>) {
        let games = match &values[0] {
            Values::Int64(games) => games.clone(),
            _ => Vec::new(),
        };
        let partition = |row: usize| match layer {
            Some(layer) => vec![blocks[&games[row]], layer],
            None => Vec::new(),
        };
        for hash in hashes(values, partition) {
            self.row(table, hash);
        }
    }

    fn row(&mut self, table: &Table, hash: u64) {
        let name = schemas::ALL.iter().find(|known| known.name == table.name).unwrap().name;
        let (rows, sum) = self.tables.entry(name).or_default();
        *rows += 1;
        *sum = sum.wrapping_add(hash);
    }
}

/// A hash of every row: its columns, then its folders.
fn hashes(values: &[Values], partition: impl Fn(usize) -> Vec<i32>) -> Vec<u64> {
    let rows = values[0].len();
    let columns: Vec<Vec<u64>> = values.iter().map(bits).collect();
    let hash = |row: usize| {
        let folders = partition(row).into_iter().map(|value| i64::from(value) as u64);
        columns.iter().map(|column| column[row]).chain(folders).fold(START, |hash, bits| {
            let hash = (hash ^ bits).wrapping_mul(MIX);
            hash ^ (hash >> 32)
        })
    };
    (0..rows).map(hash).collect()
}

fn bits(values: &Values) -> Vec<u64> {
    let int = |cell: &i32| i64::from(*cell) as u64;
    let float = |cell: &f32| u64::from(cell.to_bits());
    match values {
        Values::Int32(cells) => cells.iter().map(int).collect(),
        Values::MaybeInt32(cells) => cells.iter().map(|cell| cell.as_ref().map_or(MISSING, int)).collect(),
        Values::Int64(cells) => cells.iter().map(|cell| *cell as u64).collect(),
        Values::Float32(cells) => cells.iter().map(float).collect(),
        Values::MaybeFloat32(cells) => {
            cells.iter().map(|cell| cell.as_ref().map_or(MISSING, float)).collect()
        }
        Values::Utf8(cells) => cells.iter().map(|cell| text(cell)).collect(),
        Values::MaybeUtf8(cells) => {
            cells.iter().map(|cell| cell.as_ref().map_or(MISSING, |cell| text(cell))).collect()
        }
        Values::MaybeBoolean(cells) => cells.iter().map(|cell| cell.map_or(MISSING, u64::from)).collect(),
        Values::Boolean(cells) => cells.iter().map(|cell| u64::from(*cell)).collect(),
    }
}

/// FNV-1a over the UTF-8 bytes.
fn text(text: &str) -> u64 {
    text.bytes().fold(START, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3))
}
