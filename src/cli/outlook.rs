//! What a run is expected to take, told by `plan` and compared with what it took by `collect`.

use std::thread::available_parallelism;

use burn::tensor::Device;

use super::collect::Plan;
use super::ui;
use crate::capture::{Forecast, Prepared, Settings};
use crate::dictionary::Dictionary;
use crate::error::Error;
use crate::lake::Lake;
use crate::model::{Config, product_rate};

/// How fast a whole pass is, as a share of its products alone: by the fused kernels of an H100, and by the CPU's loops,
/// whose products are faster than those of the probe.
pub(super) const OF_FUSED: f64 = 0.78;
pub(super) const OF_PLAIN: f64 = 0.78;

/// What is expected of a run.
pub(super) struct Outlook {
    pub(super) forecast: Forecast,
    pub(super) tokens_a_second: f64,
    /// Bytes of a token: the lake's own so far, or those of the forecast.
    pub(super) bytes_a_token: f64,
}

impl Outlook {
    /// Of a run whose passes do `rate` multiplications and additions a second, over steps of `mean` tokens.
    pub(super) fn of(
        plan: &Plan,
        config: &Config,
        (settings, dictionaries): (&Settings, &[Dictionary]),
        (rate, mean): (f64, f64),
    ) -> Result<Self, Error> {
        let features = dictionaries.iter().map(|dictionary| {
            let fire = dictionary.provenance.expected.l0;
            (dictionary.d_sae, fire.map(f64::from))
        });
        let features = features.collect::<Vec<_>>();
        let forecast = Forecast::of(config, settings, &features, mean);
        let threads = available_parallelism().map_or(1, usize::from);
        let tokens_a_second = forecast.tokens_a_second(rate, (threads, plan.machine.is_gpu()));
        let bytes_a_token = plan.lake_so_far()?.as_ref().and_then(bytes_a_token);
        let bytes_a_token = bytes_a_token.unwrap_or_else(|| forecast.bytes_with(plan.activation_bits));
        Ok(Self { forecast, tokens_a_second, bytes_a_token })
    }

    /// Says how far off it was.
    pub(super) fn compare(&self, tokens: u64, bytes: u64, seconds: f64) {
        if tokens == 0 {
            return;
        }
        let (rate, each) = (tokens as f64 / seconds, bytes as f64 / tokens as f64);
        ui::note(&format!(
            "{rate:.0} tokens a second and {each:.0} bytes a token; expected were {:.0} and {:.0}",
            self.tokens_a_second, self.bytes_a_token
        ));
    }
}

/// The speed of passes on a device of tensor operations.
pub(super) fn plain_rate(device: &Device, config: &Config) -> f64 {
    OF_PLAIN * product_rate(device, config)
}

/// Tokens of a step on average; 1 without steps.
pub(super) fn mean_tokens(steps: &[Prepared]) -> f64 {
    let tokens = steps.iter().map(|step| step.tokens().len()).sum::<usize>();
    if steps.is_empty() { 1.0 } else { tokens as f64 / steps.len() as f64 }
}

/// Bytes of a token in a lake that has any.
fn bytes_a_token(lake: &Lake) -> Option<f64> {
    let info = lake.info().ok()?;
    let bytes = info.tables.iter().map(|table| table.bytes).sum::<u64>();
    (info.tokens > 0).then(|| bytes as f64 / info.tokens as f64)
}
