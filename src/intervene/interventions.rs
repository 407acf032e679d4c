//! The tap that makes changes.

use std::ops::Range;

use burn::tensor::{DType, Tensor, TensorData};

use super::edit::{Change, Edit, FeatureChange, FeatureEdit, Positions};
use super::error::InterveneError;
use crate::dictionary::Dictionary;
use crate::model::{Config, Hook, Site, Tap};

/// Changes that are made in every pass that this is the tap of, in the order in which they are given.
pub struct Interventions<'a> {
    edits: Vec<Edit<'a>>,
    /// Width of a head.
    head_dim: usize,
    /// How many tokens each sequence of the pass has behind it.
    pasts: Vec<usize>,
    /// How many it runs.
    lengths: Vec<usize>,
    failed: Option<InterveneError>,
}

/// Consecutive rows of a pass that an edit changes.
struct Run {
    /// Packed rows.
    rows: Range<usize>,
    /// Which of the edit's positions they are, counted from 0.
    places: Range<usize>,
}

impl<'a> Interventions<'a> {
    /// Changes for a model of this shape.
    ///
    /// # Errors
    /// If one of them cannot be made: the place, a head or a feature does not exist, or a shape does not fit.
    pub fn new(edits: Vec<Edit<'a>>, config: &Config) -> Result<Self, InterveneError> {
        edits.iter().try_for_each(|edit| edit.check(config))?;
        let head_dim = config.head_dim;
        Ok(Self { edits, head_dim, pasts: Vec::new(), lengths: Vec::new(), failed: None })
    }

    /// Whether all changes could be made; a pass cannot be left half-way, so this is asked after it.
    ///
    /// # Errors
    /// The first thing that went wrong.
    pub fn finish(self) -> Result<(), InterveneError> {
        self.failed.map_or(Ok(()), Err)
    }

    /// The rows of the pass that `edit` changes.
    fn runs(&self, edit: &Edit<'_>) -> Vec<Run> {
        let mut runs = Vec::new();
        let mut start = 0;
        for (sequence, (past, length)) in self.pasts.iter().zip(&self.lengths).enumerate() {
            if edit.sequence.is_none_or(|only| only == sequence) {
                runs.extend(of_sequence(&edit.positions, *past, *length).into_iter().map(|mut run| {
                    run.rows = start + run.rows.start..start + run.rows.end;
                    run
                }));
            }
            start += length;
        }
        runs
    }

    /// The rows after one edit.
    fn changed(&self, edit: &Edit<'_>, mut x: Tensor<2>) -> Result<Tensor<2>, InterveneError> {
        let [_, width] = x.dims();
        for Run { rows, places } in self.runs(edit) {
            for (index, columns) in self.columns(edit, width).into_iter().enumerate() {
                let cut = [rows.clone(), columns.clone()];
                let old = x.clone().slice(cut.clone());
                let own = index * columns.len()..(index + 1) * columns.len();
                let new = changed_rows(&edit.change, old, places.clone(), own)?;
                x = x.slice_assign(cut, new);
            }
        }
        Ok(x)
    }

    /// The columns of each head that an edit names, or all of them at once.
    fn columns(&self, edit: &Edit<'_>, width: usize) -> Vec<Range<usize>> {
        match &edit.heads {
            None => std::iter::once(0..width).collect(),
            Some(heads) => {
                heads.iter().map(|head| head * self.head_dim..(head + 1) * self.head_dim).collect()
            }
        }
    }

    /// The pattern of a sequence after one edit.
    fn changed_pattern(&self, edit: &Edit<'_>, sequence: usize, mut pattern: Tensor<3>) -> Tensor<3> {
        let [heads, _, keys] = pattern.dims();
        let named = edit.heads.clone().unwrap_or_else(|| (0..heads).collect());
        let count = match &edit.positions {
            Positions::At(positions) => positions.len(),
            Positions::Prompt | Positions::Every => 0,
        };
        for Run { rows, places } in of_sequence(&edit.positions, self.pasts[sequence], self.lengths[sequence])
        {
            for (index, head) in named.iter().enumerate() {
                let cut = [*head..head + 1, rows.clone(), 0..keys];
                let new = match &edit.change {
                    Change::Scale(factor) => pattern.clone().slice(cut.clone()) * *factor,
                    Change::Replace(given) => {
                        let first = index * count;
                        let rows = first + places.start..first + places.end;
                        given.clone().slice([rows, 0..keys]).unsqueeze_dim(0)
                    }
                    // Refused when it was made.
                    Change::Set(_) | Change::Add(_) | Change::Features { .. } => continue,
                };
                pattern = pattern.slice_assign(cut, new);
            }
        }
        pattern
    }
}

