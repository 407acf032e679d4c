//! The highest activation of each feature in each of some groups of tokens of a step.

/// By group and feature, as one array that is used for step after step: nothing is hashed, and only what was
/// written is cleared.
#[derive(Default)]
pub(crate) struct Highest {
    /// How many features there may be.
    width: usize,
    values: Vec<f32>,
    written: Vec<usize>,
}

impl Highest {
    /// For features that are all among these.
    pub(crate) fn of(features: &[i32]) -> Self {
        Self { width: features.iter().max().map_or(0, |last| *last as usize + 1), ..Self::default() }
    }

    /// Takes in an activation above 0.
    pub(crate) fn raise(&mut self, group: usize, feature: i32, activation: f32) {
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
        self.values.get(group * self.width + feature as usize).copied().unwrap_or_default()
    }

    /// Group, feature and highest activation, where there was one.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (usize, i32, f32)> {
        let width = self.width;
        self.written.iter().map(move |place| (place / width, (place % width) as i32, self.values[*place]))
    }

    /// Forgets all, for the next step.
    pub(crate) fn clear(&mut self) {
        for place in self.written.drain(..) {
            self.values[place] = 0.0;
        }
    }
}
