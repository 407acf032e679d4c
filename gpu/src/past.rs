//! What the attention remembers of sequences that go on.

use super::device::Device;
use super::error::GpuError;
use super::llama::Shape;
use super::memory::Buffer;
use super::ops::Attended;

/// Keys and values of tokens, of every block, in rooms that whoever packs batches deals out.
pub struct Past {
    /// By block: `[rows, keys | values]`, 16-bit.
    blocks: Vec<Buffer>,
}

impl Past {
    /// Room for `rows` tokens of a model with `n_blocks` blocks.
    ///
    /// # Errors
    /// If there is not enough memory.
    pub fn new(device: &Device, shape: &Shape, n_blocks: usize, rows: usize) -> Result<Self, GpuError> {
        let block = |_| Buffer::new(device, 2 * rows * shape.remembered());
        Ok(Self { blocks: (0..n_blocks).map(block).collect::<Result<_, _>>()? })
    }

    /// Bytes that a token takes.
    pub const fn bytes_a_token(shape: &Shape, n_blocks: usize) -> usize {
        2 * n_blocks * shape.remembered()
    }

    /// Keeps the keys and values of rows `[n, queries | keys | values]` of a block, and says from where they, and those
    /// before them, are attended to.
    pub(crate) fn remember(
        &self,
        device: &Device,
        layer: usize,
        (qkv, rooms, n): (&Buffer, &Buffer, usize),
        shape: &Shape,
    ) -> Result<Attended, GpuError> {
        let (k, width) = (self.blocks[layer].at(), shape.remembered());
        device.remember([qkv.at(), rooms.at(), k], [n, shape.qkv(), width])?;
        Ok(Attended { q: qkv.at(), k, v: k + width as u64, q_stride: shape.qkv(), kv_stride: width })
    }
}
