//! Opening what a run on a GPU needs.

use std::panic::resume_unwind;
use std::thread;

use burn::tensor::Device;

use super::collect::Plan;
use super::{dictionaries, ui};
use crate::capture::{CaptureError, Footprint, Settings};
use crate::dictionary::Dictionary;
use crate::error::Error;
use crate::model::{self, OnGpu, Opened};

impl Plan {
    /// The model on a GPU, and the dictionaries. Those that are named are read while the model is loaded; whether the
    /// demo dictionaries belong to it is known only after.
    pub(super) fn open_on_gpu(&self, number: usize) -> Result<(Opened<OnGpu>, Vec<Dictionary>), Error> {
        let places = self.options.dictionary.as_slice();
        if places.is_empty() || self.without_dictionaries() {
            let opened = self.open_fused(number)?;
            let dictionaries = self.open_dictionaries(&opened, &Device::flex())?;
            return Ok((opened, dictionaries));
        }
        thread::scope(|scope| {
            let layers = &self.options.layers;
            let read = scope.spawn(move || dictionaries::read("", places, layers, &Device::flex()));
            let opened = self.open_fused(number)?;
            let read = read.join().unwrap_or_else(|panic| resume_unwind(panic))?;
            dictionaries::check(&opened, &read)?;
            Ok((opened, read))
        })
    }

    /// The model on a GPU. Many gigabytes take a while, and that is shown.
    fn open_fused(&self, number: usize) -> Result<Opened<OnGpu>, Error> {
        let bar = ui::progress(0, "MB of weights");
        let loaded = |done: u64, all: u64| {
            bar.set_length(all >> 20);
            bar.set_position(done >> 20);
        };
        let opened = model::open_fused(&self.model, number, self.dtype, &loaded);
        bar.finish_and_clear();
        opened
    }

    /// Makes passes as large as the memory of the GPU allows.
    pub(super) fn fit(
        &self,
        model: &OnGpu,
        dictionaries: &[Dictionary],
        settings: &mut Settings,
    ) -> Result<(), CaptureError> {
        let widths = dictionaries.iter().map(|dictionary| (dictionary.d_in, dictionary.d_sae));
        let widths = widths.collect::<Vec<_>>();
        let footprint = Footprint::of(model.config(), &widths, settings, self.remembers());
        let (wanted, (free, _)) = (settings.batch_tokens, model.device.memory()?);
        settings.batch_tokens = footprint.token_budget(free, wanted)?;
        if settings.batch_tokens < wanted {
            ui::note(&format!("passes of {} tokens: the GPU has no memory for more", settings.batch_tokens));
        }
        Ok(())
    }
}
