//! The tables of a lake that questions are asked of: the files that its logs name, and no others.

use std::fs;
use std::path::Path;

use queries::Tables;

use crate::error::Error;
use crate::lake::{LakeError, check_place, is_url, listed};

/// The first entry of the log of `games`.
const FIRST_ENTRY: &str = "games/_delta_log/00000000000000000000.json";

/// Opens the tables of a lake. One of another program in a local folder, without logs, is what its folders hold.
pub(super) fn open(lake: &Path) -> Result<Tables, Error> {
    check_place(lake)?;
    if is_url(lake) {
        return Ok(Tables::open_listed(lake, listed(lake)?)?);
    }
    let first = fs::read_to_string(lake.join(FIRST_ENTRY));
    // Whoever cleans up a log deletes its first entries.
    if first.is_ok_and(|entry| !entry.contains("metaData")) {
        return Ok(Tables::open(lake)?);
    }
    match listed(lake) {
        Ok(listed) => Ok(Tables::open_listed(lake, listed)?),
        Err(error @ (LakeError::Damaged { .. } | LakeError::TornEntry { .. } | LakeError::Log { .. })) => {
            Err(error.into())
        }
        // What is no lake of ours is told by who opens it.
        Err(_) => Ok(Tables::open(lake)?),
    }
}
