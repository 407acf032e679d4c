//! What is in a lake, counted from its logs.

use schemas::{Table, dictionaries, runs, steps, tokens};

use super::repair::is_orphan;
use super::{Lake, LakeError};

/// A lake at a glance.
#[derive(Clone, Debug, PartialEq)]
pub struct Info {
    /// The version of the layout that it is in.
    pub format_version: i32,
    /// Games.
    pub games: u64,
    /// Steps of the games.
    pub steps: u64,
    /// Tokens of the steps.
    pub tokens: u64,
    /// The layers that rows of the large tables are of, ascending.
    pub layers: Vec<i32>,
    /// The tables, in the order in which they are committed, and then the causal ones, if they are there.
    pub tables: Vec<TableInfo>,
    /// The runs, by the time they began.
    pub runs: Vec<runs::Row>,
    /// The dictionaries with their measured L0 and explained variance, by layer.
    pub dictionaries: Vec<dictionaries::Row>,
}

/// A table at a glance.
#[derive(Clone, Debug, PartialEq)]
pub struct TableInfo {
    /// Its name.
    pub name: &'static str,
    /// Its files.
    pub files: u64,
    /// Its rows.
    pub rows: u64,
    /// The bytes of its files.
    pub bytes: u64,
    /// Those bytes by the tokens of the lake; none if there are no tokens.
    pub bytes_per_token: Option<f64>,
    /// Files that do not count because they belong to games that were never committed.
    pub orphans: u64,
}

impl Lake {
    /// Counts what is in the lake from its logs, without opening the large tables.
    pub fn info(&self) -> Result<Info, LakeError> {
        let mut tables: Vec<TableInfo> =
            self.logs.iter().map(|log| self.table_info(log.table)).collect::<Result<_, _>>()?;
        for log in &self.causal {
            tables.push(self.causal_info(log.table)?);
        }
        let rows =
            |table: &Table| tables.iter().find(|info| info.name == table.name).map_or(0, |info| info.rows);
        let (steps, tokens) = (rows(&steps::TABLE), rows(&tokens::TABLE));
        for table in &mut tables {
            table.bytes_per_token = (tokens > 0).then(|| table.bytes as f64 / tokens as f64);
        }
        Ok(Info {
            format_version: self.format.number(),
            games: self.n_games() as u64,
            steps,
            tokens,
            layers: self.layers()?,
            tables,
            runs: self.runs().to_vec(),
            dictionaries: self.dictionaries().to_vec(),
        })
    }

    fn table_info(&self, table: &Table) -> Result<TableInfo, LakeError> {
        let log = self.log(table)?;
        let mut info = TableInfo {
            name: log.table.name,
            files: 0,
            rows: 0,
            bytes: 0,
            bytes_per_token: None,
            orphans: 0,
        };
        for file in log.files() {
            if is_orphan(log, &file.path, &self.contents)? {
                info.orphans += 1;
            } else {
                info.files += 1;
                info.rows += file.rows;
                info.bytes += file.bytes;
            }
        }
        Ok(info)
    }

    /// A causal table, whose files belong to no run and are counted as they are.
    fn causal_info(&self, table: &'static Table) -> Result<TableInfo, LakeError> {
        let files = self.files(table)?;
        Ok(TableInfo {
            name: table.name,
            files: files.len() as u64,
            rows: files.iter().map(|file| file.rows).sum(),
            bytes: files.iter().map(|file| file.bytes).sum(),
            bytes_per_token: None,
            orphans: 0,
        })
    }

    fn layers(&self) -> Result<Vec<i32>, LakeError> {
        let mut layers = Vec::new();
        for table in schemas::ALL {
            layers.extend(self.files(table)?.iter().filter_map(|file| file.folders.layer));
        }
        layers.sort_unstable();
        layers.dedup();
        Ok(layers)
    }
}
