//! Exact patches: other rows of the residual stream after one block, and the model run on from there.

use burn::tensor::Tensor;

use super::error::InterveneError;
use super::kept::Base;
use crate::capture::groups;
use crate::model::{Hook, Past, Stretch, ranges};

/// Other rows of the residual stream after one block.
#[derive(Clone, Debug)]
pub struct Patch {
    /// The block.
    pub layer: usize,
    /// The positions, ascending; there is one at least.
    pub positions: Vec<usize>,
    /// Their rows: `[positions, d_model]`.
    pub rows: Tensor<2>,
}

impl Patch {
    /// The base's own rows with `delta: [positions, d_model]`, in residual units, added to them.
    ///
    /// # Errors
    /// If the block or a position does not exist, or the shape does not fit.
    pub fn adding(
        base: &Base<'_>,
        layer: usize,
        positions: Vec<usize>,
        delta: Tensor<2>,
    ) -> Result<Self, InterveneError> {
        positions.iter().try_for_each(|position| base.check_position(*position))?;
        let rows = Base::rows(base.residual(layer)?, &positions);
        if rows.dims() != delta.dims() {
            let (found, expected) = (delta.dims(), rows.dims());
            return Err(InterveneError::WrongShape { hook: Hook::resid_post(layer), found, expected });
        }
        Ok(Self { layer, positions, rows: rows + delta })
    }

    fn first(&self) -> usize {
        self.positions.first().copied().unwrap_or(0)
    }
}

impl Base<'_> {
    /// The metric under each patch, in their order. Patches of one block run side by side, `budget` rows at most in a
    /// pass. The blocks up to a patch and the positions before it are not run again, and a patch that changes no number
    /// is not run at all: its metric is the base's.
    ///
    /// # Errors
    /// If a block or a position does not exist, a shape does not fit, or the device fails.
    pub fn patched(&self, patches: &[Patch], budget: usize) -> Result<Vec<f64>, InterveneError> {
        patches.iter().try_for_each(|patch| self.check(patch))?;
        let mut values = vec![self.value; patches.len()];
        let mut order: Vec<usize> = (0..patches.len()).collect();
        order.sort_by_key(|index| (patches[*index].layer, patches[*index].first()));
        for of_layer in order.chunk_by(|a, b| patches[*a].layer == patches[*b].layer) {
            let changing = self.changing(patches, of_layer)?;
            let length = |index: &usize| self.n_tokens() - patches[*index].first();
            for group in groups(&changing, length, budget) {
                let found = self.run_on(&group.iter().map(|index| &patches[*index]).collect::<Vec<_>>())?;
                for (index, value) in group.iter().zip(found) {
                    values[*index] = value;
                }
            }
        }
        Ok(values)
    }

    fn check(&self, patch: &Patch) -> Result<(), InterveneError> {
        let residual = self.residual(patch.layer)?;
        // The metric looks at the rows from the end of the prompt on, so a patch begins in the prompt.
        self.check_position(patch.first())?;
        if let Some(position) = patch.positions.iter().find(|position| **position >= self.n_tokens()) {
            return Err(InterveneError::NoSuchPosition { position: *position, tokens: self.n_tokens() });
        }
        let (found, expected) = (patch.rows.dims(), [patch.positions.len(), residual.dims()[1]]);
        if found == expected && !patch.positions.is_empty() {
            return Ok(());
        }
        Err(InterveneError::WrongShape { hook: Hook::resid_post(patch.layer), found, expected })
    }

    /// Those of the patches, all of one block, that change a number.
    fn changing(&self, patches: &[Patch], of_layer: &[usize]) -> Result<Vec<usize>, InterveneError> {
        let Some(first) = of_layer.first() else { return Ok(Vec::new()) };
        let residual = self.residual(patches[*first].layer)?;
        let of_all = || of_layer.iter().map(|index| &patches[*index]);
        let positions = of_all().flat_map(|patch| patch.positions.iter().copied()).collect::<Vec<_>>();
        let rows = Tensor::cat(of_all().map(|patch| patch.rows.clone()).collect(), 0);
        let apart = (rows - Self::rows(residual, &positions)).abs().max_dim(1).try_into_data_as::<f32>()?;
        let apart: Vec<f32> = apart.iter::<f32>().collect();
        let lengths: Vec<usize> = of_all().map(|patch| patch.positions.len()).collect();
        // What is not a number is run too, so that it is seen.
        let changes = ranges(&lengths).map(|range| !apart[range].iter().all(|apart| *apart == 0.0));
        Ok(of_layer.iter().zip(changes).filter(|(_, changes)| *changes).map(|(index, _)| *index).collect())
    }

    /// The metric under patches of one block, in one pass.
    fn run_on(&self, patches: &[&Patch]) -> Result<Vec<f64>, InterveneError> {
        let layer = patches[0].layer;
        let residual = self.residual(layer)?;
        let (tokens, width) = (self.n_tokens(), residual.dims()[1]);
        let rows = patches.iter().map(|patch| {
            let first = patch.first();
            let rows = residual.clone().slice([first..tokens, 0..width]);
            patch.positions.iter().enumerate().fold(rows, |rows, (index, position)| {
                let row = position - first;
                let new = patch.rows.clone().slice([index..index + 1, 0..width]);
                rows.slice_assign([row..row + 1, 0..width], new)
            })
        });
        let rows = Tensor::cat(rows.collect(), 0);
        let lengths: Vec<usize> = patches.iter().map(|patch| tokens - patch.first()).collect();
        let pasts: Vec<Past<'_>> = patches.iter().map(|patch| self.past(patch.first())).collect();
        let blocks = layer + 1..self.llama.config().n_layers;
        let stretch = Stretch { blocks, residual: rows, lengths: &lengths, pasts: &pasts };
        let last = self.llama.resume(stretch, &mut ());
        // The metric looks at the last rows of the run, and no patch begins after the first of them.
        let ends = ranges(&lengths).flat_map(|range| range.end - self.metric.rows()..range.end);
        self.metric.values(self.llama, Self::rows(&last, &ends.collect::<Vec<_>>()))
    }
}
