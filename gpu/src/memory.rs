//! Memory of the GPU, and memory of the host that it writes to by itself.

use std::sync::Arc;

use cudarc::driver::{CudaContext, CudaSlice, CudaStream, DevicePtr as _, sys};
use half::{bf16, f16};

use super::device::{Device, Kind};
use super::error::GpuError;

/// Memory of a GPU, of numbers of one size.
pub struct Buffer {
    bytes: CudaSlice<u8>,
    pointer: u64,
}

impl Buffer {
    /// Room for `bytes` bytes; what it holds is not defined.
    ///
    /// # Errors
    /// If there is not enough.
    pub fn new(device: &Device, bytes: usize) -> Result<Self, GpuError> {
        // SAFETY: any bytes are numbers, and kernels write before they read.
        #[expect(unsafe_code, reason = "memory that is not cleared")]
        let bytes = unsafe { device.stream.alloc::<u8>(bytes.max(16))? };
        let pointer = bytes.device_ptr(&device.stream).0;
        Ok(Self { bytes, pointer })
    }

    /// A copy of `numbers`.
    ///
    /// # Errors
    /// If there is not enough memory.
    pub fn of<N: Copy>(device: &Device, numbers: &[N]) -> Result<Self, GpuError> {
        let bytes = as_bytes(numbers);
        let room = Self::new(device, bytes.len())?;
        device.stream.context().bind_to_thread()?;
        device.staging.send(&device.stream, room.pointer, bytes)?;
        Ok(room)
    }

    /// Copies `numbers` to byte `start`.
    ///
    /// # Errors
    /// If the device refuses.
    ///
    /// # Panics
    /// If there is no room for them there.
    pub fn write<N: Copy>(&self, device: &Device, start: usize, numbers: &[N]) -> Result<(), GpuError> {
        let bytes = as_bytes(numbers);
        assert!(start + bytes.len() <= self.len(), "more bytes are written than there is room for");
        device.stream.context().bind_to_thread()?;
        device.staging.send(&device.stream, self.pointer + start as u64, bytes)
    }

    /// Room for `count` 16-bit floats that look normal with that deviation, for weights of a benchmark.
    ///
    /// # Errors
    /// If there is not enough memory.
    pub fn normal(device: &Device, count: usize, seed: u32, deviation: f32) -> Result<Self, GpuError> {
        let room = Self::new(device, 2 * count)?;
        device.fill_normal(room.at(), count, seed, deviation)?;
        Ok(room)
    }

    /// Where it begins.
    pub(crate) const fn at(&self) -> u64 {
        self.pointer
    }

    /// How many bytes it has.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Its first `count` 16-bit floats, copied now.
    ///
    /// # Errors
    /// If what fills it failed.
    pub fn floats(&self, device: &Device, count: usize) -> Result<Vec<f32>, GpuError> {
        Ok(match device.kind {
            Kind::Bf16 => self.read::<bf16>(device, count)?.into_iter().map(bf16::to_f32).collect(),
            Kind::F16 => self.read::<f16>(device, count)?.into_iter().map(f16::to_f32).collect(),
        })
    }

    /// Its first numbers, copied now.
    ///
    /// # Errors
    /// If what fills it failed.
    pub fn read<N: Copy + Default>(&self, device: &Device, count: usize) -> Result<Vec<N>, GpuError> {
        let mut numbers = vec![N::default(); count];
        let bytes = as_bytes_mut(&mut numbers);
        device.stream.memcpy_dtoh(&self.bytes.slice(0..bytes.len()), bytes)?;
        device.wait()?;
        Ok(numbers)
    }

    /// Copies its first bytes to `to` when all before is done.
    ///
    /// # Errors
    /// If the device refuses.
    ///
    /// # Panics
    /// If either has less.
    pub fn send(&self, device: &Device, to: &mut Pinned, bytes: usize) -> Result<(), GpuError> {
        assert!(bytes <= self.len() && bytes <= to.len, "more bytes are sent than there are");
        // SAFETY: both have that many bytes, and `to` is read only after the device was waited for.
        #[expect(unsafe_code, reason = "a copy that is not waited for")]
        unsafe {
            sys::cuMemcpyDtoHAsync_v2(to.pointer.cast(), self.pointer, bytes, device.stream.cu_stream())
                .result()?;
        }
        Ok(())
    }
}

