//! What attention alone says of the positions, to be compared with effects.

use burn::tensor::Tensor;

use crate::intervene::error::InterveneError;
use crate::intervene::kept::Base;
use crate::intervene::on_host::numbers;
use crate::intervene::record::Record;
use crate::model::{Site, Stretch};

/// The pattern of a block between the position that the metric is read from and every other one, as the mean over the
/// heads.
#[derive(Clone, Debug, PartialEq)]
pub struct LookedAt {
    /// How much the last position attends to each: the last row.
    pub row: Vec<f32>,
    /// How much each attends to the last position, as the formula that was published before has it: the last column.
    /// Under a causal mask that is 0 but at the last position.
    pub column: Vec<f32>,
}

impl Base<'_> {
    /// Runs block `layer` again and looks at its pattern.
    ///
    /// # Errors
    /// If the model has no such block, or the device fails.
    pub fn looked_at(&self, layer: usize) -> Result<LookedAt, InterveneError> {
        let mut record = Record { sites: vec![Site::Pattern], ..Record::default() };
        let residual = self.entering(layer)?.clone();
        let (lengths, pasts) = ([self.n_tokens()], [self.past(0)]);
        let blocks = layer..layer + 1;
        let _ =
            self.llama.resume(Stretch { blocks, residual, lengths: &lengths, pasts: &pasts }, &mut record);
        let Some(pattern) = record.patterns.remove(&layer) else {
            return Ok(LookedAt { row: Vec::new(), column: Vec::new() });
        };
        let last = self.n_prompt - 1;
        let tokens = self.n_tokens();
        let mean: Tensor<2> = pattern.mean_dim(0).squeeze_dim(0);
        let row = mean.clone().slice([last..last + 1, 0..tokens]);
        let column = mean.slice([0..tokens, last..last + 1]);
        Ok(LookedAt { row: numbers(row)?, column: numbers(column)? })
    }
}
