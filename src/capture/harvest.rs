//! Residuals of many prompts, for training dictionaries.

use std::collections::{BTreeMap, HashSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use burn::tensor::{Int, Tensor, TensorData};

use super::CaptureError;
use super::prepare::Prepared;
use super::readback::Readback;
use super::token_budget::groups;
use crate::model::{Hook, Llama, Packed, Tap};

/// Residuals by block, one row a token, in the host's memory, where training shuffles them.
#[derive(Default)]
pub struct Harvest {
    rows: BTreeMap<usize, Vec<f32>>,
    /// How many rows each block has.
    pub n_rows: usize,
}

impl Harvest {
    /// The rows of block `layer`, row-major, in the order in which they were read; none if it was not read.
    pub fn take(&mut self, layer: usize) -> Vec<f32> {
        self.rows.remove(&layer).unwrap_or_default()
    }
}

/// The prefixes that have been read, by their hashes.
#[derive(Default)]
pub struct Seen(HashSet<u64>);

/// Adds the residuals of `steps` after each of `layers` to `harvest`.
///
/// Special tokens and position 0 are left out, and so is a token whose whole prefix has been read before,
/// because a causal model gives it the same residual again: prompts of one game share most of theirs.
/// `seen` carries the prefixes from call to call, so that held-out rows can be kept apart from others.
///
/// # Errors
/// If the device fails.
pub fn harvest(
    llama: &Llama,
    layers: &[usize],
    steps: &[Prepared],
    batch_tokens: usize,
    seen: &mut Seen,
    harvest: &mut Harvest,
) -> Result<(), CaptureError> {
    for group in groups(steps, |step| step.tokens().len(), batch_tokens) {
        let ids: Vec<Vec<u32>> = group.iter().map(Prepared::ids).collect();
        let packed = Packed::new(ids.iter().map(Vec::as_slice));
        let mut rows = Vec::new();
        for (step, range) in group.iter().zip(packed.ranges()) {
            rows.extend(new_positions(step, seen).map(|position| (range.start + position) as i64));
        }
        if rows.is_empty() {
            continue;
        }
        harvest.n_rows += rows.len();
        let rows = Tensor::<1, Int>::from_data(TensorData::from(rows.as_slice()), llama.device());
        let mut gather = Gather { layers, rows, found: Vec::new() };
        let _ = llama.forward(&packed, &mut gather);
        let mut readback = Readback::default();
        let layers: Vec<usize> = gather.found.iter().map(|(layer, _)| *layer).collect();
        for (_, rows) in gather.found {
            readback.floats(rows);
        }
        let mut received = readback.read()?;
        for layer in layers {
            harvest.rows.entry(layer).or_default().extend(received.floats()?);
        }
    }
    Ok(())
}

/// The plain tokens of `step` whose prefix has not been read before.
fn new_positions<'a>(step: &'a Prepared, seen: &'a mut Seen) -> impl Iterator<Item = usize> + 'a {
    let mut prefix = DefaultHasher::new();
    step.tokens().iter().enumerate().filter_map(move |(position, token)| {
        token.id.hash(&mut prefix);
        let new = seen.0.insert(prefix.finish());
        (new && position > 0 && !token.is_special).then_some(position)
    })
}

/// The tap that keeps rows of the residual.
struct Gather<'a> {
    layers: &'a [usize],
    rows: Tensor<1, Int>,
    found: Vec<(usize, Tensor<2>)>,
}

impl Tap for Gather<'_> {
    fn activation(&mut self, hook: Hook, x: Tensor<2>) -> Tensor<2> {
        if hook == Hook::resid_post(hook.layer) && self.layers.contains(&hook.layer) {
            self.found.push((hook.layer, x.clone().select(0, self.rows.clone())));
        }
        x
    }
}
