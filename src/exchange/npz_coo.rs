//! The layout of iamseungpil/llm-addiction: one npz a layer, a sparse matrix with a row a decision, and what is known of
//! the rows. A row may be any position instead; then two more vectors say which.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;

use serde_json::json;

use super::ExchangeError;
use super::coo::Coo;
use super::layout::{About, Ended, Layout, MatrixRows};
use super::matrix_rows::Rows;
use super::npz::Archive;
use super::places::places;
use super::spool::Spool;
use crate::lake::Whole;

/// Matrices that are being filled.
pub(super) struct NpzCoo {
    about: About,
    kind: MatrixRows,
    rows: Rows,
    /// The position and the token id of every row.
    positions: Spool,
    token_ids: Spool,
    layers: BTreeMap<i32, Coo>,
}

impl NpzCoo {
    /// Empty ones.
    pub(super) fn begin(about: About, kind: MatrixRows) -> Result<Self, ExchangeError> {
        let coo = |layer: &i32| Ok((*layer, Coo::new(&about.folder)?));
        let layers = about.dictionaries.keys().map(coo).collect::<Result<BTreeMap<_, _>, ExchangeError>>()?;
        let (positions, token_ids) = (Spool::new(&about.folder)?, Spool::new(&about.folder)?);
        Ok(Self { about, kind, rows: Rows::default(), positions, token_ids, layers })
    }

    /// The position that the first row of each step is of, and the number of that row.
    fn add_rows(&mut self, whole: &Whole) -> Result<BTreeMap<i32, (i32, i32)>, ExchangeError> {
        let failed = |error| ExchangeError::unwritable(&self.about.folder, error);
        let mut first = BTreeMap::new();
        let mut tokens: BTreeMap<i32, Vec<(i32, i32)>> = BTreeMap::new();
        let rows = &whole.tokens;
        for ((step, position), id) in rows.step.iter().zip(&rows.position).zip(&rows.token_id) {
            tokens.entry(*step).or_default().push((*position, *id));
        }
        for step in &whole.steps {
            let mut of_step = tokens.remove(&step.step).unwrap_or_default();
            if self.kind == MatrixRows::Decisions {
                of_step.retain(|(position, _)| *position == step.decision_position);
            }
            let start = of_step.first().map_or(step.decision_position, |(position, _)| *position);
            // A decision that failed has its row, as it has with the incumbent, and no token.
            let n_rows = if self.kind == MatrixRows::Decisions { 1 } else { of_step.len() as u64 };
            first.insert(step.step, (start, self.rows.add(&whole.game, step, n_rows)?));
            for (position, id) in of_step {
                self.positions.write_all(&position.to_le_bytes()).map_err(failed)?;
                self.token_ids.write_all(&id.to_le_bytes()).map_err(failed)?;
            }
        }
        Ok(first)
    }

    fn write(&mut self, layer: i32, coo: &mut Coo) -> Result<(), ExchangeError> {
        let width = i64::from(self.about.dictionaries[&layer].d_sae);
        let shape = [self.rows.total as i64, width];
        let mut archive = Archive::create(self.about.folder.join(format!("sae_features_L{layer}.npz")))?;
        coo.write(&mut archive)?;
        archive.vector("shape", 2, shape.into_iter())?;
        self.rows.write(&mut archive)?;
        let mut lengths = vec![("row_indices", coo.n_values), ("values", coo.n_values)];
        if self.kind == MatrixRows::Tokens {
            archive.bytes("positions", (self.rows.total, "<i4"), self.positions.reader())?;
            archive.bytes("token_ids", (self.rows.total, "<i4"), self.token_ids.reader())?;
            lengths.push(("positions", self.rows.total));
        }
        archive.scalar("layer", i64::from(layer))?;
        lengths.push(("game_ids", self.rows.total));
        archive.end(&lengths)?;
        self.describe(layer, coo.n_values)
    }

    /// The file beside each npz, with the incumbent's fields first.
    fn describe(&self, layer: i32, n_values: u64) -> Result<(), ExchangeError> {
        let dictionary = &self.about.dictionaries[&layer];
        let each = n_values as f64 / (self.rows.total as f64).max(1.0);
        let text = json!({
            "layer": layer,
            "n_rounds": self.rows.total,
            "n_features": dictionary.d_sae,
            "nnz_total": n_values,
            "avg_nnz_per_round": each,
            "sparsity": 1.0 - each / f64::from(dictionary.d_sae.max(1)),
            "n_games": self.rows.n_games(),
            "storage_format": "sparse_coo",
            "rows": if self.kind == MatrixRows::Decisions { "decisions" } else { "tokens" },
            "model": self.about.model(),
            "hook": dictionary.hook,
            "sae_source": dictionary.source,
            "sae_hash": dictionary.hash,
            "top_k": self.about.top_k(),
        });
        let path = self.about.folder.join(format!("sae_features_L{layer}.json"));
        fs::write(&path, format!("{text:#}\n")).map_err(|error| ExchangeError::unwritable(&path, error))
    }
}

impl Layout for NpzCoo {
    fn take(&mut self, whole: &Whole) -> Result<(), ExchangeError> {
        let first = self.add_rows(whole)?;
        let failed = |error| ExchangeError::unwritable(&self.about.folder, error);
        for (layer, features) in &whole.captured.features {
            let Some(coo) = self.layers.get_mut(layer) else { continue };
            for place in places(features) {
                let Some((position, row)) = first.get(&place.step).copied() else { continue };
                match self.kind {
                    MatrixRows::Decisions if place.position != position => {}
                    _ => coo.push(row + place.position - position, &place.features).map_err(failed)?,
                }
            }
        }
        Ok(())
    }

    fn end(mut self: Box<Self>) -> Result<Ended, ExchangeError> {
        let mut ended = Ended::default();
        for (layer, mut coo) in std::mem::take(&mut self.layers) {
            self.write(layer, &mut coo)?;
            ended.features += coo.n_values;
        }
        let kept =
            self.about.top_k().map(|k| format!("at most {k} features of a position were kept by the runs"));
        ended.notes.extend(kept);
        Ok(ended)
    }
}
