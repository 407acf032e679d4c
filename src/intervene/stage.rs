//! From a change anywhere in a block to other rows after that block.

use burn::tensor::Tensor;

use super::edit::{Edit, Positions};
use super::error::InterveneError;
use super::interventions::Interventions;
use super::kept::Base;
use super::patch::Patch;
use crate::capture::groups;
use crate::model::{Past, Site, Stretch, Tap as _, ranges};

impl Base<'_> {
    /// The metric under each edit alone, in their order; see [`Base::patched`].
    ///
    /// An edit inside a block changes the rows after the block at its own positions alone, but for an edit of the
    /// values, which every later query may read. So one pass through one block turns edits into patches.
    ///
    /// # Errors
    /// As [`Base::patched`] and [`Interventions::new`]; if an edit does not name its positions.
    pub fn edited(&self, edits: &[Edit<'_>], budget: usize) -> Result<Vec<f64>, InterveneError> {
        self.patched(&self.patches(edits, budget)?, budget)
    }

    /// The patch that each edit amounts to, in their order.
    fn patches(&self, edits: &[Edit<'_>], budget: usize) -> Result<Vec<Patch>, InterveneError> {
        let mut order: Vec<usize> = (0..edits.len()).collect();
        order.sort_by_key(|index| edits[*index].hook);
        let rows = edits.iter().map(|edit| self.touched(edit)).collect::<Result<Vec<_>, _>>()?;
        let mut patches: Vec<Option<Patch>> = vec![None; edits.len()];
        for of_hook in order.chunk_by(|a, b| edits[*a].hook == edits[*b].hook) {
            for group in groups(of_hook, |index| rows[*index].len(), budget) {
                let own: Vec<(&Edit<'_>, std::ops::Range<usize>)> =
                    group.iter().map(|index| (&edits[*index], rows[*index].clone())).collect();
                for (index, patch) in group.iter().zip(self.stage(&own)?) {
                    patches[*index] = Some(patch);
                }
            }
        }
        Ok(patches.into_iter().flatten().collect())
    }

    /// The positions whose rows after the block an edit may change.
    fn touched(&self, edit: &Edit<'_>) -> Result<std::ops::Range<usize>, InterveneError> {
        let Positions::At(positions) = &edit.positions else {
            return Err(InterveneError::NoPositions { hook: edit.hook });
        };
        let (Some(first), Some(last)) = (positions.first(), positions.last()) else {
            return Err(InterveneError::NoPositions { hook: edit.hook });
        };
        self.check_position(*last)?;
        let end = if edit.hook.site == Site::Value { self.n_tokens() } else { last + 1 };
        Ok(*first..end)
    }

    /// The patches that edits of one hook amount to.
    fn stage(&self, edits: &[(&Edit<'_>, std::ops::Range<usize>)]) -> Result<Vec<Patch>, InterveneError> {
        let Some((first, _)) = edits.first() else { return Ok(Vec::new()) };
        let (hook, config) = (first.hook, self.llama.config());
        let own = edits
            .iter()
            .enumerate()
            .map(|(sequence, (edit, _))| Edit { sequence: Some(sequence), ..(*edit).clone() });
        let mut tap = Interventions::new(own.collect(), config)?;
        let pasts: Vec<usize> = edits.iter().map(|(_, range)| range.start).collect();
        let lengths: Vec<usize> = edits.iter().map(|(_, range)| range.len()).collect();
        let rows = |x: &Tensor<2>| {
            let rows = edits.iter().map(|(_, range)| x.clone().slice([range.clone(), 0..config.d_model]));
            Tensor::cat(rows.collect(), 0)
        };
        let after = if hook.site == Site::ResidPost {
            tap.begin(&pasts, &lengths);
            tap.activation(hook, rows(self.residual(hook.layer)?))
        } else {
            let residual = rows(self.entering(hook.layer)?);
            let pasts: Vec<Past<'_>> = pasts.iter().map(|tokens| self.past(*tokens)).collect();
            let blocks = hook.layer..hook.layer + 1;
            self.llama.resume(Stretch { blocks, residual, lengths: &lengths, pasts: &pasts }, &mut tap)
        };
        tap.finish()?;
        let patches = edits.iter().zip(ranges(&lengths)).map(|((_, positions), range)| Patch {
            layer: hook.layer,
            positions: positions.clone().collect(),
            rows: after.clone().slice([range, 0..config.d_model]),
        });
        Ok(patches.collect())
    }
}
