//! Every path and file name of a lake.

use std::path::PathBuf;

/// How many games share a folder of the large tables.
pub const GAMES_PER_BLOCK: usize = 100;

/// The folder in a lake where files are written before they are moved into a table.
pub(crate) const STAGING: &str = "_staging";

/// The folder in a lake that says which games are being taken out of it.
pub(crate) const DROPPING: &str = "_dropping";

/// The folder in a lake for what a repair sets aside.
pub(crate) const QUARANTINE: &str = "_quarantine";

/// The file that a writer locks.
pub(crate) const LOCK: &str = "lock";

/// How the names of files begin that took the place of others.
pub(crate) const COMPACTED: &str = "part-compact-";

/// A table's log.
pub(crate) const LOG: &str = "_delta_log";

/// The name of a data file: the run that wrote it and, in tables with games, the lowest and highest key.
///
/// Names are made of nothing else, so that a rerun writes the same files. A file of this name holds
/// whole games of one batch: either all of them are committed or none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FileName {
    pub(crate) run: String,
    pub(crate) games: Option<(i64, i64)>,
}

impl FileName {
    /// Reads a name of this form; any other, as compaction by another tool gives, is none of ours.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        let mut parts = name.strip_prefix("part-")?.strip_suffix(".parquet")?.split('-');
        let run = parts.next()?.to_owned();
        let games = match (parts.next(), parts.next(), parts.next()) {
            (None, ..) => None,
            (Some(first), Some(last), None) => Some((key(first)?, key(last)?)),
            _ => return None,
        };
        Some(Self { run, games })
    }
}

impl FileName {
    /// Whether a name is one that this program gives, compaction included.
    pub(crate) fn is_ours(name: &str) -> bool {
        let hash = name.strip_prefix(COMPACTED).and_then(|name| name.strip_suffix(".parquet"));
        Self::parse(name).is_some() || hash.and_then(key).is_some()
    }
}

impl std::fmt::Display for FileName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "part-{}", self.run)?;
        if let Some((first, last)) = self.games {
            write!(f, "-{first:016x}-{last:016x}")?;
        }
        f.write_str(".parquet")
    }
}

/// The values of the folders between a table and its files. Tables without such folders have none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Folders {
    /// Ordinal of the game in the lake, divided by [`GAMES_PER_BLOCK`].
    pub game_block: Option<i32>,
    /// The block of the model.
    pub layer: Option<i32>,
}

impl Folders {
    /// The folders as they follow each other, with unpadded values: DuckDB reads padded ones as text.
    pub(crate) fn values(self) -> impl Iterator<Item = (&'static str, i32)> {
        let block = self.game_block.map(|value| ("game_block", value));
        block.into_iter().chain(self.layer.map(|value| ("layer", value)))
    }

    pub(crate) fn path(self) -> PathBuf {
        self.values().map(|(name, value)| format!("{name}={value}")).collect()
    }
}

fn key(text: &str) -> Option<i64> {
    (text.len() == 16).then(|| u64::from_str_radix(text, 16).ok()).flatten().map(|key| key as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written() {
        for games in [None, Some((0, 99)), Some((-5, i64::MAX)), Some((i64::MIN, -1))] {
            let name = FileName { run: "00ff".to_owned(), games };
            assert_eq!(FileName::parse(&name.to_string()), Some(name));
        }
        for other in ["part-00000-cb6b150b-30b8-4662-c000.snappy.parquet", "part-a-1-2.parquet", "a.parquet"]
        {
            assert_eq!(FileName::parse(other), None);
        }
    }
}
