//! The numbers that a trace takes from the model's weights: couplings of features, and what features do to the
//! decision.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use burn::tensor::Device;
use queries::{Coupling, Given};
use schemas::{dictionaries, runs};

use super::demo::DEMO;
use super::device::{device, is_gpu};
use super::dictionaries::read;
use crate::capture::first_tokens;
use crate::dictionary::{Dictionary, DictionaryError};
use crate::error::{Error, UsageError};
use crate::game::Options;
use crate::lake::Lake;
use crate::model::{Dtype, Opened, open};

/// A pair of features: `from_layer`, `from_feature`, `to_layer`, `to_feature`.
type Pair = (i32, i32, i32, i32);

/// The dictionaries that a lake's features come from, and the run that says which model they belong to.
pub(super) struct Recorded {
    run: runs::Row,
    dictionaries: Vec<dictionaries::Row>,
    /// Where the model and the dictionaries are put, and the type of the model's numbers there.
    device: (Device, Dtype),
}

impl Recorded {
    /// Reads what the lake at `root` says. Models are opened on the CPU.
    pub(super) fn read(root: &Path) -> Result<Self, Error> {
        let lake = Lake::open(root)?;
        let run = lake.runs().last().ok_or(queries::QueryError::NoGames)?.clone();
        let dictionaries = lake.dictionaries().to_vec();
        Ok(Self { run, dictionaries, device: (Device::flex(), Dtype::F32) })
    }

    /// Models are opened on the device that `word` names instead, in bf16 where that is a GPU.
    pub(super) fn on(self, word: &str) -> Result<Self, UsageError> {
        let device = device(word)?;
        let dtype = if is_gpu(&device) { Dtype::Bf16 } else { Dtype::F32 };
        Ok(Self { device: (device, dtype), ..self })
    }

    /// The couplings of `pairs`, by dictionaries that are opened at `places`, or where the lake says that they
    /// came from if none is named.
    ///
    /// # Errors
    /// If a dictionary cannot be found, or is not the one that the lake's features come from.
    pub(super) fn couplings(&self, places: &[String], pairs: &[Pair]) -> Result<Given, Error> {
        let layers: BTreeSet<i32> = pairs.iter().flat_map(|pair| [pair.0, pair.2]).collect();
        let opened = self.open(places, &layers)?;
        let mut by_layers: BTreeMap<(i32, i32), Vec<(u32, u32)>> = BTreeMap::new();
        for (from_layer, from, to_layer, to) in pairs {
            by_layers
                .entry((*from_layer, *to_layer))
                .or_default()
                .push((from.cast_unsigned(), to.cast_unsigned()));
        }
        let mut rows = Vec::with_capacity(pairs.len());
        for ((from_layer, to_layer), features) in by_layers {
            let (source, target) = (of_layer(&opened, from_layer)?, of_layer(&opened, to_layer)?);
            let couplings = source.couplings(target, &features)?;
            rows.extend(features.into_iter().zip(couplings).map(|((from, to), coupling)| Coupling {
                from_layer,
                from_feature: from.cast_signed(),
                to_layer,
                to_feature: to.cast_signed(),
                coupling,
            }));
        }
        Ok(Given::of_couplings(&rows)?)
    }

    /// What every feature of `layers` does to the difference of the logits of the bet and the stop, by its
    /// activation: [`Dictionary::along`] the direction of the two first tokens, between which the run decided.
    ///
    /// # Errors
    /// As [`Recorded::couplings`]; if `model` is not the one that the lake was made by, or the run decided by
    /// something else.
    pub(super) fn importance(&self, places: &[String], model: &str, layers: &[i32]) -> Result<Given, Error> {
        if self.run.decide.is_none() {
            return Err(UsageError::NoOptions.into());
        }
        let opened = self.model(model)?;
        let [bet, stop] = first_tokens(&opened.tokenizer, Options::BET, Options::STOP)?;
        let direction = opened.llama.logit_direction(bet, stop);
        let direction = direction.try_into_data_as::<f32>().map_err(DictionaryError::from)?;
        let direction: Vec<f32> = direction.iter::<f32>().collect();
        let dictionaries = self.open(places, &layers.iter().copied().collect())?;
        let mut rows = Vec::new();
        for layer in layers {
            let dictionary = of_layer(&dictionaries, *layer)?;
            let features: Vec<u32> = (0..dictionary.d_sae as u32).collect();
            let effects = dictionary.along(&direction, &features)?;
            let effects = features.into_iter().zip(effects);
            rows.extend(effects.map(|(feature, effect)| (*layer, feature.cast_signed(), effect)));
        }
        Ok(Given::of_importance(&rows)?)
    }