impl Tap for Interventions<'_> {
    fn begin(&mut self, pasts: &[usize], lengths: &[usize]) {
        pasts.clone_into(&mut self.pasts);
        lengths.clone_into(&mut self.lengths);
    }

    fn activation(&mut self, hook: Hook, x: Tensor<2>) -> Tensor<2> {
        let mut x = x;
        for edit in self.edits.iter().filter(|edit| edit.hook == hook) {
            match self.changed(edit, x.clone()) {
                Ok(changed) => x = changed,
                Err(error) => {
                    self.failed.get_or_insert(error);
                    return x;
                }
            }
        }
        x
    }

    fn wants_pattern(&self, layer: usize) -> bool {
        self.edits.iter().any(|edit| edit.hook == Hook { layer, site: Site::Pattern })
    }

    fn pattern(&mut self, layer: usize, sequence: usize, pattern: Tensor<3>) -> Tensor<3> {
        let hook = Hook { layer, site: Site::Pattern };
        let mut pattern = pattern;
        let edits = self.edits.iter().filter(|edit| edit.hook == hook);
        for edit in edits.filter(|edit| edit.sequence.is_none_or(|only| only == sequence)) {
            let [.., keys] = pattern.dims();
            if let Change::Replace(given) = &edit.change
                && given.dims()[1] != keys
            {
                let ([rows, found], expected) = (given.dims(), keys);
                let (found, expected) = ([rows, found], [rows, expected]);
                self.failed.get_or_insert(InterveneError::WrongShape { hook, found, expected });
                return pattern;
            }
            pattern = self.changed_pattern(edit, sequence, pattern);
        }
        pattern
    }
}

/// The rows of one sequence, counted from its first of the pass, that lie at `positions`.
fn of_sequence(positions: &Positions, past: usize, length: usize) -> Vec<Run> {
    let all_but_position_0 = || {
        let first = usize::from(past == 0).min(length);
        std::iter::once(Run { rows: first..length, places: 0..length - first }).collect::<Vec<_>>()
    };
    match positions {
        Positions::Every => all_but_position_0(),
        Positions::Prompt if past == 0 => all_but_position_0(),
        Positions::Prompt => Vec::new(),
        Positions::At(positions) => {
            let mut runs: Vec<Run> = Vec::new();
            let inside = |position: &usize| (past..past + length).contains(position);
            for (place, position) in positions.iter().enumerate().filter(|(_, position)| inside(position)) {
                let row = position - past;
                match runs.last_mut().filter(|run| run.rows.end == row && run.places.end == place) {
                    Some(run) => (run.rows.end, run.places.end) = (row + 1, place + 1),
                    None => runs.push(Run { rows: row..row + 1, places: place..place + 1 }),
                }
            }
            runs
        }
    }
}

/// Rows after a change: `[rows, width]`, of which `places` says which of the edit's positions they are, and `own` which
/// columns of what is given are theirs.
fn changed_rows(
    change: &Change<'_>,
    rows: Tensor<2>,
    places: Range<usize>,
    own: Range<usize>,
) -> Result<Tensor<2>, InterveneError> {
    let dims = rows.dims();
    let dtype = rows.dtype();
    Ok(match change {
        Change::Replace(given) => given.clone().slice([places, own]).cast(dtype),
        Change::Set(row) => row.clone().slice([own]).unsqueeze::<2>().expand(dims).cast(dtype),
        Change::Add(row) => rows + row.clone().slice([own]).unsqueeze::<2>().cast(dtype),
        Change::Scale(factor) => rows * *factor,
        Change::Features { dictionary, features } => {
            let added = moved(dictionary, features, &rows, places)?;
            (rows.cast(DType::F32) + added).cast(dtype)
        }
    })
}

/// What other activations of some features add to rows.
fn moved(
    dictionary: &Dictionary,
    edits: &[FeatureEdit],
    rows: &Tensor<2>,
    places: Range<usize>,
) -> Result<Tensor<2>, InterveneError> {
    let features: Vec<u32> = edits.iter().map(|edit| edit.feature).collect();
    let old = dictionary.activations(rows.clone(), &features)?;
    let [n, _] = old.dims();
    let device = old.device();
    let changes = edits.iter().enumerate().map(|(index, edit)| {
        let old = old.clone().slice([0..n, index..index + 1]);
        match &edit.change {
            FeatureChange::Scale(factor) => old * (*factor - 1.0),
            FeatureChange::Set(value) => old.neg().add_scalar(*value),
            FeatureChange::Add(value) => old.zeros_like().add_scalar(*value),
            FeatureChange::Replace(values) => {
                let values = TensorData::new(values[places.clone()].to_vec(), [n, 1]);
                Tensor::from_data(values, (&device, DType::F32)) - old
            }
        }
    });
    let changes = Tensor::cat(changes.collect::<Vec<_>>(), 1);
    Ok(dictionary.written(changes, &features, rows)?)
}
