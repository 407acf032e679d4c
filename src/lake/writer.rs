//! What every writer of a lake does first and last: take the lock, see what others have done, and clear away what they
//! left.

use super::at_once::at_once;
use super::lock::{Held, Left};
use super::log::Log;
use super::{Lake, LakeError};

impl Lake {
    /// Waits for the writers' lock, takes in what others have committed, and clears away what a crash left.
    ///
    /// # Errors
    /// If something cannot be read or written.
    pub(super) fn begin_writing(&mut self) -> Result<Held, LakeError> {
        let lock = Held::take(&self.store)?;
        self.refresh()?;
        if let Left::Running(takeover) = lock.left {
            let logs = self.logs.iter_mut().chain(&mut self.causal).collect();
            at_once(logs, |log: &mut Log| log.fence(takeover))?;
            // The late writer's last commit may have come between.
            self.contents = super::contents::Contents::read(&self.logs)?;
        }
        if lock.left != Left::Clean {
            self.is_sound = false;
        }
        self.repair(&lock)?;
        // One at a time, so that no writer waits for all of them.
        let logs = self.logs.iter_mut().chain(&mut self.causal);
        if let Some(log) = logs.filter(|log| log.overdue().is_some()).max_by_key(|log| log.overdue()) {
            log.write_checkpoint()?;
        }
        Ok(lock)
    }

    /// Clears away what an attempt has left, if it failed, and gives the lock back.
    ///
    /// # Errors
    /// What `done` says, before anything else.
    pub(super) fn end_writing<T>(&mut self, lock: Held, done: Result<T, LakeError>) -> Result<T, LakeError> {
        if done.is_err() {
            self.is_sound = false;
            // Whoever has the lock by now clears away what this writer left. If clearing away fails as well, the next
            // writer does it.
            let _ = lock.check().and_then(|()| self.refresh()).and_then(|()| self.repair(&lock));
        }
        lock.end(self.is_sound);
        done
    }
}
