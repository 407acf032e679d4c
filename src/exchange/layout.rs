//! What every layout does: take games one after the other, and end.

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemas::{Table, dictionaries, runs};

use super::ExchangeError;
use crate::lake::Whole;

/// A layout of another tool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Parquet with a folder for each game, layer and position.
    GameLayerPosition,
    /// One npz a layer: a sparse matrix with a row for each decision or token, and what is known of the rows.
    NpzCoo(MatrixRows),
    /// The safetensors that delphi explains features from, in this many ranges of features.
    Delphi {
        /// How many files a layer's features are split into.
        splits: usize,
    },
    /// A dataset of token ids as SAELens takes one, with the features beside them.
    Saelens,
}

/// What a row of a matrix is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MatrixRows {
    /// The decision position of a step.
    Decisions,
    /// Any position of a step.
    Tokens,
}

/// What a layout is told before the first game.
pub(super) struct About {
    /// Where to write.
    pub(super) folder: PathBuf,
    /// The dictionaries of the layers to export.
    pub(super) dictionaries: BTreeMap<i32, dictionaries::Row>,
    /// The runs by their ids.
    pub(super) runs: BTreeMap<String, runs::Row>,
    /// Steps of all games that ran.
    pub(super) n_steps: u64,
    /// Tokens of the longest step.
    pub(super) longest: usize,
}

impl About {
    /// The model of the runs; several with `, ` between them.
    pub(super) fn model(&self) -> String {
        let mut models = self.runs.values().map(|run| run.model.as_str()).collect::<Vec<_>>();
        models.sort_unstable();
        models.dedup();
        models.join(", ")
    }

    /// Features kept at a position by every run; none if all.
    pub(super) fn top_k(&self) -> Option<i32> {
        self.runs.values().filter_map(|run| run.top_k).min()
    }
}

/// What a layout says at its end.
#[derive(Default)]
pub(super) struct Ended {
    /// Features that it holds.
    pub(super) features: u64,
    /// What it could not hold as the lake has it.
    pub(super) notes: Vec<String>,
}

/// A layout that is being written.
pub(super) trait Layout {
    /// The large tables that it needs beside `features` and `positions`.
    fn tables(&self) -> &'static [&'static Table] {
        &[]
    }

    /// Takes the next game.
    fn take(&mut self, whole: &Whole) -> Result<(), ExchangeError>;

    /// Writes what is left and reads back what was written.
    fn end(self: Box<Self>) -> Result<Ended, ExchangeError>;
}
