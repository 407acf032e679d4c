//! The memory of a long collection, by the number of its games.

use std::fmt::Write as _;
use std::fs;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use saelake::lake::Lake;

use crate::{Result, child, say};

pub(crate) fn run() -> Result<()> {
    say("\n| `collect` of tiny prompts, one layer (default model) | seconds | peak memory, MB |")?;
    say("|---|--:|--:|")?;
    for games in [1_000, 5_000, 10_000] {
        let folder = tempfile::tempdir()?;
        let (prompts, lake) = (folder.path().join("prompts.jsonl"), folder.path().join("lake"));
        let mut lines = String::new();
        for game in 0..games {
            writeln!(lines, r#"{{"game": "tiny-{game}", "text": "Bet ${} or stop?"}}"#, game % 200)?;
        }
        fs::write(&prompts, lines)?;
        let begun = Instant::now();
        let mut running = Command::new(env!("CARGO_BIN_EXE_saelake"))
            .args(["collect", "--device", "cpu", "--layers", "8", "--lake"])
            .arg(&lake)
            .arg("--prompts")
            .arg(&prompts)
            .stderr(Stdio::null())
            .spawn()?;
        let process = running.id().to_string();
        let mut peak: f64 = 0.0;
        let status = loop {
            // Once it has ended, there is nothing to read.
            peak = peak.max(child::peak(&process).unwrap_or_default());
            if let Some(status) = running.try_wait()? {
                break status;
            }
            sleep(Duration::from_millis(20));
        };
        if !status.success() || Lake::open(&lake)?.n_games() != games {
            return Err(format!("collecting {games} games ended with {status}").into());
        }
        say(&format!("| {games} games | {:.1} | {peak:.0} |", begun.elapsed().as_secs_f64()))?;
    }
    Ok(())
}
