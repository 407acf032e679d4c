//! Attribution of a change to whole positions and to heads.

use burn::tensor::{DType, Int, Tensor, TensorData};

use super::gradients::Wanted;
use super::node::{Node, Part};
use crate::intervene::error::InterveneError;
use crate::intervene::kept::Base;
use crate::intervene::on_host::{numbers, products};
use crate::model::{Freeze, Hook, Site};

impl Base<'_> {
    /// Attribution patching of the residual after each of `layers` at each position, with the values of another run:
    /// for each node `Δx · g`. Positions without a partner stay as they are.
    ///
    /// # Errors
    /// If the model has no such block, or the device fails.
    pub fn attributed_positions(
        &self,
        from: &Base<'_>,
        partners: &[Option<usize>],
        layers: &[usize],
        freeze: Freeze,
    ) -> Result<Vec<(Node, f64)>, InterveneError> {
        let gradients = self.gradients(Wanted { after: layers, freeze, ..Wanted::default() })?;
        let mut found = Vec::new();
        for (layer, gradient) in &gradients.after {
            let change = change(self.residual(*layer)?, from.residual(*layer)?, partners);
            let products = products(&change, gradient)?.into_iter().enumerate();
            found.extend(
                products.map(|(position, estimate)| {
                    (Node { layer: *layer, position, part: Part::Whole }, estimate)
                }),
            );
        }
        Ok(found)
    }

    /// Attribution patching of each head of `layers` at each position: of what it makes of the values, `attn.hook_z`,
    /// which both runs must have kept.
    ///
    /// # Errors
    /// If the model has no such block, the activations were not kept, or the device fails.
    pub fn attributed_heads(
        &self,
        from: &Base<'_>,
        partners: &[Option<usize>],
        layers: &[usize],
        freeze: Freeze,
    ) -> Result<Vec<(Node, f64)>, InterveneError> {
        let gradients = self.gradients(Wanted { heads: layers, freeze, ..Wanted::default() })?;
        let (heads, width) = (self.llama.config().n_heads, self.llama.config().head_dim);
        let mut found = Vec::new();
        for (layer, gradient) in &gradients.heads {
            let hook = Hook { layer: *layer, site: Site::Z };
            let change = numbers(change(self.activation(hook)?, from.activation(hook)?, partners))?;
            let gradient = numbers(gradient.clone())?;
            let cells = change.chunks(width).zip(gradient.chunks(width)).enumerate();
            found.extend(cells.map(|(cell, (change, gradient))| {
                let products = change.iter().zip(gradient).map(|(a, b)| f64::from(*a) * f64::from(*b));
                let node = Node { layer: *layer, position: cell / heads, part: Part::Head(cell % heads) };
                (node, products.sum())
            }));
        }
        Ok(found)
    }
}

/// The rows of `from` that belong with those of `own`, or these where none does, f32.
pub(super) fn partnered(own: &Tensor<2>, from: &Tensor<2>, partners: &[Option<usize>]) -> Tensor<2> {
    let [tokens, _] = own.dims();
    let (own, from) = (own.clone().cast(DType::F32), from.clone().cast(DType::F32));
    let others = from.dims()[0];
    let index = (0..tokens).map(|position| {
        let partner = partners.get(position).copied().flatten();
        partner.unwrap_or(others + position) as i64
    });
    let index = TensorData::from(index.collect::<Vec<i64>>().as_slice());
    let index = Tensor::<1, Int>::from_data(index, &own.device());
    Tensor::cat(vec![from, own], 0).select(0, index)
}

/// How the rows change: [`partnered`] less the rows themselves.
fn change(own: &Tensor<2>, from: &Tensor<2>, partners: &[Option<usize>]) -> Tensor<2> {
    partnered(own, from, partners) - own.clone().cast(DType::F32)
}
