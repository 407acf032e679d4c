//! The layout of EleutherAI/delphi's cache of latents: a folder a hook, with safetensors of ranges of features.
//!
//! A sequence is a step. delphi wants all of one length, so that shorter ones are filled up on the right with token 0,
//! where no feature fires.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write as _};
use std::path::PathBuf;

use serde_json::json;

use super::ExchangeError;
use super::delphi_split::Split;
use super::layout::{About, Ended, Layout};
use super::places::places;
use super::spool::Spool;
use crate::lake::Whole;

/// The folder that delphi is told to read; everything in it must be the folder of a hook.
const LATENTS: &str = "latents";

/// The token that shorter sequences are filled up with.
const PADDING: i64 = 0;

/// A cache that is being filled.
pub(super) struct Delphi {
    about: About,
    layers: BTreeMap<i32, Vec<Split>>,
    tokens: Spool,
    /// `game,step,n_tokens` of every sequence.
    sequences: Spool,
    n_sequences: u64,
}

impl Delphi {
    /// An empty one.
    pub(super) fn begin(about: About, splits: usize) -> Result<Self, ExchangeError> {
        let fits = |count: usize| count <= usize::from(u16::MAX) + 1;
        let mut layers = BTreeMap::new();
        for (layer, dictionary) in &about.dictionaries {
            let ranges = ranges(dictionary.d_sae, splits);
            let is_narrow = fits(about.n_steps as usize)
                && fits(about.longest)
                && ranges.iter().all(|(first, last)| fits((last - first + 1) as usize));
            let split = |range: &(i32, i32)| Split::new(&about.folder, *range, is_narrow);
            layers.insert(*layer, ranges.iter().map(split).collect::<Result<Vec<_>, _>>()?);
        }
        let (tokens, mut sequences) = (Spool::new(&about.folder)?, Spool::new(&about.folder)?);
        let failed = |error| ExchangeError::unwritable(&about.folder, error);
        writeln!(sequences, "sequence,game,step,n_tokens").map_err(failed)?;
        Ok(Self { about, layers, tokens, sequences, n_sequences: 0 })
    }

    /// Adds the sequences of a game; the number of each step's.
    fn add_sequences(&mut self, whole: &Whole) -> io::Result<BTreeMap<i32, u32>> {
        let mut numbers = BTreeMap::new();
        let mut ids: BTreeMap<i32, Vec<i32>> = BTreeMap::new();
        for (step, id) in whole.tokens.step.iter().zip(&whole.tokens.token_id) {
            ids.entry(*step).or_default().push(*id);
        }
        for step in whole.steps.iter().filter(|step| step.status != "error") {
            let of_step = ids.remove(&step.step).unwrap_or_default();
            let padding = std::iter::repeat_n(PADDING, self.about.longest.saturating_sub(of_step.len()));
            for id in of_step.iter().map(|id| i64::from(*id)).chain(padding) {
                self.tokens.write_all(&id.to_le_bytes())?;
            }
            let number = self.n_sequences;
            writeln!(self.sequences, "{number},{},{},{}", step.game, step.step, of_step.len())?;
            numbers.insert(step.step, number as u32);
            self.n_sequences += 1;
        }
        Ok(numbers)
    }

    /// The configuration that delphi reads, under the names of its earlier and its later versions.
    fn config(&self, n_splits: usize) -> String {
        let text = json!({
            "dataset_repo": "",
            "dataset_split": "",
            "dataset_name": "",
            "dataset_column": "",
            "batch_size": 1,
            "ctx_len": self.about.longest,
            "cache_ctx_len": self.about.longest,
            "n_tokens": self.n_sequences * self.about.longest as u64,
            "n_splits": n_splits,
            "model_name": self.about.model(),
        });
        format!("{text:#}\n")
    }
}

