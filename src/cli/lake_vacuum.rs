//! `saelake lake vacuum`: deleting what is in no log.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::{Ending, ui};
use crate::error::Error;
use crate::lake::{Lake, Vacuum};

/// What to delete.
#[derive(Args, Debug)]
pub(super) struct Options {
    /// The lake
    lake: PathBuf,
    /// Only files that have not changed for so long: a number with s, m, h or d
    #[arg(long, default_value = "7d", value_parser = age)]
    older_than: Duration,
    /// Also what `verify --repair` has set aside
    #[arg(long)]
    quarantine: bool,
    /// Say what would be deleted, and delete nothing
    #[arg(long)]
    dry_run: bool,
}

/// Deletes, and says what.
pub(super) fn run(options: &Options) -> Result<Ending, Error> {
    let mut lake = Lake::open(&options.lake)?;
    let vacuum = Vacuum { older_than: options.older_than, quarantine: options.quarantine };
    let found = if options.dry_run { lake.unlisted(vacuum)? } else { lake.vacuum(vacuum)? };
    for file in &found.files {
        ui::data(format!("{file}\n").as_bytes())?;
    }
    let verb = if options.dry_run { "would be deleted" } else { "deleted" };
    ui::note(&format!("{} files {verb}, {:.1} MB", found.files.len(), found.bytes as f64 / 1e6));
    Ok(Ending::Done)
}

fn age(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is no number with s, m, h or d");
    let (number, unit) = text.split_at_checked(text.len().saturating_sub(1)).ok_or_else(wrong)?;
    let seconds: u64 = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return Err(wrong()),
    };
    let number: u64 = number.parse().map_err(|_| wrong())?;
    number.checked_mul(seconds).map(Duration::from_secs).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::age;

    #[test]
    fn ages_have_units() {
        assert_eq!(age("7d"), Ok(Duration::from_hours(168)));
        assert_eq!(age("0s"), Ok(Duration::ZERO));
        for wrong in ["", "7", "d", "-1d", "7w", "99999999999999999d", "7é"] {
            assert!(age(wrong).is_err(), "{wrong}");
        }
    }
}
