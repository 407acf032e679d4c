//! `saelake lake verify`: whether a lake is sound, and setting aside what is not.

use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};

use super::lake::Format;
use super::{Ending, ui};
use crate::error::Error;
use crate::lake::{Finding, Repaired, Verified, repair_lake_watched, verify_watched};

/// What to check.
#[derive(Args, Debug)]
pub(super) struct Options {
    /// The lake
    lake: PathBuf,
    /// Set aside what does not belong, in the lake's folder `_quarantine`, and drop games that are no longer whole
    #[arg(long)]
    repair: bool,
    /// For people, or for programs
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

/// Checks a lake; repairs it if that is asked.
pub(super) fn run(options: &Options) -> Result<Ending, Error> {
    let bar = ui::progress(0, "files and partitions");
    let watch = |done, of| {
        bar.set_length(of);
        bar.set_position(done);
    };
    let repaired = if options.repair {
        repair_lake_watched(&options.lake, &watch)
    } else {
        verify_watched(&options.lake, &watch).map(|after| Repaired {
            findings: after.findings.clone(),
            after,
            ..Repaired::default()
        })
    };
    bar.finish_and_clear();
    let repaired = repaired?;
    let is_sound = repaired.after.findings.is_empty();
    match options.format {
        Format::Json => ui::data(format!("{}\n", to_json(&repaired)).as_bytes())?,
        Format::Text => {
            let mut text = String::new();
            for finding in &repaired.findings {
                text.push_str(&line(finding));
            }
            ui::data(text.as_bytes())?;
            said(&repaired, options.repair);
        }
    }
    Ok(if is_sound { Ending::Done } else { Ending::Unsound })
}

/// `table: path: what is wrong; what to do`.
fn line(finding: &Finding) -> String {
    let path = finding.path.as_ref().map_or_else(String::new, |path| format!(" {path}:"));
    format!("{}:{path} {}; {}\n", finding.table, finding.what, finding.advice())
}

/// Says the sum of it to people.
fn said(repaired: &Repaired, is_repair: bool) {
    for game in &repaired.dropped {
        ui::note(&format!("DROPPED game {game}: it was no longer whole"));
    }
    if repaired.set_aside > 0 {
        ui::note(&format!("{} files were set aside in _quarantine", repaired.set_aside));
    }
    let Verified { findings, games, files, rows, bytes, unsummed } = &repaired.after;
    let state = match (findings.len(), is_repair) {
        (0, _) => "sound".to_owned(),
        (found, false) => format!("NOT SOUND, {found} findings"),
        (found, true) => format!("NOT SOUND, {found} findings that cannot be repaired"),
    };
    let megabytes = *bytes as f64 / 1e6;
    ui::note(&format!("{state}: {games} games, {files} files, {rows} rows, {megabytes:.1} MB"));
    if *unsummed > 0 {
        ui::note(&format!("{unsummed} files have no checksum in their log; they were read all the same"));
    }
}

fn to_json(repaired: &Repaired) -> Value {
    let finding = |finding: &Finding| {
        json!({
            "table": finding.table,
            "path": finding.path,
            "what": finding.what,
            "advice": finding.advice(),
            "repairable": finding.is_repairable(),
        })
    };
    let all = |findings: &[Finding]| findings.iter().map(finding).collect::<Vec<Value>>();
    json!({
        "sound": repaired.after.findings.is_empty(),
        "findings": all(&repaired.findings),
        "left": all(&repaired.after.findings),
        "dropped": repaired.dropped,
        "set_aside": repaired.set_aside,
        "games": repaired.after.games,
        "files": repaired.after.files,
        "bytes": repaired.after.bytes,
        "rows": repaired.after.rows,
        "without_checksum": repaired.after.unsummed,
    })
}