/// Memory of the host that does not move, which the device writes while the host goes on.
pub struct Pinned {
    pointer: *mut u8,
    len: usize,
    context: Arc<CudaContext>,
}

// SAFETY: it owns its memory, and belongs to no thread.
#[expect(unsafe_code, reason = "memory that is owned")]
unsafe impl Send for Pinned {}
// SAFETY: as above, and it is only read through shared references, after the device was waited for.
#[expect(unsafe_code, reason = "memory that is owned")]
unsafe impl Sync for Pinned {}

impl Pinned {
    /// Room for `bytes` bytes.
    ///
    /// # Errors
    /// If there is not enough.
    pub fn new(device: &Device, bytes: usize) -> Result<Self, GpuError> {
        Self::on(&device.stream, bytes)
    }

    /// The same for the device of a stream.
    pub(crate) fn on(stream: &CudaStream, bytes: usize) -> Result<Self, GpuError> {
        let context = Arc::clone(stream.context());
        context.bind_to_thread()?;
        // SAFETY: a fresh allocation, cleared so that it may be read.
        #[expect(unsafe_code, reason = "an allocation of the driver's")]
        let pointer = unsafe {
            let pointer = cudarc::driver::result::malloc_host(bytes.max(16), 0)?.cast::<u8>();
            pointer.write_bytes(0, bytes.max(16));
            pointer
        };
        Ok(Self { pointer, len: bytes, context })
    }

    /// Where it begins.
    pub(crate) const fn pointer(&self) -> *const u8 {
        self.pointer
    }

    /// Writes `bytes` from byte `start` on.
    pub(crate) fn put(&mut self, start: usize, bytes: &[u8]) {
        assert!(start + bytes.len() <= self.len, "outside of the memory");
        // SAFETY: inside of the memory, which is borrowed alone.
        #[expect(unsafe_code, reason = "memory of the driver's")]
        unsafe {
            self.pointer.add(start).copy_from_nonoverlapping(bytes.as_ptr(), bytes.len());
        }
    }

    /// How many bytes it has.
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether it has none.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The numbers from byte `start` on. Wait for the device before.
    ///
    /// # Panics
    /// If it does not have as many there.
    pub fn numbers<N: Copy>(&self, start: usize, count: usize) -> &[N] {
        assert!(
            start.is_multiple_of(align_of::<N>()) && start + count * size_of::<N>() <= self.len,
            "outside of the memory"
        );
        // SAFETY: inside of the memory, aligned, and any bytes are numbers.
        #[expect(unsafe_code, reason = "bytes as numbers")]
        unsafe {
            std::slice::from_raw_parts(self.pointer.add(start).cast(), count)
        }
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        let _ = self.context.bind_to_thread();
        // SAFETY: allocated above, and dropped once.
        #[expect(unsafe_code, reason = "an allocation of the driver's")]
        let freed = unsafe { cudarc::driver::result::free_host(self.pointer.cast()) };
        self.context.record_err(freed);
    }
}

/// The memory of plain numbers.
fn as_bytes<N: Copy>(numbers: &[N]) -> &[u8] {
    // SAFETY: numbers have no padding and any alignment suits bytes.
    #[expect(unsafe_code, reason = "numbers as bytes")]
    unsafe {
        std::slice::from_raw_parts(numbers.as_ptr().cast(), size_of_val(numbers))
    }
}

fn as_bytes_mut<N: Copy>(numbers: &mut [N]) -> &mut [u8] {
    // SAFETY: as above, and any bytes are numbers.
    #[expect(unsafe_code, reason = "numbers as bytes")]
    unsafe {
        std::slice::from_raw_parts_mut(numbers.as_mut_ptr().cast(), size_of_val(numbers))
    }
}
