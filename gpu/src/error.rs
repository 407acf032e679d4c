//! What can go wrong with a GPU.

use cudarc::cublaslt::result::CublasError;
use cudarc::driver::DriverError;
use cudarc::nvrtc::CompileError;

/// What can go wrong with a GPU.
#[derive(Debug, thiserror::Error)]
pub enum GpuError {
    /// There is no device of that number, or no driver.
    #[error("there is no CUDA device {0}")]
    NoDevice(usize),
    /// A part of CUDA is not installed where it is looked for.
    #[error("{0} is not installed, or not where it is looked for")]
    Missing(&'static str),
    /// The driver refused something.
    #[error("the CUDA driver failed: {0}")]
    Driver(#[from] DriverError),
    /// cuBLASLt refused a product.
    #[error("cuBLASLt failed: {0}")]
    Products(#[from] CublasError),
    /// The kernels do not compile on this machine.
    #[error("the kernels cannot be compiled: {0}")]
    Compile(String),
    /// A model that the kernels were not written for.
    #[error("the fused kernels do not run {what} of {found}; they run {known}")]
    Unsupported {
        /// What.
        what: &'static str,
        /// What it is.
        found: usize,
        /// What it may be.
        known: &'static str,
    },
}

impl From<CompileError> for GpuError {
    fn from(error: CompileError) -> Self {
        Self::Compile(match error {
            CompileError::CompileError { log, .. } => log.to_string_lossy().into_owned(),
            other => format!("{other:?}"),
        })
    }
}
