//! The memory of a GPU that a run by the fused kernels takes.

use gpu::Kept;

use super::CaptureError;
use super::fused_past;
use super::settings::Settings;
use crate::dictionary::Keep;
use crate::model::{Config, shape, weight_bytes};

/// A pass of fewer tokens is not worth a GPU.
const FEWEST_TOKENS: usize = 256;

/// Bytes that are left for what is not counted: logits, the workspace of products, what the driver keeps.
const RESERVE: usize = 1 << 30;

/// What a run takes, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Footprint {
    /// The weights of the model.
    pub model: usize,
    /// Those of the dictionaries, and what they need to encode.
    pub dictionaries: usize,
    /// What is not counted.
    pub reserve: usize,
    /// For every token of a pass.
    pub a_token: usize,
}

impl Footprint {
    /// That of a run of a model with dictionaries of these widths and numbers of features. A run whose passes are to
    /// `remember` keeps their keys and values too.
    pub fn of(config: &Config, dictionaries: &[(usize, usize)], settings: &Settings, remember: bool) -> Self {
        let weights = dictionaries.iter().map(|(d_in, d_sae)| 4 * d_in * d_sae).sum::<usize>();
        let scratch = dictionaries.iter().map(|(_, d_sae)| gpu::Dictionary::scratch_bytes(*d_sae));
        let kept = if let Keep::Top(count) = settings.keep { count } else { 0 };
        let of_layer = gpu::Features::bytes_a_row(kept)
            + Kept::bytes_a_token(config.n_heads, settings.attention.strongest());
        let of_past = if remember { fused_past::bytes_a_token(config) } else { 0 };
        Self {
            model: weight_bytes(config),
            dictionaries: weights + scratch.max().unwrap_or_default(),
            reserve: RESERVE,
            a_token: shape(config).bytes_a_token() + settings.layers.len() * of_layer + of_past,
        }
    }

    /// How many tokens can run in one pass where `free` bytes are free beside the model: `wanted`, or fewer where there
    /// is no room for as many.
    ///
    /// # Errors
    /// [`CaptureError::DeviceMemory`] if not even 256 can.
    pub fn token_budget(&self, free: usize, wanted: usize) -> Result<usize, CaptureError> {
        let taken = self.dictionaries + self.reserve;
        let fits = free.saturating_sub(taken) / self.a_token;
        if fits < FEWEST_TOKENS.min(wanted) {
            return Err(CaptureError::DeviceMemory { free, needed: taken + FEWEST_TOKENS * self.a_token });
        }
        Ok(wanted.min(fits))
    }
}

#[cfg(test)]
mod tests {
    use super::{CaptureError, Footprint};

    #[test]
    fn a_pass_is_as_large_as_what_is_free() {
        let footprint = Footprint { model: 0, dictionaries: 1000, reserve: 500, a_token: 10 };
        assert_eq!(footprint.token_budget(1 << 20, 512).unwrap(), 512);
        assert_eq!(footprint.token_budget(1500 + 3000, 512).unwrap(), 300);
        let short = footprint.token_budget(1500 + 2000, 512);
        assert!(matches!(short, Err(CaptureError::DeviceMemory { free: 3500, needed: 4060 })));
    }
}
