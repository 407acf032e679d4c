//! What can go wrong while the model runs.

use super::prepare::PrepareError;
use crate::dictionary::DictionaryError;
use crate::tokens::TokenizerError;

/// What can go wrong while the model runs.
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    /// The device failed.
    #[error("the device failed: {0}")]
    Device(String),
    /// The GPU failed.
    #[error(transparent)]
    Gpu(#[from] gpu::GpuError),
    /// The fused kernels of a GPU cannot do something.
    #[error("the kernels of the GPU do not know {0}")]
    NotFused(&'static str),
    /// The memory of the GPU does not hold what a pass needs.
    #[error("the GPU has {:.1} GB free, and dictionaries and a small pass need {:.1}", *free as f64 / 1e9, *needed as f64 / 1e9)]
    DeviceMemory {
        /// Bytes that are free beside the model.
        free: usize,
        /// Bytes that are needed.
        needed: usize,
    },
    /// A dictionary cannot encode.
    #[error(transparent)]
    Dictionary(#[from] DictionaryError),
    /// A prompt cannot run.
    #[error(transparent)]
    Prepare(#[from] PrepareError),
    /// A text cannot be tokenized, or an id has no text.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
    /// The thread that writes the lake is gone without saying why.
    #[error("the writing thread ended in a panic")]
    WriterDied,
}

impl CaptureError {
    /// What to do about it, where that is known.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Gpu(_) | Self::NotFused(_) | Self::DeviceMemory { .. } => Some("use --device cpu".into()),
            Self::Dictionary(error) => error.hint(),
            Self::Device(_) | Self::Prepare(_) | Self::Tokenizer(_) | Self::WriterDied => None,
        }
    }

    /// The exit code that says so.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Device(_) | Self::Gpu(_) | Self::DeviceMemory { .. } => 4,
            Self::Dictionary(error) => error.exit_code(),
            Self::NotFused(_) | Self::Prepare(_) | Self::Tokenizer(_) => 2,
            Self::WriterDied => 3,
        }
    }
}
