//! `saelake lake compact`: few large files.

use std::path::PathBuf;
use std::time::Instant;

use clap::{Args, ValueEnum};

use super::{Ending, ui};
use crate::error::Error;
use crate::lake::{Compaction, Lake, Order, Rewriting};

/// How to compact.
#[derive(Args, Debug)]
pub(super) struct Options {
    /// The lake
    lake: PathBuf,
    /// What the rows of the large tables are sorted by first
    #[arg(long, value_enum, default_value_t = By::Game)]
    order: By,
    /// Megabytes of a file, about
    #[arg(long, default_value_t = 128, value_parser = clap::value_parser!(u64).range(1..=4096))]
    target_mb: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum By {
    /// Their game: fast for one game
    Game,
    /// Their position: fast for one position of many games
    Position,
}

/// Compacts a lake and says what was won.
pub(super) fn run(options: &Options) -> Result<Ending, Error> {
    let begun = Instant::now();
    let order = match options.order {
        By::Game => Order::Game,
        By::Position => Order::Position,
    };
    let mut lake = Lake::open(&options.lake)?;
    let bar = ui::progress(lake.info()?.tables.len() as u64, "tables");
    let mut last = None;
    let done = lake.compact(Compaction { order, target_bytes: options.target_mb << 20 }, &mut |stage| {
        if let Rewriting::Deleted(table) = stage
            && last.replace(table) != Some(table)
        {
            bar.set_message(table);
            bar.inc(1);
        }
    })?;
    bar.finish_and_clear();
    let (seconds, megabytes) = (begun.elapsed().as_secs_f64(), done.replaced.1 as f64 / 1e6);
    ui::note(&format!(
        "{} files ({megabytes:.1} MB) became {} ({:.1} MB), the same {} rows by their checksum, in {seconds:.1} s, {:.0} MB/s",
        done.replaced.0,
        done.written.0,
        done.written.1 as f64 / 1e6,
        done.rows,
        megabytes / seconds.max(1e-9),
    ));
    Ok(Ending::Done)
}
