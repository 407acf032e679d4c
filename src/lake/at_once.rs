//! Waiting for a disk or a network for many things at a time.

use std::panic::resume_unwind;
use std::thread;

use super::LakeError;

/// Threads at most.
const MOST: usize = 32;

/// Does `work` for every item, each on a thread of its own; what comes back is in the order of the items. Of several
/// errors the first is told.
pub(super) fn at_once<T: Send, R: Send>(
    items: Vec<T>,
    work: impl Fn(T) -> Result<R, LakeError> + Sync,
) -> Result<Vec<R>, LakeError> {
    let mut done = Vec::with_capacity(items.len());
    let mut items = items.into_iter().peekable();
    while items.peek().is_some() {
        thread::scope(|scope| {
            let work = &work;
            let started: Vec<_> =
                items.by_ref().take(MOST).map(|item| scope.spawn(move || work(item))).collect();
            for thread in started {
                done.push(thread.join().unwrap_or_else(|panic| resume_unwind(panic)));
            }
        });
    }
    done.into_iter().collect()
}
