//! `saelake lake`: what is in a lake, and keeping it sound.

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::Subcommand;

use super::{
    Ending, lake_compact, lake_drop, lake_export, lake_import, lake_upgrade, lake_vacuum, lake_verify, ui,
};
use crate::error::Error;
use crate::lake::{Info, Lake};

/// Looks at a lake, and keeps it sound.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Say what a lake holds: games, tables, runs, dictionaries, sizes
    Info {
        /// The lake
        lake: PathBuf,
    },
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

/// Does what is asked.
pub(super) fn run(command: &Command) -> Result<Ending, Error> {
    match command {
        Command::Info { lake } => {
            let info = Lake::open(lake)?.info()?;
            ui::data(render(&info).as_bytes())?;
            Ok(Ending::Done)
        }
        Command::Verify(options) => lake_verify::run(options),
        Command::Compact(options) => lake_compact::run(options),
        Command::DropGame(options) => lake_drop::run(options),
        Command::Vacuum(options) => lake_vacuum::run(options),
        Command::Upgrade(options) => lake_upgrade::run(options),
        Command::Export(options) => lake_export::run(options),
        Command::Import(options) => lake_import::run(options),
    }
}

/// The description as text.
fn render(info: &Info) -> String {
    let mut text = String::new();
    let layers = info.layers.iter().map(i32::to_string).collect::<Vec<_>>().join(", ");
    let _ = writeln!(
        text,
        "format {}: {} games, {} steps, {} tokens, layers {layers}\n",
        info.format_version, info.games, info.steps, info.tokens
    );
    let _ = writeln!(text, "{:<16}{:>8}{:>12}{:>14}{:>14}", "table", "files", "rows", "bytes", "bytes/token");
    for table in &info.tables {
        let each = table.bytes_per_token.map_or_else(|| "-".to_owned(), |each| format!("{each:.1}"));
        let _ = writeln!(
            text,
            "{:<16}{:>8}{:>12}{:>14}{each:>14}",
            table.name, table.files, table.rows, table.bytes
        );
        if table.orphans > 0 {
            let _ = writeln!(text, "  and {} files of games that were never committed", table.orphans);
        }
    }
    for run in &info.runs {
        let _ = writeln!(
            text,
            "\nrun {}: {} on {} in {}, {}, seed {}, begun {}, positions {}, {} bits of an activation",
            run.run,
            run.model,
            run.device,
            run.dtype,
            run.source,
            run.seed,
            run.started_at,
            run.positions,
            run.activation_bits
        );
    }
    for dictionary in &info.dictionaries {
        let _ = writeln!(
            text,
            "dictionary {}: {} ({}), {} features, measured L0 {:.1}, explained variance {:.4}{}",
            dictionary.hook,
            dictionary.source,
            dictionary.format,
            dictionary.d_sae,
            dictionary.measured_l0,
            dictionary.measured_explained_variance,
            if dictionary.verified { "" } else { ", NOT VERIFIED" }
        );
    }
    text
}
