//! The parts of a block as loops over the CPU's memory, in f32: fused where tensor operations would write
//! and read again, and on every core.

pub(super) mod attention;
mod exp;
mod memory;
pub(super) mod norm;
pub(super) mod panels;
pub(super) mod product;
pub(super) mod rope;
mod simd;
pub(super) mod swiglu;

use burn::tensor::Device;

/// Rows that one task takes: enough work to be worth a task, and a task to spare for every core.
const ROWS: usize = 16;

/// Whether `device` is the CPU.
pub(super) fn is_cpu(device: &Device) -> bool {
    *device == Device::flex()
}
