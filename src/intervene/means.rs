//! Means of activations over prompts, which mean ablation puts in the place of what a run has.

use std::collections::BTreeMap;

use burn::tensor::Tensor;

use super::error::InterveneError;
use super::kept::Base;
use super::record::Record;
use crate::dictionary::Dictionary;
use crate::model::{Hook, Llama, Packed, Site};

/// Means over prompts, position 0 left out, where attention rests.
pub struct Means {
    /// Of the activation at each hook: `[width]`.
    pub(super) activations: BTreeMap<Hook, Tensor<1>>,
    /// Of each feature by the block that it is read after.
    pub(super) features: BTreeMap<(usize, u32), f32>,
}

impl Means {
    /// Runs prompts and takes the means at `hooks`, and of `features` by the dictionaries that read these hooks.
    ///
    /// # Errors
    /// If a hook is a pattern, which has no mean over prompts, a feature does not exist, or the device fails.
    pub fn measure(
        llama: &Llama,
        prompts: &[Vec<u32>],
        hooks: &[Hook],
        (dictionaries, features): (&[Dictionary], &[(usize, u32)]),
    ) -> Result<Self, InterveneError> {
        let sites: Vec<Site> = hooks.iter().map(|hook| hook.site).collect();
        if sites.contains(&Site::Pattern) {
            return Err(InterveneError::PatternChange);
        }
        let packed = Packed::new(prompts.iter().map(Vec::as_slice));
        let mut record = Record { sites, ..Record::default() };
        let _ = llama.forward(&packed, &mut record);
        let rows: Vec<usize> = packed.ranges().flat_map(|range| range.skip(1)).collect();
        let mut means = Self { activations: BTreeMap::new(), features: BTreeMap::new() };
        for hook in hooks {
            let kept = match hook.site {
                Site::ResidPost => record.residuals.get(hook.layer),
                _ => record.activations.get(hook),
            };
            let layers = llama.config().n_layers;
            let x = Base::rows(kept.ok_or(InterveneError::NoSuchLayer { hook: *hook, layers })?, &rows);
            for dictionary in dictionaries.iter().filter(|dictionary| dictionary.hook == *hook) {
                let of_layer = features.iter().filter(|(layer, _)| *layer == hook.layer);
                let names: Vec<u32> = of_layer.map(|(_, feature)| *feature).collect();
                let f = dictionary.activations(x.clone(), &names)?.mean_dim(0).try_into_data_as::<f32>()?;
                means.features.extend(names.iter().map(|name| (hook.layer, *name)).zip(f.iter::<f32>()));
            }
            means.activations.insert(*hook, x.mean_dim(0).squeeze_dim(0));
        }
        Ok(means)
    }
}
