//! Ending a run from outside.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::ui;

/// SIGHUP in the mask of ignored signals that Linux shows of a process.
const HANGUP: u64 = 1;

/// Becomes true at the first Ctrl-C, or when the program is asked to end (SIGTERM), as Slurm and Kubernetes ask first.
/// The second time ends the program at once.
pub(super) fn stop_when_asked() -> Arc<AtomicBool> {
    let stop = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&stop);
    let handler = move || {
        #[expect(clippy::exit, reason = "whoever asks twice wants it at once, and commits are atomic")]
        if flag.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
        ui::note("stopping after the pass and the commit under way; asked again, at once");
    };
    // A shell makes the background jobs of a script ignore Ctrl-C, and they are asked to end all the same. What `nohup`
    // started must outlive a hangup, which would be caught too.
    let caught = if ignores_hangup() { ctrlc::try_set_handler(handler) } else { ctrlc::set_handler(handler) };
    if caught.is_err() {
        ui::note("warning: signals cannot be caught and end the run at once; what is committed is kept");
    }
    stop
}

/// Whether the program was started to outlive its terminal. Not known where there is no `/proc`.
fn ignores_hangup() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask & HANGUP != 0)
}
