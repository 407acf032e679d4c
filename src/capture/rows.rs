//! From what came back of a pass to the rows of one step in one block.

use std::ops::Range;

use schemas::{attention, attention_rows, features, positions};

use super::settings::AttentionKept;

/// What a dictionary found at the packed positions of a pass.
pub(crate) struct Features {
    /// Feature ids, strongest first: `[positions, width]`.
    pub(crate) index: Vec<i32>,
    /// Their activations; 0 stands for no feature.
    pub(crate) value: Vec<f32>,
    /// Features a position at most.
    pub(crate) width: usize,
    pub(crate) l0: Vec<f32>,
    pub(crate) feature_norm: Vec<f32>,
    pub(crate) residual_norm: Vec<f32>,
    pub(crate) reconstruction_error: Vec<f32>,
    pub(crate) kept_share: Vec<f32>,
}

impl Features {
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
            let mut active: Vec<(i32, f32, i32)> = self.index[cells.clone()]
                .iter()
                .zip(&self.value[cells])
                .enumerate()
                .filter(|(_, (_, activation))| **activation > 0.0)
                .map(|(rank, (feature, activation))| (*feature, *activation, rank as i32))
                .collect();
            active.sort_unstable_by_key(|(feature, ..)| *feature);
            for (feature, activation, rank) in active {
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
pub(crate) struct Pattern {
    pub(crate) heads: usize,
    /// Positions of the step; as many queries as keys.
    pub(crate) positions: usize,
    /// The position whose row is whole.
    pub(crate) decision: usize,
    /// Its row: `[head, key]`.
    pub(crate) decision_row: Vec<f32>,
    /// The strongest weights of every row and their keys, and how many: `[head, query, width]`.
    pub(crate) strongest: Option<(Vec<f32>, Vec<i32>, usize)>,
    /// All weights: `[head, query, key]`.
    pub(crate) whole: Option<Vec<f32>>,
    /// The entropy of every row: `[head, query]`.
    pub(crate) entropy: Vec<f32>,
}

impl Pattern {
    /// Adds the step's rows.
    pub(crate) fn push(
        &self,
        (game, step): (i64, i32),
        kept: AttentionKept,
        attention: &mut attention::Rows,
        rows: &mut attention_rows::Rows,
    ) {
        for head in 0..self.heads {
            for query in 0..self.positions {
                let weights = self.kept_weights(head, query, kept);
                let kept_mass: f64 = weights.iter().map(|(_, weight)| f64::from(*weight)).sum();
                for (key, weight) in weights {
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
                    entropy: self.entropy[head * self.positions + query],
                });
            }
        }
    }

    /// The keys kept of a row and their weights, by key. No key after the query has any weight.
    fn kept_weights(&self, head: usize, query: usize, kept: AttentionKept) -> Vec<(i32, f32)> {
        let row = head * self.positions + query;
        let whole = |weights: &[f32]| (0..=query as i32).zip(weights.iter().copied()).collect();
        if query == self.decision {
            return whole(&self.decision_row[head * self.positions..][..self.positions]);
        }
        match (kept, &self.strongest, &self.whole) {
            (AttentionKept::Top(_), Some((weights, keys, width)), _) => {
                let cells = row * width..(row + 1) * width;
                let mut strongest: Vec<(i32, f32)> = keys[cells.clone()]
                    .iter()
                    .copied()
                    .zip(weights[cells].iter().copied())
                    .filter(|(key, _)| *key <= query as i32)
                    .collect();
                strongest.sort_unstable_by_key(|(key, _)| *key);
                strongest
            }
            (AttentionKept::Full, _, Some(weights)) => {
                whole(&weights[row * self.positions..][..self.positions])
            }
            _ => Vec::new(),
        }
    }
}
