//! A grid of exact patches: values of one run put into another, hook by hook and place by place.

use burn::tensor::{Tensor, TensorData};

use super::edit::{Change, Edit, FeatureChange, FeatureEdit, Positions, heads};
use super::error::InterveneError;
use super::kept::Base;
use crate::dictionary::Dictionary;
use crate::model::{Hook, Site};

/// Positions that are patched together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unit {
    /// The span that they are, if they are one.
    pub span: Option<String>,
    /// The positions, ascending; there is one at least.
    pub positions: Vec<usize>,
    /// The positions of the other run that belong with them.
    pub partners: Vec<usize>,
}

/// What of an activation is patched at a time.
#[derive(Clone, Copy, Debug)]
pub enum Split<'a> {
    /// All of it.
    Whole,
    /// One head after the other.
    Heads,
    /// These features, one after the other, by the dictionaries that read the hooks.
    Features(&'a [Dictionary], &'a [(usize, u32)]),
}

/// Which patches are made.
#[derive(Clone, Debug)]
pub struct Grid<'a> {
    /// The places in the model.
    pub hooks: Vec<Hook>,
    /// The places in the prompt.
    pub units: Vec<Unit>,
    /// What of an activation is patched at a time.
    pub split: Split<'a>,
}

/// A patch of the grid, and the metric under it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cell {
    /// The place in the model.
    pub hook: Hook,
    /// Index of the unit.
    pub unit: usize,
    /// The head, if one was patched alone.
    pub head: Option<usize>,
    /// The feature, if one was patched alone.
    pub feature: Option<u32>,
    /// The metric under the patch.
    pub value: f64,
}

impl Grid<'_> {
    /// Patches every place of `into` with what `from` has there, each alone, and says after each hook how many patches
    /// were made. Passes have `budget` rows at most.
    ///
    /// With T tokens, n blocks and the patches of every layer and position, the rows that run through a block are
    /// `Σ_L Σ_p (T − p) · (n − 1 − L)`, about a quarter of those of as many whole passes; where the two runs first differ
    /// at position d, those before it are left out too, which leaves about `(1 − d/T)² / 4`.
    ///
    /// # Errors
    /// If something was not kept of `from`, a head or feature does not exist, or the device fails.
    pub fn run(
        &self,
        into: &Base<'_>,
        from: &Base<'_>,
        budget: usize,
        mut progress: impl FnMut(usize),
    ) -> Result<Vec<Cell>, InterveneError> {
        let mut cells = Vec::new();
        for hook in &self.hooks {
            let (mut found, edits) = self.of_hook(*hook, into, from)?;
            for (cell, value) in found.iter_mut().zip(into.edited(&edits, budget)?) {
                cell.value = value;
            }
            progress(found.len());
            cells.append(&mut found);
        }
        Ok(cells)
    }

    /// The patches of one hook.
    fn of_hook(
        &self,
        hook: Hook,
        into: &Base<'_>,
        from: &Base<'_>,
    ) -> Result<(Vec<Cell>, Vec<Edit<'_>>), InterveneError> {
        let (mut cells, mut edits) = (Vec::new(), Vec::new());
        for (index, unit) in self.units.iter().enumerate() {
            let mut add = |head, feature, change| {
                cells.push(Cell { hook, unit: index, head, feature, value: 0.0 });
                let positions = Positions::At(unit.positions.clone());
                let heads = head.map(|head| vec![head]);
                edits.push(Edit { hook, sequence: None, positions, heads, change });
            };
            match self.split {
                Split::Whole => add(None, None, Change::Replace(taken(hook, into, from, unit, None)?)),
                Split::Heads => {
                    let count = heads(hook.site, into.llama.config());
                    for head in 0..count.ok_or(InterveneError::NoHeads { hook })? {
                        add(Some(head), None, Change::Replace(taken(hook, into, from, unit, Some(head))?));
                    }
                }
                Split::Features(dictionaries, wanted) => {
                    let found = dictionaries.iter().find(|dictionary| dictionary.hook == hook);
                    let dictionary = found.ok_or(InterveneError::NoDictionary { hook })?;
                    let features = wanted.iter().filter(|(layer, _)| *layer == hook.layer);
                    let features: Vec<u32> = features.map(|(_, feature)| *feature).collect();
                    let rows = Base::rows(from.activation(hook)?, &unit.partners);
                    let values = dictionary.activations(rows, &features)?.transpose();
                    let values = values.try_into_data_as::<f32>()?;
                    let values: Vec<f32> = values.iter::<f32>().collect();
                    for (feature, values) in features.iter().zip(values.chunks(unit.partners.len())) {
                        let change = FeatureChange::Replace(values.to_vec());
                        let features = vec![FeatureEdit { feature: *feature, change }];
                        add(None, Some(*feature), Change::Features { dictionary, features });
                    }
                }
            }
        }
        Ok((cells, edits))
    }
}

/// What `from` has at the partners of a unit, as [`Change::Replace`] takes it.
fn taken(
    hook: Hook,
    into: &Base<'_>,
    from: &Base<'_>,
    unit: &Unit,
    head: Option<usize>,
) -> Result<Tensor<2>, InterveneError> {
    if hook.site == Site::Pattern {
        return taken_pattern(hook, into, from, unit, head);
    }
    let rows = Base::rows(from.activation(hook)?, &unit.partners);
    let ([count, _], width) = (rows.dims(), into.llama.config().head_dim);
    Ok(match head {
        Some(head) => rows.slice([0..count, head * width..(head + 1) * width]),
        None => rows,
    })
}

/// Rows of a pattern, cut after the last position of the unit, up to which the patched block runs.
fn taken_pattern(
    hook: Hook,
    into: &Base<'_>,
    from: &Base<'_>,
    unit: &Unit,
    head: Option<usize>,
) -> Result<Tensor<2>, InterveneError> {
    let (clean, corrupted) = (into.n_tokens(), from.n_tokens());
    if clean != corrupted || unit.positions != unit.partners {
        return Err(InterveneError::PatternLengths { clean, corrupted });
    }
    let pattern = from.pattern(hook.layer)?;
    let [all, ..] = pattern.dims();
    let keys = unit.positions.last().map_or(0, |last| last + 1);
    let heads = head.map_or(0..all, |head| head..head + 1);
    let index: Vec<i64> = unit.positions.iter().map(|position| *position as i64).collect();
    let index = Tensor::from_data(TensorData::from(index.as_slice()), &pattern.device());
    let rows = pattern.clone().slice([heads.clone(), 0..clean, 0..keys]).select(1, index);
    Ok(rows.reshape([heads.len() * unit.positions.len(), keys]))
}
