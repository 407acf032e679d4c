//! From a word to a device.

use burn::tensor::Device;

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
        _ => {
            let index = word.strip_prefix("cuda:").and_then(|index| index.parse::<usize>().ok());
            index.and_then(|index| gpus.get(index).cloned()).ok_or_else(unknown)
        }
    }
}

/// Whether a device is a GPU.
pub(super) fn is_gpu(device: &Device) -> bool {
    *device != Device::flex()
}

/// How the lake names a device: `cpu` or `cuda:N`.
pub(super) fn name(device: &Device) -> String {
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
