//! What can be given along with a question: how much features count, and how they write into each other.

use std::path::{Path, PathBuf};

use queries::contrast::{self, Groups};
use queries::{Given, Scope, Selection, Tables, Weights, trace};

use super::{ui, weights::Recorded};
use crate::error::{Error, UsageError};
use crate::model;

/// How much features count.
#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// How much each feature counts: a Parquet or CSV file with layer, feature and importance; `contrast`, its
    /// effect between bets and stops; or `logits`, what its decoder row adds to logit(bet) - logit(stop)
    /// through the gain of the final norm [default: each counts 1]
    #[arg(long, value_name = "FILE|contrast|logits", help_heading = "Weights")]
    importance: Option<String>,
    /// Write the importance to a Parquet file, which the SQL can read
    #[arg(long, value_name = "FILE.parquet", requires = "importance", help_heading = "Weights")]
    save_importance: Option<PathBuf>,
    /// The model, for `logits` [default: the default model]
    #[arg(long, value_name = "DIR|HF_ID|FILE.gguf", help_heading = "Weights")]
    model: Option<String>,
    /// The dictionaries, where they are not where the lake says, repeatable
    #[arg(long, value_name = "DIR|HF_ID", help_heading = "Weights")]
    dictionary: Vec<String>,
}

impl Options {
    /// The importance asked for, if any, of the features that `selection` looks at.
    pub(super) fn importance(
        &self,
        lake: &Path,
        tables: &Tables,
        selection: &Selection,
    ) -> Result<Weights, Error> {
        let Some(importance) = &self.importance else { return Ok(Weights::default()) };
        let given = match importance.as_str() {
            "contrast" => {
                let layer = selection.one_layer()?;
                let all = Selection { scope: Scope::AllGames, layer, ..Selection::default() };
                contrast::importance(tables, &all, &Groups::default(), contrast::MIN_SUPPORT)?
            }
            "logits" => self.logits(lake, tables, selection)?,
            file => Given::importance(Path::new(file))?,
        };
        let given = saved(given, self.save_importance.as_deref())?;
        Ok(Weights { importance: Some(given), couplings: None })
    }

    /// The couplings of the pairs that a trace may need, beside the importance.
    pub(super) fn couplings(
        &self,
        lake: &Path,
        tables: &Tables,
        selection: &Selection,
        weights: Weights,
        save: Option<&Path>,
    ) -> Result<Weights, Error> {
        let pairs = trace::pairs(tables, selection, &weights)?;
        let couplings = Recorded::read(lake)?.couplings(&self.dictionary, &pairs)?;
        Ok(Weights { couplings: Some(saved(couplings, save)?), ..weights })
    }

    fn logits(&self, lake: &Path, tables: &Tables, selection: &Selection) -> Result<Given, Error> {
        let default = || model::default_model().to_string_lossy().into_owned();
        let model = self.model.clone().unwrap_or_else(default);
        let layers = match selection.one_layer()? {
            Some(layer) => vec![layer],
            None => tables.layers()?,
        };
        let recorded = Recorded::read(lake)?;
        recorded.importance(&self.dictionary, &model, &layers)
    }
}

/// Writes a table to a file, if one is named, and names the file to the SQL.
fn saved(given: Given, path: Option<&Path>) -> Result<Given, Error> {
    let Some(path) = path else { return Ok(given) };
    let mut bytes = Vec::new();
    queries::write(&mut given.rows().clone(), queries::Format::Parquet, &mut bytes)?;
    std::fs::write(path, bytes).map_err(|source| UsageError::Unwritable { path: path.to_owned(), source })?;
    ui::note(&format!("{} rows written to {}", given.rows().height(), path.display()));
    Ok(given.at(path))
}
