//! `saelake lake upgrade`: an earlier format brought up to date.

use std::path::PathBuf;

use clap::Args;

use super::{Ending, ui};
use crate::error::Error;
use crate::lake::Lake;

/// What to upgrade.
#[derive(Args, Debug)]
pub(super) struct Options {
    /// The lake
    lake: PathBuf,
}

/// Upgrades a lake and says so.
pub(super) fn run(options: &Options) -> Result<Ending, Error> {
    let mut lake = Lake::open(&options.lake)?;
    let from = lake.format().number();
    lake.upgrade()?;
    ui::note(&format!("format {from} became {}", lake.format().number()));
    Ok(Ending::Done)
}
