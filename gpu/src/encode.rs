//! Sparse features of rows of the residual.

use super::device::Device;
use super::error::GpuError;
use super::memory::Buffer;
use super::ops::{float, int};

/// Rows whose pre-activations are in memory at the same time.
const ROWS_AT_ONCE: usize = 4096;

/// A dictionary on the device.
pub struct Dictionary {
    /// Width of a row.
    pub d_in: usize,
    /// Features.
    pub d_sae: usize,
    /// Encoder, transposed: `[d_sae, d_in]`, 16-bit, with the scale of the input in it.
    pub encoder: Buffer,
    /// `[d_sae]`, f32; with what the encoder makes of a bias that is subtracted before it.
    pub b_enc: Buffer,
    /// `[d_sae, d_in]`, 16-bit.
    pub decoder: Buffer,
    /// `[d_in]`, f32.
    pub b_dec: Buffer,
    /// What a feature must exceed, f32, if that is not 0: `[d_sae]`.
    pub threshold: Option<Buffer>,
    /// How many features of a row fire at most; 0 for any number.
    pub top: usize,
    /// What a reconstruction is multiplied by.
    pub output_scale: f32,
}

/// Room for the features of rows: one memory, so that it leaves in one piece.
pub struct Features {
    /// Features `[n, kept]`, their activations, and L0, norm of the features, kept share, norm of the row and of what
    /// stays unexplained, `[n]` each: 4 bytes each, in this order.
    pub out: Buffer,
    /// Features kept of a row.
    pub kept: usize,
    rows: usize,
}

impl Features {
    /// Room for `rows` rows.
    ///
    /// # Errors
    /// If there is not enough memory.
    pub fn new(device: &Device, rows: usize, kept: usize) -> Result<Self, GpuError> {
        Ok(Self { out: Buffer::new(device, rows * Self::bytes_a_row(kept))?, kept, rows })
    }

    /// Bytes that a row takes.
    pub const fn bytes_a_row(kept: usize) -> usize {
        4 * (2 * kept + 5)
    }
}

impl Dictionary {
    /// Bytes of pre-activations that are in memory at the same time.
    pub const fn scratch_bytes(d_sae: usize) -> usize {
        ROWS_AT_ONCE * (4 * d_sae + 8)
    }

    /// Fills `features` with those of the rows `x`: `[n, d_in]`, with as many as it has room for.
    ///
    /// # Errors
    /// If the device refuses.
    pub fn encode(&self, device: &Device, x: &Buffer, features: &Features) -> Result<(), GpuError> {
        let Self { d_in, d_sae, .. } = *self;
        let (n, kept) = (features.rows, features.kept);
        let threshold = self.threshold.as_ref().map_or(0, Buffer::at);
        let start = features.out.at();
        // Made anew for each dictionary, so that the driver gives each of them the same memory.
        let at_once = n.min(ROWS_AT_ONCE);
        let (pre, cut) = (Buffer::new(device, 4 * at_once * d_sae)?, Buffer::new(device, 8 * at_once)?);
        let column = |place: usize, row: usize| start + 4 * (2 * n * kept + place * n + row) as u64;
        for first in (0..n).step_by(ROWS_AT_ONCE) {
            let rows = ROWS_AT_ONCE.min(n - first);
            let x = x.at() + (2 * first * d_in) as u64;
            let (pre, cut) = (pre.at(), cut.at());
            device.multiply("encoder product", [x, self.encoder.at(), pre], [rows, d_in, d_sae], true)?;
            let (index, value) = (start + 4 * (first * kept) as u64, start + 4 * ((n + first) * kept) as u64);
            let a = [pre, self.b_enc.at(), threshold];
            let chosen = [int(d_sae), int(kept), int(self.top), index, value];
            let per_row = [column(0, first), column(1, first), column(2, first), cut];
            device.select(rows, &[&a[..], &chosen, &per_row].concat())?;
            let decoder = [cut, int(d_sae), self.decoder.at(), self.b_dec.at(), x, int(d_in)];
            let norms = [float(self.output_scale), column(3, first), column(4, first)];
            device.unexplained(rows, &[&a[..], &decoder, &norms].concat())?;
        }
        Ok(())
    }
}
