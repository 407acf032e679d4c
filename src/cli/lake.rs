//! `saelake lake`: what is in a lake, and keeping it sound.

use clap::{Subcommand, ValueEnum};

use super::{
    Ending, lake_compact, lake_drop, lake_export, lake_import, lake_info, lake_upgrade, lake_vacuum,
    lake_verify,
};
use crate::error::Error;

/// Looks at a lake, and keeps it sound.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Say what a lake holds: games, tables, runs, dictionaries, sizes
    Info(lake_info::Options),
    /// Check every file of a lake against its log and every row against the others
    Verify(lake_verify::Options),
    /// Merge the many files of a lake into few large ones with the same rows
    Compact(lake_compact::Options),
    /// Take games out of a lake, with all their rows
    DropGame(lake_drop::Options),
    /// Delete files that are in no log, and what is left in the staging folder
    Vacuum(lake_vacuum::Options),
    /// Bring a lake of an earlier format up to date
    Upgrade(lake_upgrade::Options),
    /// Write the games of a lake in the layout of another tool
    Export(lake_export::Options),
    /// Add games from the files of another tool
    Import(lake_import::Options),
}

/// Whom an answer is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    Text,
    Json,
}

/// Does what is asked.
pub(super) fn run(command: &Command) -> Result<Ending, Error> {
    match command {
        Command::Info(options) => lake_info::run(options),
        Command::Verify(options) => lake_verify::run(options),
        Command::Compact(options) => lake_compact::run(options),
        Command::DropGame(options) => lake_drop::run(options),
        Command::Vacuum(options) => lake_vacuum::run(options),
        Command::Upgrade(options) => lake_upgrade::run(options),
        Command::Export(options) => lake_export::run(options),
        Command::Import(options) => lake_import::run(options),
    }
}
