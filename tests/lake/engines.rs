//! Lakes as something left them, read by engines that know nothing of this program: DuckDB, polars, pandas, deltalake and
//! Spark.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::checksum::Expected;
use super::copy;
use crate::support::{python, repository, said};

/// What is found by who lists files and joins with `games`, as long as no writer has cleared away what another one left.
#[derive(Clone, Copy)]
pub(super) enum Globs<'a> {
    /// What the logs say.
    Same,
    /// The same, or what the lake holds with the batch under way: the file of `games` may be in its place already.
    May(&'a Expected),
    /// Perhaps rows twice, as `data-layout.md` says of a compaction.
    Unknown,
}

/// Copies of lakes, which are read all at once.
pub(super) struct Engines<'a> {
    folder: &'a Path,
    script: Command,
    kept: usize,
}

impl<'a> Engines<'a> {
    /// Copies go to a folder of their own.
    pub(super) fn new(folder: &'a Path) -> Self {
        let mut script = Command::new(python());
        script.arg(repository("tests/python/killed_readers.py"));
        Self { folder, script, kept: 0 }
    }

    /// Keeps a lake as it is now; `expected` is what its logs say.
    pub(super) fn keep(&mut self, root: &Path, name: &str, expected: &Expected, globs: Globs<'_>) {
        self.kept += 1;
        let lake = self.folder.join(format!("{} {name}", self.kept));
        copy(root, &lake);
        let write = |what: &str, expected: &Expected| {
            let json = self.folder.join(format!("{} {what}.json", self.kept));
            fs::write(&json, expected.to_json().to_string()).unwrap();
            json
        };
        self.script.arg(lake).arg(write("expected", expected));
        match globs {
            Globs::Same => self.script.arg(write("by glob", expected)),
            Globs::May(next) => self.script.arg(write("by glob", next)),
            Globs::Unknown => self.script.arg("-"),
        };
    }

    /// Every engine finds what is expected.
    pub(super) fn read(mut self) {
        assert!(self.kept > 0, "no lake was kept");
        let read = self.script.output().unwrap();
        assert!(read.status.success(), "{}", said(&read));
        let lines = String::from_utf8_lossy(&read.stdout).into_owned();
        assert_eq!(lines.lines().count(), self.kept, "{lines}");
        print!("{lines}");
    }
}

/// Whether everything is tried, however long it takes.
pub(super) fn is_soak() -> bool {
    std::env::var_os("SAELAKE_SOAK").is_some()
}
