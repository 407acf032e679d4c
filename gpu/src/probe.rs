//! How fast products are on a device, without a model.

use super::device::Device;
use super::error::GpuError;
use super::llama::Shape;
use super::memory::Buffer;

/// Rows of the product: as many as fill the device.
const ROWS: usize = 4096;

/// Products that are timed together.
const TIMES: usize = 20;

impl Device {
    /// Multiplications and additions a second of products as wide as those of a model's MLP.
    ///
    /// # Errors
    /// If the device refuses.
    pub fn product_rate(&self, shape: &Shape) -> Result<f64, GpuError> {
        let (inputs, outputs) = (shape.d_model, 2 * shape.d_ff);
        // Numbers that are not all alike: a device that multiplies zeros draws less power and is faster.
        let x = Buffer::normal(self, ROWS * inputs, 1, 1.0)?;
        let weight = Buffer::normal(self, inputs * outputs, 2, 1.0)?;
        let out = Buffer::new(self, 2 * ROWS * outputs)?;
        let product =
            || self.multiply("probe", [x.at(), weight.at(), out.at()], [ROWS, inputs, outputs], false);
        product()?;
        let milliseconds = self.time(|| (0..TIMES).try_for_each(|_| product()))?;
        Ok((TIMES * 2 * ROWS * inputs * outputs) as f64 / (milliseconds / 1e3))
    }
}
