//! From a word to a device.

use burn::tensor::Device;

use super::ui;
use crate::error::UsageError;

/// The device that `word` names: `auto`, `cpu` or `cuda:N`.
///
/// `auto` is the first NVIDIA GPU, or the CPU where there is none.
pub(super) fn device(word: &str) -> Result<Device, UsageError> {
    let gpus = gpus();
    let unknown = || UsageError::Device { word: word.to_owned(), gpus: gpus.len() };
    match word {
        "cpu" => Ok(Device::flex()),
        "auto" => Ok(gpus.into_iter().next().unwrap_or_else(Device::flex)),
        _ => number(word).and_then(|index| gpus.get(index).cloned()).ok_or_else(unknown),
    }
}

/// What a run computes on.
#[derive(Clone)]
pub(super) enum Machine {
    /// In tensor operations on a device.
    Plain(Device),
    /// By the fused kernels of the GPU with that number.
    Fused(usize),
}

impl Machine {
    /// What `word` names, as for [`device`]; on a GPU the fused kernels, if they can do what is asked for.
    pub(super) fn of(word: &str, can_be_fused: bool) -> Result<Self, UsageError> {
        let wanted = match word {
            "auto" => Some(0),
            _ => number(word),
        };
        let Some(number) = wanted.filter(|number| can_be_fused && *number < gpu::count()) else {
            return device(word).map(Self::Plain);
        };
        match gpu::missing() {
            Some(missing) if word == "auto" => {
                ui::note(&format!(
                    "the GPU is not used: {missing} is not installed, or not where it is looked for"
                ));
                device(word).map(Self::Plain)
            }
            // Opening it says what is missing.
            _ => Ok(Self::Fused(number)),
        }
    }

    /// Whether it is a GPU.
    pub(super) fn is_gpu(&self) -> bool {
        match self {
            Self::Plain(device) => is_gpu(device),
            Self::Fused(_) => true,
        }
    }

    /// Games of a commit unless said otherwise: so many that a GPU does not wait for what every commit takes anew.
    pub(super) const fn usual_commit(&self) -> usize {
        match self {
            Self::Plain(_) => 10,
            Self::Fused(_) => 500,
        }
    }

    /// How the lake names it: `cpu` or `cuda:N`.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Plain(device) => name(device),
            Self::Fused(number) => format!("cuda:{number}"),
        }
    }
}

/// N of `cuda:N`.
fn number(word: &str) -> Option<usize> {
    word.strip_prefix("cuda:")?.parse().ok()
}

/// Whether a device is a GPU.
pub(super) fn is_gpu(device: &Device) -> bool {
    *device != Device::flex()
}

/// How the lake names a device: `cpu` or `cuda:N`.
fn name(device: &Device) -> String {
    match gpus().iter().position(|gpu| gpu == device) {
        Some(index) => format!("cuda:{index}"),
        None => "cpu".to_owned(),
    }
}

#[cfg(feature = "cuda")]
fn gpus() -> Vec<Device> {
    Device::enumerate(burn::tensor::DeviceType::Cuda).into_vec()
}

#[cfg(not(feature = "cuda"))]
fn gpus() -> Vec<Device> {
    Vec::new()
}
