//! Bytes a token, by table and by the bits that activations keep, and of the same rows stored in other ways.

use std::path::Path;
use std::process::Command;

use saelake::lake::Lake;

use crate::synthetic::{SMALL, Shape, first_batch};
use crate::{Result, say};

/// Three layers of a model with nine heads, 64 features and eight keys kept, as a default run has them.
const SHAPE: Shape = Shape { steps: 4, tokens: 240, top_k: 64, heads: 9, keys: 8, ..SMALL };

/// The bits that activations keep.
const BITS: [i32; 3] = [23, 10, 7];

/// The Python that the tests read lakes with.
const PYTHON: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/target/python/bin/python");

pub(crate) fn run() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut infos = Vec::new();
    for bits in BITS {
        let mut lake = Lake::create_or_open(folder.path().join(bits.to_string()))?;
        let mut batch = first_batch(&(1..=6).collect::<Vec<_>>(), SHAPE);
        if let Some(run) = &mut batch.run {
            run.activation_bits = bits;
        }
        lake.append(batch)?;
        infos.push(lake.info()?);
    }
    say("\n| bytes a token (3 layers, 64 features, 9 heads, 8 keys) | 23 bits | 10 bits | 7 bits |")?;
    say("|---|--:|--:|--:|")?;
    for (index, table) in infos[0].tables.iter().enumerate() {
        let cells =
            infos.iter().map(|info| format!("{:.1}", info.tables[index].bytes as f64 / info.tokens as f64));
        say(&format!("| `{}` | {} |", table.name, cells.collect::<Vec<_>>().join(" | ")))?;
    }
    let all = infos.iter().map(|info| {
        let bytes: u64 = info.tables.iter().map(|table| table.bytes).sum();
        format!("{:.1}", bytes as f64 / info.tokens as f64)
    });
    say(&format!("| all | {} |", all.collect::<Vec<_>>().join(" | ")))?;
    others(&folder.path().join("23"))
}

/// The same rows in other ways, written by Python.
fn others(lake: &Path) -> Result<()> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/bench/lake_sizes.py");
    let output = Command::new(PYTHON).arg(script).arg(lake).output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned().into());
    }
    say(String::from_utf8_lossy(&output.stdout).trim_end())
}
