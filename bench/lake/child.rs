//! What runs in a process of its own, so that its memory is its own.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use saelake::lake::{Compaction, Lake, Order, verify};

use crate::appends::SHAPES;
use crate::synthetic::batch;
use crate::{Result, say};

/// The first argument of a child.
pub(crate) const WORD: &str = "child";

/// Begins one.
pub(crate) fn start(what: &[&str]) -> Result<Child> {
    let mut command = Command::new(std::env::current_exe()?);
    Ok(command.arg(WORD).args(what).stdout(Stdio::piped()).spawn()?)
}

/// Waits for one; the peak of its memory in MB.
pub(crate) fn end(child: &mut Child) -> Result<f64> {
    let mut said = String::new();
    if let Some(stdout) = &mut child.stdout {
        std::io::Read::read_to_string(stdout, &mut said)?;
    }
    let status = child.wait()?;
    if !status.success() {
        return Err(format!("a child ended with {status}").into());
    }
    Ok(said.trim().parse::<f64>()?)
}

/// Does what a parent says, and prints the peak of the memory in MB.
pub(crate) fn run(what: &[&str]) -> Result<()> {
    match what {
        ["append", root, first, count] => {
            let mut lake = Lake::open(root)?;
            let (first, count): (i64, i64) = (first.parse()?, count.parse()?);
            for key in first..first + count {
                lake.append(batch(&[key], SHAPES[0].1))?;
            }
        }
        ["compact", root, order] => {
            let order = if *order == "position" { Order::Position } else { Order::Game };
            Lake::open(root)?.compact(Compaction { order, target_bytes: 128 << 20 }, &mut |_| ())?;
        }
        ["verify", root] => {
            let findings = verify(Path::new(root))?.findings;
            assert!(findings.is_empty(), "{findings:?}");
        }
        other => return Err(format!("{other:?} is nothing that a child does").into()),
    }
    say(&format!("{:.1}", peak("self")?))
}

/// The peak of a process's memory in MB.
pub(crate) fn peak(process: &str) -> Result<f64> {
    let status = fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
    Ok(line.trim().trim_end_matches("kB").trim().parse::<f64>()? / 1e3)
}