impl Layout for Delphi {
    fn take(&mut self, whole: &Whole) -> Result<(), ExchangeError> {
        let folder = self.about.folder.clone();
        let failed = |error| ExchangeError::unwritable(&folder, error);
        let numbers = self.add_sequences(whole).map_err(failed)?;
        for (layer, features) in &whole.captured.features {
            let Some(splits) = self.layers.get_mut(layer) else { continue };
            for place in places(features) {
                let Some(sequence) = numbers.get(&place.step).copied() else { continue };
                for (feature, activation) in place.features {
                    let at = (sequence, place.position as u32);
                    let split = splits.iter_mut().find(|split| split.has(feature));
                    let fits = split.map_or(Ok(false), |split| split.push(at, feature, activation));
                    if !fits.map_err(failed)? {
                        let (game, step, position) = (whole.game.game, place.step, place.position);
                        let what = format!(
                            "{activation} of feature {feature}, layer {layer}, game {game}, step {step}, position {position}: half precision ends at 65504"
                        );
                        return Err(ExchangeError::TooLarge { what });
                    }
                }
            }
        }
        Ok(())
    }

    fn end(mut self: Box<Self>) -> Result<Ended, ExchangeError> {
        let (mut features, mut n_vanished) = (0, 0);
        for (layer, splits) in std::mem::take(&mut self.layers) {
            let folder =
                self.about.folder.join(LATENTS).join(module(&self.about.dictionaries[&layer].hook, layer));
            let failed = |error| ExchangeError::unwritable(&folder, error);
            fs::create_dir_all(&folder).map_err(failed)?;
            fs::write(folder.join("config.json"), self.config(splits.len())).map_err(failed)?;
            for split in splits {
                n_vanished += split.n_vanished;
                features += split.n_values;
                split.write(&folder, &mut self.tokens, (self.n_sequences, self.about.longest))?;
            }
        }
        let path: PathBuf = self.about.folder.join("sequences.csv");
        let failed = |error| ExchangeError::unwritable(&path, error);
        let mut file = fs::File::create(&path).map_err(failed)?;
        let copied = self.sequences.reader().and_then(|mut lines| io::copy(&mut lines, &mut file));
        copied.map_err(failed)?;
        let mut notes = vec!["activations are in half precision, as delphi's are".to_owned()];
        if n_vanished > 0 {
            notes.push(format!("{n_vanished} of them are too small for it and are 0"));
        }
        Ok(Ended { features, notes })
    }
}

/// Cuts features into ranges where delphi does: at multiples of the width by `splits`, rounded down.
fn ranges(width: i32, splits: usize) -> Vec<(i32, i32)> {
    let edge = |index: usize| (i64::from(width) * index as i64 / splits as i64) as i32;
    let ranges = (0..splits).map(|index| (edge(index), edge(index + 1) - 1));
    ranges.filter(|(first, last)| first <= last).collect::<Vec<_>>()
}

/// What delphi calls a hook: the module whose output it is.
fn module(hook: &str, layer: i32) -> String {
    match hook.rsplit('.').next().unwrap_or_default() {
        "hook_mlp_out" => format!("layers.{layer}.mlp"),
        "hook_attn_out" => format!("layers.{layer}.self_attn"),
        _ => format!("layers.{layer}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_have_every_feature_once() {
        assert_eq!(
            ranges(32_768, 5),
            [(0, 6552), (6553, 13_106), (13_107, 19_659), (19_660, 26_213), (26_214, 32_767)]
        );
        for (width, splits) in [(1, 5), (7, 3), (49_152, 5), (4, 4)] {
            let all: Vec<i32> =
                ranges(width, splits).into_iter().flat_map(|(first, last)| first..=last).collect();
            assert_eq!(all, (0..width).collect::<Vec<_>>());
        }
    }

    #[test]
    fn hooks_are_named_as_modules() {
        assert_eq!(module("blocks.8.hook_resid_post", 8), "layers.8");
        assert_eq!(module("blocks.8.hook_mlp_out", 8), "layers.8.mlp");
    }
}
