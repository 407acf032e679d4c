//! How long each kind of work takes on the device, when that is asked for.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use cudarc::driver::{CudaEvent, sys};

use super::device::Device;
use super::error::GpuError;

/// Marks around every piece of work, or none while nobody asks.
#[derive(Default)]
pub(crate) struct Clock(Mutex<Option<Vec<Marked>>>);

/// A kind of work, and the marks before and after.
type Marked = (&'static str, CudaEvent, CudaEvent);

/// How often each kind of work was done, and the milliseconds that it took together.
pub type Times = BTreeMap<&'static str, (u32, f64)>;

/// A point in the stream of work.
pub struct Mark(CudaEvent);

impl Mark {
    /// Waits until all that was asked for before is done.
    ///
    /// # Errors
    /// If some of it failed.
    pub fn wait(&self) -> Result<(), GpuError> {
        Ok(self.0.synchronize()?)
    }
}

impl Device {
    /// Marks the point that the stream of work has reached.
    ///
    /// # Errors
    /// If the device refuses.
    pub fn mark(&self) -> Result<Mark, GpuError> {
        Ok(Mark(self.event()?))
    }

    /// Begins to take times.
    pub fn start_clock(&self) {
        *self.clock.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Vec::new());
    }

    /// Ends it: how often each kind of work was done since, and the milliseconds that it took together; and the
    /// milliseconds from the beginning of the first work to the end of the last.
    ///
    /// # Errors
    /// If some work failed.
    pub fn stop_clock(&self) -> Result<(Times, f64), GpuError> {
        self.wait()?;
        let marks = self.clock.0.lock().unwrap_or_else(PoisonError::into_inner).take().unwrap_or_default();
        let span = match (marks.first(), marks.last()) {
            (Some((_, start, _)), Some((.., end))) => f64::from(start.elapsed_ms(end)?),
            _ => 0.0,
        };
        let mut times = Times::new();
        for (name, start, end) in marks {
            let time = times.entry(name).or_default();
            *time = (time.0 + 1, time.1 + f64::from(start.elapsed_ms(&end)?));
        }
        Ok((times, span))
    }

    /// Milliseconds that the device takes for what `work` asks of it.
    ///
    /// # Errors
    /// Those of `work`.
    pub fn time(&self, work: impl FnOnce() -> Result<(), GpuError>) -> Result<f64, GpuError> {
        let start = self.event()?;
        work()?;
        let end = self.event()?;
        self.wait()?;
        Ok(f64::from(start.elapsed_ms(&end)?))
    }

    /// Does a piece of work of a kind.
    pub(crate) fn timed(
        &self,
        name: &'static str,
        work: impl FnOnce() -> Result<(), GpuError>,
    ) -> Result<(), GpuError> {
        let asked = self.clock.0.lock().unwrap_or_else(PoisonError::into_inner).is_some();
        let start = asked.then(|| self.event()).transpose()?;
        work()?;
        if let Some(start) = start {
            let end = self.event()?;
            let mut marks = self.clock.0.lock().unwrap_or_else(PoisonError::into_inner);
            marks.get_or_insert_default().push((name, start, end));
        }
        Ok(())
    }

    fn event(&self) -> Result<CudaEvent, GpuError> {
        Ok(self.stream.record_event(Some(sys::CUevent_flags::CU_EVENT_DEFAULT))?)
    }
}
