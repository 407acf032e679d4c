//! The forward pass of a Llama and its dictionaries on an NVIDIA GPU.
//!
//! Everything runs on one stream, in the order in which it is asked for: products through cuBLASLt, all else in a few
//! fused kernels (`kernels/*.cu`, compiled when the device is opened). The host waits only for what it reads. Weights
//! and activations are 16-bit floats, sums and statistics are in f32.
//!
//! This crate knows of pointers, shapes and numbers, and of nothing else of saelake.

mod clock;
mod device;
mod encode;
mod error;
mod keep;
mod llama;
mod memory;
#[cfg(test)]
#[cfg(feature = "on-device")]
#[path = "../../tests/gpu/mod.rs"]
mod on_device;
mod ops;
mod past;
mod probe;
mod products;
mod staging;
mod tiles;

pub use clock::{Mark, Times};
pub use device::{Device, Kind, count, missing};
pub use encode::{Dictionary, Features};
pub use error::GpuError;
pub use keep::{Keep, Kept};
pub use llama::{Block, Llama, Rows, Shape, Taken};
pub use memory::{Buffer, Pinned};
pub use past::Past;
pub use tiles::{Batch, Piece};
