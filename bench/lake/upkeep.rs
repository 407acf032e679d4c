//! Compaction and checks, and the memory that they take of lakes of which each is four times as large as the one before.

use std::path::Path;
use std::time::Instant;

use saelake::lake::Lake;

use crate::synthetic::{SMALL, Shape, batch, first_batch};
use crate::{Result, child, say};

/// A game of a step of 250 tokens, three layers, 64 features, nine heads with their eight strongest keys.
const SHAPE: Shape = Shape { steps: 1, tokens: 250, top_k: 64, heads: 9, keys: 8, ..SMALL };

/// Games of an append; a block is ten of them.
const BATCH: i64 = 10;

pub(crate) fn run() -> Result<()> {
    say("\n| what | lake | seconds | MB/s | peak memory, MB |")?;
    say("|---|---|--:|--:|--:|")?;
    for (games, orders) in
        [(100, &["game", "position"][..]), (400, &["game", "position"]), (1_600, &["game"])]
    {
        for order in orders {
            let folder = tempfile::tempdir()?;
            let root = folder.path().join("lake");
            make(&root, games)?;
            let (bytes, files) = size(&root)?;
            let name = format!("{games} games, {:.0} MB, {files} files", bytes / 1e6);
            if *order == "game" {
                time("verify", &["verify", &root.display().to_string()], &name, bytes)?;
            }
            let what = format!("compact --order {order}");
            time(&what, &["compact", &root.display().to_string(), order], &name, bytes)?;
            let (bytes, files) = size(&root)?;
            let name = format!("the same as {files} files of {:.0} MB", bytes / 1e6);
            time("verify", &["verify", &root.display().to_string()], &name, bytes)?;
        }
    }
    Ok(())
}

fn time(what: &str, told: &[&str], lake: &str, bytes: f64) -> Result<()> {
    let begun = Instant::now();
    let peak = child::end(&mut child::start(told)?)?;
    let seconds = begun.elapsed().as_secs_f64();
    say(&format!("| {what} | {lake} | {seconds:.2} | {:.0} | {peak:.0} |", bytes / 1e6 / seconds))
}

fn make(root: &Path, games: i64) -> Result<()> {
    let mut lake = Lake::create_or_open(root)?;
    for first in (0..games).step_by(BATCH as usize) {
        let keys = (first..first + BATCH).collect::<Vec<_>>();
        lake.append(if first == 0 { first_batch(&keys, SHAPE) } else { batch(&keys, SHAPE) })?;
    }
    Ok(())
}

/// Bytes and number of the files of all tables.
fn size(root: &Path) -> Result<(f64, usize)> {
    let tables = Lake::open(root)?.info()?.tables;
    Ok((
        tables.iter().map(|table| table.bytes as f64).sum(),
        tables.iter().map(|table| table.files as usize).sum(),
    ))
}
