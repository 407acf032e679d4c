//! From what came back of a pass to the rows of one step in one block.

use std::ops::Range;

use schemas::{attention, attention_rows, features, positions};

use super::settings::AttentionKept;

/// What a dictionary found at the packed positions of a pass.
pub(crate) struct Features<'a> {
    /// Feature ids, strongest first: `[positions, width]`.
    pub(crate) index: &'a [i32],
    /// Their activations; 0 stands for no feature.
    pub(crate) value: &'a [f32],
    /// Features a position at most.
    pub(crate) width: usize,
    pub(crate) l0: &'a [f32],
    pub(crate) feature_norm: &'a [f32],
    pub(crate) residual_norm: &'a [f32],
    pub(crate) reconstruction_error: &'a [f32],
    pub(crate) kept_share: &'a [f32],
}

impl Features<'_> {
    /// Adds the rows of the step that lies at `packed`.
    pub(crate) fn push(
        &self,
        (game, step): (i64, i32),
        packed: Range<usize>,
        features: &mut features::Rows,
        positions: &mut positions::Rows,
    ) {
        for (position, row) in packed.enumerate() {
            let position = position as i32;
            let cells = row * self.width..(row + 1) * self.width;
            let found = self.index[cells.clone()].iter().zip(&self.value[cells]);
            let active = found.filter(|(_, activation)| **activation > 0.0).zip(0..);
            for ((feature, activation), rank) in active {
                let (feature, activation) = (*feature, *activation);
                features.push(features::Row { game, step, position, feature, activation, rank });
            }
            positions.push(positions::Row {
                game,
                step,
                position,
                l0: self.l0[row] as i32,
                feature_norm: self.feature_norm[row],
                residual_norm: self.residual_norm[row],
                reconstruction_error: self.reconstruction_error[row],
                kept_share: self.kept_share[row],
            });
        }
    }
}

/// What is kept of one step's pattern in one block.
pub(crate) struct Pattern<'a> {
    pub(crate) heads: usize,
    /// Positions of the step; as many queries as keys.
    pub(crate) positions: usize,
    /// The position whose row is whole.
    pub(crate) decision: usize,
    /// Its row: `[head, key]`.
    pub(crate) decision_row: &'a [f32],
    /// The strongest weights of every row and their keys, and how many.
    pub(crate) strongest: Option<(&'a [f32], &'a [i32], usize)>,
    /// All weights: `[head, query, key]`.
    pub(crate) whole: Option<&'a [f32]>,
    /// The entropy of every row.
    pub(crate) entropy: &'a [f32],
    /// Where the rows of the step are in `strongest` and `entropy`: that of a head and a query is `first` and the query
    /// after the head's, of which each has `stride`.
    pub(crate) first: usize,
    pub(crate) stride: usize,
}

impl Pattern<'_> {
    /// Adds the step's rows.
    pub(crate) fn push(
        &self,
        (game, step): (i64, i32),
        kept: AttentionKept,
        attention: &mut attention::Rows,
        rows: &mut attention_rows::Rows,
    ) {
        let mut weights = Vec::new();
        for head in 0..self.heads {
            for query in 0..self.positions {
                weights.clear();
                self.keep(head, query, kept, &mut weights);
                let kept_mass: f64 = weights.iter().map(|(_, weight)| f64::from(*weight)).sum();
                for (key, weight) in weights.drain(..) {
                    attention.push(attention::Row {
                        game,
                        step,
                        head: head as i32,
                        query: query as i32,
                        key,
                        weight,
                    });
                }
                rows.push(attention_rows::Row {
                    game,
                    step,
                    head: head as i32,
                    query: query as i32,
                    kept_mass: kept_mass as f32,
                    entropy: self.entropy[self.row(head, query)],
                });
            }
        }
    }

    const fn row(&self, head: usize, query: usize) -> usize {
        head * self.stride + self.first + query
    }

    /// Adds the keys kept of a row and their weights, by key. No key after the query has any weight.
    fn keep(&self, head: usize, query: usize, kept: AttentionKept, weights: &mut Vec<(i32, f32)>) {
        let seen = 0..=query as i32;
        if query == self.decision {
            let row = &self.decision_row[head * self.positions..][..self.positions];
            weights.extend(seen.zip(row.iter().copied()));
            return;
        }
        match (kept, &self.strongest, &self.whole) {
            (AttentionKept::Top(_), Some((strongest, keys, width)), _) => {
                let row = self.row(head, query);
                let cells = row * width..(row + 1) * width;
                let found = keys[cells.clone()].iter().copied().zip(strongest[cells].iter().copied());
                weights.extend(found.filter(|(key, _)| seen.contains(key)));
                weights.sort_unstable_by_key(|(key, _)| *key);
            }
            (AttentionKept::Full, _, Some(whole)) => {
                let row = (head * self.positions + query) * self.positions;
                weights.extend(seen.zip(whole[row..][..self.positions].iter().copied()));
            }
            _ => {}
        }
    }
}
