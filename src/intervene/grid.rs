//! A grid of exact patches: values of one run, or none, or means, put into another run, hook by hook and place by place.

use burn::tensor::{Tensor, TensorData};

use super::edit::{Change, Edit, FeatureChange, FeatureEdit, Positions, heads};
use super::error::InterveneError;
use super::kept::Base;
use super::means::Means;
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

/// What is put into the run that is patched.
#[derive(Clone, Copy)]
pub enum Source<'a> {
    /// What another run has there.
    Run(&'a Base<'a>),
    /// Nothing: the numbers become 0.
    Zero,
    /// Means over prompts.
    Means(&'a Means),
}

impl<'a> From<&'a Base<'a>> for Source<'a> {
    fn from(run: &'a Base<'a>) -> Self {
        Self::Run(run)
    }
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
    /// Patches every place of `into` with what `source` has for it, each alone, and says after each hook how many patches
    /// were made. Passes have `budget` rows at most.
    ///
    /// With T tokens, n blocks and the patches of every layer and position, the rows that run through a block are
    /// `Σ_L Σ_p (T − p) · (n − 1 − L)`, about a quarter of those of as many whole passes; where the two runs first differ
    /// at position d, those before it are left out too, which leaves about `(1 − d/T)² / 4`.
    ///
    /// # Errors
    /// If something was not kept of the source, a head or feature does not exist, or the device fails.
    pub fn run<'s>(
        &self,
        into: &Base<'_>,
        source: impl Into<Source<'s>>,
        budget: usize,
        mut progress: impl FnMut(usize),
    ) -> Result<Vec<Cell>, InterveneError> {
        let source = source.into();
        let mut cells = Vec::new();
        for hook in &self.hooks {
            let (mut found, edits) = self.of_hook(*hook, into, source)?;
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
        source: Source<'_>,
    ) -> Result<(Vec<Cell>, Vec<Edit<'_>>), InterveneError> {
        let (mut cells, mut edits) = (Vec::new(), Vec::new());
        for (index, unit) in self.units.iter().enumerate() {
            for (head, feature, change) in self.of_unit(hook, into, source, unit)? {
                cells.push(Cell { hook, unit: index, head, feature, value: 0.0 });
                let positions = Positions::At(unit.positions.clone());
                let heads = head.map(|head| vec![head]);
                edits.push(Edit { hook, sequence: None, positions, heads, change });
            }
        }
        Ok((cells, edits))
    }

    /// What is done at one hook and unit: all of it at once, or head by head, or feature by feature.
    fn of_unit(
        &self,
        hook: Hook,
        into: &Base<'_>,
        source: Source<'_>,
        unit: &Unit,
    ) -> Result<Vec<Part<'_>>, InterveneError> {
        match self.split {
            Split::Whole => Ok(vec![(None, None, taken(hook, into, source, unit, None)?)]),
            Split::Heads => {
                let count = heads(hook.site, into.llama.config()).ok_or(InterveneError::NoHeads { hook })?;
                let head = |head| Ok((Some(head), None, taken(hook, into, source, unit, Some(head))?));
                (0..count).map(head).collect()
            }
            Split::Features(dictionaries, wanted) => {
                let found = dictionaries.iter().find(|dictionary| dictionary.hook == hook);
                let dictionary = found.ok_or(InterveneError::NoDictionary { hook })?;
                let wanted = wanted.iter().filter(|(layer, _)| *layer == hook.layer);
                let wanted: Vec<u32> = wanted.map(|(_, feature)| *feature).collect();
                let changes = activations(dictionary, &wanted, source, unit)?;
                let edit = |(feature, change): (u32, FeatureChange)| {
                    let features = vec![FeatureEdit { feature, change }];
                    (None, Some(feature), Change::Features { dictionary, features })
                };
                Ok(wanted.into_iter().zip(changes).map(edit).collect())
            }
        }
    }
}

/// A head or a feature, if one is changed alone, and the change.
type Part<'a> = (Option<usize>, Option<u32>, Change<'a>);

/// What becomes of each of some features.
fn activations(
    dictionary: &Dictionary,
    features: &[u32],
    source: Source<'_>,
    unit: &Unit,
) -> Result<Vec<FeatureChange>, InterveneError> {
    let hook = dictionary.hook;
    match source {
        Source::Zero => Ok(features.iter().map(|_| FeatureChange::Scale(0.0)).collect()),
        Source::Means(means) => {
            let mean = |feature: &u32| means.features.get(&(hook.layer, *feature));
            let changes = features.iter().map(|feature| mean(feature).map(|mean| FeatureChange::Set(*mean)));
            changes.collect::<Option<_>>().ok_or(InterveneError::NotKept { hook })
        }
        Source::Run(from) => {
            let rows = Base::rows(from.activation(hook)?, &unit.partners);
            let values = dictionary.activations(rows, features)?.transpose().try_into_data_as::<f32>()?;
            let values: Vec<f32> = values.iter::<f32>().collect();
            let changes = values.chunks(unit.partners.len());
            Ok(changes.map(|values| FeatureChange::Replace(values.to_vec())).collect())
        }
    }
}

/// The change of all of an activation, or of one head.
fn taken<'a>(
    hook: Hook,
    into: &Base<'_>,
    source: Source<'_>,
    unit: &Unit,
    head: Option<usize>,
) -> Result<Change<'a>, InterveneError> {
    let width = into.llama.config().head_dim;
    match source {
        Source::Zero => Ok(Change::Scale(0.0)),
        Source::Means(means) => {
            let mean = means.activations.get(&hook).ok_or(InterveneError::NotKept { hook })?.clone();
            Ok(Change::Set(match head {
                Some(head) => mean.slice(head * width..(head + 1) * width),
                None => mean,
            }))
        }
        Source::Run(from) if hook.site == Site::Pattern => {
            taken_pattern(hook, into, from, unit, head).map(Change::Replace)
        }
        Source::Run(from) => {
            let rows = Base::rows(from.activation(hook)?, &unit.partners);
            let [count, _] = rows.dims();
            Ok(Change::Replace(match head {
                Some(head) => rows.slice([0..count, head * width..(head + 1) * width]),
                None => rows,
            }))
        }
    }
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
