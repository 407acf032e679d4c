//! Which features have stopped firing.

/// How many rows each feature has been silent for.
pub(crate) struct Silence {
    rows: Vec<usize>,
}

impl Silence {
    /// Starts with features that have all just fired.
    pub(crate) fn new(features: usize) -> Self {
        Self { rows: vec![0; features] }
    }

    /// Takes note of which features fired on any of `n` rows.
    pub(crate) fn note(&mut self, fired: &[bool], n: usize) {
        for (silent, fired) in self.rows.iter_mut().zip(fired) {
            *silent = if *fired { 0 } else { *silent + n };
        }
    }

    /// The features that have been silent for more than `rows` rows, in ascending order.
    pub(crate) fn dead(&self, rows: usize) -> Vec<usize> {
        let silent = self.rows.iter().enumerate().filter(|(_, silent)| **silent > rows);
        silent.map(|(feature, _)| feature).collect()
    }
}
