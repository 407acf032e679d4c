//! The figures of a dictionary, from rows that a GPU encoded.

use super::gate::Measured;
use super::outliers::usual;

/// What a device found in rows of the model.
pub struct Encoded<'a> {
    /// The rows, in the model's units: `[n, d_in]`.
    pub x: &'a [f32],
    /// How many features fire: `[n]`.
    pub l0: &'a [f32],
    /// L2 norm of each row: `[n]`.
    pub norms: &'a [f32],
    /// L2 norm of what stays unexplained: `[n]`.
    pub errors: &'a [f32],
    /// Features of each row: `[n, kept]`.
    pub index: &'a [u32],
    /// Their activations, 0 for none: `[n, kept]`.
    pub value: &'a [f32],
    /// Features of the dictionary.
    pub d_sae: usize,
}

impl Encoded<'_> {
    /// The figures. Rows that are far longer than the others are left out and counted.
    pub fn measured(&self) -> Measured {
        let n = self.norms.len();
        let rows = usual(self.norms);
        let (width, kept) = (self.x.len() / n.max(1), self.value.len() / n.max(1));
        let row = |row: &usize| &self.x[row * width..][..width];
        let mut mean = vec![0.0; width];
        for x in rows.iter().map(row) {
            mean.iter_mut().zip(x).for_each(|(mean, x)| *mean += f64::from(*x) / rows.len() as f64);
        }
        let squares =
            |x: &[f32]| x.iter().zip(&mean).map(|(x, mean)| (f64::from(*x) - mean).powi(2)).sum::<f64>();
        let spread = rows.iter().map(|at| squares(row(at))).sum::<f64>();
        let sum = |of: &[f32], power: i32| rows.iter().map(|at| f64::from(of[*at]).powi(power)).sum::<f64>();
        let mut fired = vec![false; self.d_sae];
        for at in rows.iter().flat_map(|row| row * kept..(row + 1) * kept) {
            fired[self.index[at] as usize] |= self.value[at] > 0.0;
        }
        let dead = fired.iter().filter(|fired| !**fired).count();
        Measured {
            rows: rows.len(),
            outliers: n - rows.len(),
            l0: sum(self.l0, 1) / rows.len() as f64,
            explained_variance: 1.0 - sum(self.errors, 2) / spread,
            dead_share: dead as f64 / self.d_sae as f64,
        }
    }
}