    /// Opens a model and compares it with what the lake says.
    ///
    /// # Errors
    /// If it cannot be read, or is not the one that the lake was made by.
    pub(super) fn model(&self, model: &str) -> Result<Opened, Error> {
        let (device, dtype) = &self.device;
        let opened = open(model, device, *dtype)?;
        if opened.identity.hash != self.run.model_hash {
            let (asked, recorded) = (model.to_owned(), self.run.model.clone());
            return Err(UsageError::OtherModel { asked, recorded }.into());
        }
        Ok(opened)
    }

    /// The layers that have a dictionary.
    pub(super) fn layers(&self) -> BTreeSet<i32> {
        self.dictionaries.iter().map(|row| row.layer).collect::<BTreeSet<_>>()
    }

    /// Whether the lake's steps are decisions between a bet and a stop.
    pub(super) const fn decides(&self) -> bool {
        self.run.decide.is_some()
    }

    /// Opens the dictionaries of `layers` and compares them with what the lake says.
    pub(super) fn open(&self, places: &[String], layers: &BTreeSet<i32>) -> Result<Vec<Dictionary>, Error> {
        let wanted: Vec<usize> = layers.iter().map(|layer| layer.cast_unsigned() as usize).collect();
        if wanted.is_empty() {
            return Ok(Vec::new());
        }
        let places = if places.is_empty() { self.places(layers)? } else { places.to_vec() };
        let opened = read(&self.run.model_hash, &places, &wanted, &self.device.0)?;
        for row in self.dictionaries.iter().filter(|row| layers.contains(&row.layer)) {
            if of_layer(&opened, row.layer)?.provenance.hash != row.hash {
                let (layer, recorded) = (row.layer, row.source.clone());
                return Err(UsageError::OtherDictionary { layer, recorded }.into());
            }
        }
        Ok(opened)
    }

    /// Where the lake says that the dictionaries of `layers` came from; none for those of the program itself.
    fn places(&self, layers: &BTreeSet<i32>) -> Result<Vec<String>, UsageError> {
        let mut places = BTreeSet::new();
        for row in self.dictionaries.iter().filter(|row| layers.contains(&row.layer)) {
            match (&row.revision, row.source.as_str()) {
                (None, DEMO) => {}
                (Some(revision), source) => {
                    places.insert(format!("{source}@{revision}"));
                }
                (None, source) if Path::new(source).is_dir() => {
                    places.insert(source.to_owned());
                }
                // The lake keeps the names of folders, not the way to them.
                (None, source) => {
                    let (layer, recorded) = (row.layer, source.to_owned());
                    return Err(UsageError::DictionaryElsewhere { layer, recorded });
                }
            }
        }
        Ok(places.into_iter().collect())
    }
}

/// The dictionary of a layer.
pub(super) fn of_layer(dictionaries: &[Dictionary], layer: i32) -> Result<&Dictionary, UsageError> {
    let found = dictionaries.iter().find(|dictionary| dictionary.hook.layer as i32 == layer);
    found.ok_or_else(|| {
        let have = dictionaries.iter().map(|dictionary| dictionary.hook.layer.to_string());
        let layer = layer.cast_unsigned() as usize;
        UsageError::LayerWithoutDictionary { layer, have: have.collect::<Vec<_>>().join(", ") }
    })
}
