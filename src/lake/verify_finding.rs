//! What a check of a lake has found.

use std::collections::BTreeSet;

/// Something that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// The table.
    pub table: &'static str,
    /// The file, relative to the lake; none if it is no single file's fault.
    pub path: Option<String>,
    /// What is wrong.
    pub what: String,
    /// What a repair does about it.
    pub(super) remedy: Remedy,
}

/// What a repair does about a finding.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Remedy {
    /// Nothing can be done without a copy.
    Copy,
    /// The file is taken out of the log, and set aside.
    File,
    /// The file, which is in no log, or is an entry of one, is set aside.
    Foreign,
    /// The game is taken out of the lake.
    Game(i64),
    /// The rows of these games, which are not in `games`, are set aside.
    Strays(BTreeSet<i64>),
    /// The rows of runs without games are set aside.
    Runs,
}

impl Finding {
    /// What to do about it.
    pub const fn advice(&self) -> &'static str {
        match self.remedy {
            Remedy::Copy => "restore the lake from a copy, or collect into a new one",
            Remedy::File => "`verify --repair` sets the file aside, and drops the games that it held rows of",
            Remedy::Foreign => "`verify --repair` sets it aside",
            Remedy::Game(_) => "`verify --repair` drops the game; collect it again",
            Remedy::Strays(_) | Remedy::Runs => {
                "the next append clears it away, or `verify --repair` sets it aside"
            }
        }
    }

    /// Whether a repair can do something about it.
    pub fn is_repairable(&self) -> bool {
        self.remedy != Remedy::Copy
    }
}

/// What a check has found so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Findings(pub(super) Vec<Finding>);

impl Findings {
    /// Adds what is wrong with a file.
    pub(super) fn file(&mut self, table: &'static str, path: &str, remedy: Remedy, what: impl Into<String>) {
        self.0.push(Finding { table, path: Some(path.to_owned()), what: what.into(), remedy });
    }

    /// Adds what is wrong with a table or a game.
    pub(super) fn table(&mut self, table: &'static str, remedy: Remedy, what: impl Into<String>) {
        self.0.push(Finding { table, path: None, what: what.into(), remedy });
    }
}
