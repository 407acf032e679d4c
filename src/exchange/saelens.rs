//! A dataset as SAELens takes one: token ids a row, and the features of each token beside them.
//!
//! SAELens keeps no sparse activations: its cache is of dense residuals, which a lake does not have. What it reads is a
//! dataset of `input_ids`, and that this is; the other columns bear the names that its hooked models give the
//! activations of a dictionary.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, Float32Builder, Int32Array, Int32Builder, Int64Array, ListBuilder, RecordBatch,
};
use arrow::datatypes::{DataType, Field, Schema};
use serde_json::json;

use super::ExchangeError;
use super::layout::{About, Ended, Layout};
use super::parquet_file::ParquetFile;
use super::places::places;
use crate::lake::Whole;

/// The file that `datasets` takes for the split `train`.
const FILE: &str = "train-00000-of-00001.parquet";

/// A dataset that is being written, a row a step.
pub(super) struct Saelens {
    about: About,
    schema: Arc<Schema>,
    file: ParquetFile,
    n_features: u64,
}

impl Saelens {
    /// An empty one.
    pub(super) fn begin(about: About) -> Result<Self, ExchangeError> {
        let list = |of: DataType| DataType::List(Arc::new(Field::new_list_field(of, true)));
        let mut fields = vec![
            Field::new("game", DataType::Int64, false),
            Field::new("step", DataType::Int32, false),
            Field::new("input_ids", list(DataType::Int32), false),
        ];
        for dictionary in about.dictionaries.values() {
            let name = |part| format!("{}.hook_sae_acts_post.{part}", dictionary.hook);
            fields.push(Field::new(name("indices"), list(list(DataType::Int32)), false));
            fields.push(Field::new(name("values"), list(list(DataType::Float32)), false));
        }
        let folder = about.folder.join("data");
        fs::create_dir_all(&folder).map_err(|error| ExchangeError::unwritable(&folder, error))?;
        let schema = Arc::new(Schema::new(fields));
        let file = ParquetFile::create(folder.join(FILE), Arc::clone(&schema))?;
        Ok(Self { about, schema, file, n_features: 0 })
    }

    /// What the dataset is, in the words of SAELens's own description of a dataset of tokens.
    fn describe(&self) -> Result<(), ExchangeError> {
        let hooks: BTreeMap<&str, serde_json::Value> = self
            .about
            .dictionaries
            .values()
            .map(|row| {
                (row.hook.as_str(), json!({ "source": row.source, "hash": row.hash, "d_sae": row.d_sae }))
            })
            .collect::<BTreeMap<_, _>>();
        let text = json!({
            "tokenizer_name": self.about.model(),
            "column_name": "input_ids",
            "context_size": self.about.longest,
            "is_packed": false,
            "dictionaries": hooks,
            "top_k": self.about.top_k(),
        });
        let path = self.about.folder.join("sae_lens.json");
        fs::write(&path, format!("{text:#}\n")).map_err(|error| ExchangeError::unwritable(&path, error))
    }
}

/// The features of a position, ascending.
type AtPosition = BTreeMap<i32, Vec<(i32, f32)>>;

impl Layout for Saelens {
    fn take(&mut self, whole: &Whole) -> Result<(), ExchangeError> {
        let mut ids: BTreeMap<i32, Vec<i32>> = BTreeMap::new();
        for (step, id) in whole.tokens.step.iter().zip(&whole.tokens.token_id) {
            ids.entry(*step).or_default().push(*id);
        }
        let mut layers: BTreeMap<i32, BTreeMap<i32, AtPosition>> = BTreeMap::new();
        for (layer, rows) in &whole.captured.features {
            let of_layer = layers.entry(*layer).or_default();
            for place in places(rows) {
                self.n_features += place.features.len() as u64;
                of_layer.entry(place.step).or_default().insert(place.position, place.features);
            }
        }
        let none = AtPosition::new();
        for step in whole.steps.iter().filter(|step| step.status != "error") {
            let ids = ids.remove(&step.step).unwrap_or_default();
            let n_tokens = ids.len() as i32;
            let mut tokens = ListBuilder::new(Int32Builder::new());
            tokens.append_value(ids.into_iter().map(Some));
            let mut columns: Vec<ArrayRef> = vec![
                Arc::new(Int64Array::from(vec![step.game])),
                Arc::new(Int32Array::from(vec![step.step])),
                Arc::new(tokens.finish()),
            ];
            for layer in self.about.dictionaries.keys() {
                let of_step = layers.get(layer).and_then(|steps| steps.get(&step.step)).unwrap_or(&none);
                columns.extend(lists(of_step, n_tokens));
            }
            let failed = |error| ExchangeError::unwritable(&self.about.folder, std::io::Error::other(error));
            self.file.write(&RecordBatch::try_new(Arc::clone(&self.schema), columns).map_err(failed)?)?;
        }
        Ok(())
    }

    fn end(self: Box<Self>) -> Result<Ended, ExchangeError> {
        self.describe()?;
        self.file.end()?;
        let note =
            "SAELens has no sparse layout: it reads the token ids, and the features are columns beside them";
        Ok(Ended { features: self.n_features, notes: vec![note.to_owned()] })
    }
}

/// Indices and values of a step: a list of lists, one a token.
fn lists(of_step: &AtPosition, n_tokens: i32) -> [ArrayRef; 2] {
    let mut indices = ListBuilder::new(ListBuilder::new(Int32Builder::new()));
    let mut values = ListBuilder::new(ListBuilder::new(Float32Builder::new()));
    for position in 0..n_tokens {
        let here = of_step.get(&position).map(Vec::as_slice).unwrap_or_default();
        indices.values().append_value(here.iter().map(|(feature, _)| Some(*feature)));
        values.values().append_value(here.iter().map(|(_, activation)| Some(*activation)));
    }
    indices.append(true);
    values.append(true);
    [Arc::new(indices.finish()), Arc::new(values.finish())]
}
