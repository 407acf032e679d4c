//! The highest activation of each feature in each of some groups of tokens of a step.

use std::collections::BTreeMap;

use crate::tally::IN_ARRAYS;

/// By group and feature, as one array that is used for step after step: nothing is hashed, and only what was
/// written is cleared.
#[derive(Default)]
pub(crate) struct Highest {
    /// How many features there may be.
    width: usize,
    values: Vec<f32>,
    written: Vec<usize>,
    /// Those of features that are in no array, by group and feature.
    far: BTreeMap<(usize, i32), f32>,
}

impl Highest {
    /// For features that are all among these.
    pub(crate) fn of(features: &[i32]) -> Self {
        let near = features.iter().map(|feature| *feature as usize).filter(|feature| *feature < IN_ARRAYS);
        Self { width: near.max().map_or(0, |last| last + 1), ..Self::default() }
    }

    /// Takes in an activation above 0.
    pub(crate) fn raise(&mut self, group: usize, feature: i32, activation: f32) {
        if feature as usize >= self.width {
            let highest = self.far.entry((group, feature)).or_default();
            *highest = highest.max(activation);
            return;
        }
        let place = group * self.width + feature as usize;
        if place >= self.values.len() {
            self.values.resize((group + 1) * self.width, 0.0);
        }
        if self.values[place] == 0.0 {
            self.written.push(place);
        }
        self.values[place] = self.values[place].max(activation);
    }

    /// The highest activation, 0 where there was none.
    pub(crate) fn at(&self, group: usize, feature: i32) -> f32 {
        if feature as usize >= self.width {
            return self.far.get(&(group, feature)).copied().unwrap_or_default();
        }
        self.values.get(group * self.width + feature as usize).copied().unwrap_or_default()
    }

    /// Group, feature and highest activation, where there was one.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (usize, i32, f32)> {
        let width = self.width;
        let near = self.written.iter();
        let near = near.map(move |place| (place / width, (place % width) as i32, self.values[*place]));
        near.chain(self.far.iter().map(|((group, feature), highest)| (*group, *feature, *highest)))
    }

    /// Forgets all, for the next step.
    pub(crate) fn clear(&mut self) {
        self.far.clear();
        for place in self.written.drain(..) {
            self.values[place] = 0.0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Highest;

    #[test]
    fn features_that_no_dictionary_has_are_kept_and_take_no_array() {
        let features = [3, -1, i32::MAX];
        let mut highest = Highest::of(&features);
        for round in 1..=2 {
            for (group, feature) in [(0, 3), (1, -1), (1, i32::MAX)] {
                highest.raise(group, feature, 2.0 * round as f32);
                highest.raise(group, feature, round as f32);
            }
            assert!(highest.values.len() <= 8);
            let mut found: Vec<(usize, i32, f32)> = highest.iter().collect();
            found.sort_by_key(|(group, feature, _)| (*group, *feature));
            let most = 2.0 * round as f32;
            assert_eq!(found, [(0, 3, most), (1, -1, most), (1, i32::MAX, most)]);
            assert_eq!((highest.at(1, -1), highest.at(0, -1), highest.at(0, 3)), (most, 0.0, most));
            highest.clear();
        }
    }
}
