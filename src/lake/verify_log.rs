//! Whether a table's log can be read, entry by entry.

use schemas::Table;
use serde_json::Value;

use super::layout::LOG;
use super::store::Store;
use super::verify_finding::{Findings, Remedy};
use super::{LakeError, file};

/// Checks the entries of a log and its checkpoints; whether it can be opened.
pub(super) fn check(
    store: &Store,
    table: &'static Table,
    findings: &mut Findings,
) -> Result<bool, LakeError> {
    let folder = format!("{}/{LOG}", table.name);
    let found = store.list(&folder)?;
    let name = |path: &str| path.rsplit('/').next().unwrap_or_default().to_owned();
    let version = |path: &str| name(path).strip_suffix(".json")?.parse::<u64>().ok();
    let entries: Vec<(u64, &str)> =
        found.iter().filter_map(|file| Some((version(&file.path)?, file.path.as_str()))).collect();
    let Some((last, _)) = entries.last().copied() else {
        findings.table(table.name, Remedy::Copy, "its log has no entries");
        return Ok(false);
    };
    let mut can_open = true;
    for (index, (version, path)) in entries.iter().enumerate() {
        let expected = entries[0].0 + index as u64;
        if *version != expected {
            let what = format!("the log goes on with entry {version} where {expected} should be");
            findings.file(table.name, path, Remedy::Copy, what);
            return Ok(false);
        }
        let Err(what) = actions(&store.read(path)?) else { continue };
        can_open = false;
        if *version == last && last > 0 {
            findings.file(
                table.name,
                path,
                Remedy::Foreign,
                format!("the last entry of the log is torn: {what}"),
            );
        } else {
            let what = format!("an entry in the middle of the log cannot be read: {what}");
            findings.file(table.name, path, Remedy::Copy, what);
        }
    }
    let is_whole = entries[0].0 == 0;
    for checkpoint in found.iter().filter(|file| name(&file.path).ends_with(".checkpoint.parquet")) {
        if let Err(error) = file::footer(store, &checkpoint.path) {
            let remedy = if is_whole { Remedy::Foreign } else { Remedy::Copy };
            findings.file(
                table.name,
                &checkpoint.path,
                remedy,
                format!("a checkpoint cannot be read: {error}"),
            );
            can_open = false;
        }
    }
    Ok(can_open)
}

/// Whether an entry is one action a line.
fn actions(bytes: &[u8]) -> Result<(), String> {
    let text = std::str::from_utf8(bytes).map_err(|error| error.to_string())?;
    if text.trim().is_empty() {
        return Err("it is empty".to_owned());
    }
    for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        match serde_json::from_str::<Value>(line) {
            Ok(Value::Object(_)) => {}
            Ok(_) => return Err(format!("line {} is no action", number + 1)),
            Err(error) => return Err(format!("line {}: {error}", number + 1)),
        }
    }
    Ok(())
}
