//! The number that a run is judged by.

use burn::tensor::{Int, Tensor, TensorData};

use super::error::InterveneError;
use crate::model::Llama;
use crate::tokens::Tokenizer;

/// A number that the model gives after a prompt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Metric {
    /// The logit of the first token less that of the second, after the last token of the prompt.
    Difference([u32; 2]),
    /// The logarithm of the probability that the prompt goes on with these tokens; there is one at least.
    LogProbability(Vec<u32>),
}

impl Metric {
    /// The difference of the logits of two texts, each of which is one token.
    ///
    /// # Errors
    /// If a text is not one token, or both are the same.
    pub fn difference(tokenizer: &Tokenizer, first: &str, second: &str) -> Result<Self, InterveneError> {
        let id = |text: &str| match tokenizer.encode_rendered(text)?.as_slice() {
            [only] => Ok(only.id),
            tokens => Err(InterveneError::NotOneToken { text: text.to_owned(), tokens: tokens.len() }),
        };
        let ids = [id(first)?, id(second)?];
        if ids[0] == ids[1] {
            return Err(InterveneError::SameToken { first: first.to_owned(), second: second.to_owned() });
        }
        Ok(Self::Difference(ids))
    }

    /// The log-probability of a text that goes on from the prompt.
    ///
    /// # Errors
    /// If the text has no tokens or cannot be tokenized.
    pub fn log_probability(tokenizer: &Tokenizer, text: &str) -> Result<Self, InterveneError> {
        let ids: Vec<u32> = tokenizer.encode_rendered(text)?.iter().map(|token| token.id).collect();
        if ids.is_empty() { Err(InterveneError::EmptyText) } else { Ok(Self::LogProbability(ids)) }
    }

    /// The tokens that run after the prompt: all of the continuation but its last, which is only predicted.
    pub(super) fn appended(&self) -> &[u32] {
        match self {
            Self::Difference(_) => &[],
            Self::LogProbability(ids) => &ids[..ids.len() - 1],
        }
    }

    /// How many rows of the last residual it looks at: the last ones of the run.
    pub fn rows(&self) -> usize {
        self.appended().len() + 1
    }

    /// The metric of each of some runs, from the rows of their last residual that it looks at, end to end:
    /// `[runs * rows, d_model]`.
    ///
    /// # Errors
    /// If the device fails.
    pub fn values(&self, llama: &Llama, residual: Tensor<2>) -> Result<Vec<f64>, InterveneError> {
        match self {
            Self::Difference(ids) => {
                let logits = llama.logits_of(residual, ids).try_into_data_as::<f32>()?;
                let logits: Vec<f64> = logits.iter::<f32>().map(f64::from).collect();
                Ok(logits.chunks_exact(2).map(|pair| pair[0] - pair[1]).collect())
            }
            Self::LogProbability(ids) => {
                let runs = residual.dims()[0] / ids.len();
                let next: Vec<i64> =
                    std::iter::repeat_n(ids, runs).flatten().map(|id| i64::from(*id)).collect();
                let next = TensorData::new(next, [runs * ids.len(), 1]);
                let logits = llama.logits(residual);
                let next = Tensor::<2, Int>::from_data(next, &logits.device());
                let largest = logits.clone().max_dim(1);
                let total = (logits.clone() - largest.clone()).exp().sum_dim(1).log() + largest;
                let logs = (logits.gather(1, next) - total).try_into_data_as::<f32>()?;
                let logs: Vec<f64> = logs.iter::<f32>().map(f64::from).collect();
                Ok(logs.chunks_exact(ids.len()).map(|run| run.iter().sum()).collect())
            }
        }
    }
}
