//! The number types a model can compute in.

use std::fmt;
use std::str::FromStr;

use burn::tensor::DType;

/// What weights are kept in and what the forward pass computes in, norms and softmax apart (always f32).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Dtype {
    /// 32-bit floats. The only one on the CPU, whose kernels would convert half floats at every call.
    #[default]
    F32,
    /// bfloat16.
    Bf16,
    /// IEEE half floats.
    F16,
}

impl Dtype {
    /// The same type, as burn names it.
    pub(crate) const fn burn(self) -> DType {
        match self {
            Self::F32 => DType::F32,
            Self::Bf16 => DType::BF16,
            Self::F16 => DType::F16,
        }
    }
}

impl fmt::Display for Dtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
            Self::F16 => "f16",
        })
    }
}

/// A name that is no dtype.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{0}` is none of f32, bf16 and f16")]
pub struct UnknownDtype(pub String);

impl FromStr for Dtype {
    type Err = UnknownDtype;

    fn from_str(name: &str) -> Result<Self, UnknownDtype> {
        match name {
            "f32" => Ok(Self::F32),
            "bf16" => Ok(Self::Bf16),
            "f16" => Ok(Self::F16),
            _ => Err(UnknownDtype(name.to_owned())),
        }
    }
}
