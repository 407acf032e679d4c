//! The way of small arrays to the device.
//!
//! A copy from memory that the driver does not know waits for all work before it. What goes along with a pass is put into
//! memory that does not move first, so that the pass can be asked for while the one before runs.

use std::sync::{Mutex, PoisonError};

use cudarc::driver::{CudaStream, sys};

use super::error::GpuError;
use super::memory::Pinned;

/// Bytes of the memory; a pass of 16,384 tokens takes half a megabyte.
const ROOM: usize = 64 << 20;

/// What is larger is copied at once, and waited for.
const LARGEST: usize = ROOM / 8;

/// Memory that is used from its beginning to its end, and then again.
#[derive(Default)]
pub(crate) struct Staging(Mutex<Option<(Pinned, usize)>>);

impl Staging {
    /// Copies `bytes` to the device, in the order of the stream.
    pub(crate) fn send(&self, stream: &CudaStream, to: u64, bytes: &[u8]) -> Result<(), GpuError> {
        let mut room = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if room.is_none() {
            *room = Some((Pinned::on(stream, ROOM)?, 0));
        }
        let Some((memory, at)) = room.as_mut().filter(|_| bytes.len() <= LARGEST) else {
            return send_now(stream, to, bytes);
        };
        if *at + bytes.len() > ROOM {
            // Whatever lies at the beginning has arrived then.
            stream.synchronize()?;
            *at = 0;
        }
        memory.put(*at, bytes);
        // SAFETY: both have that many bytes, and what was put is not written over before the stream was waited for.
        #[expect(unsafe_code, reason = "a copy that is not waited for")]
        unsafe {
            let from = memory.pointer().add(*at).cast();
            sys::cuMemcpyHtoDAsync_v2(to, from, bytes.len(), stream.cu_stream()).result()?;
        }
        // The next copy begins where any number may.
        *at += bytes.len().next_multiple_of(16);
        Ok(())
    }
}

fn send_now(stream: &CudaStream, to: u64, bytes: &[u8]) -> Result<(), GpuError> {
    // SAFETY: both have that many bytes, and the copy is done when this returns.
    #[expect(unsafe_code, reason = "a copy of the driver's")]
    unsafe {
        sys::cuMemcpyHtoDAsync_v2(to, bytes.as_ptr().cast(), bytes.len(), stream.cu_stream()).result()?;
    }
    Ok(stream.synchronize()?)
}
