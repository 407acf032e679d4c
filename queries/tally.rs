//! Adding up features by span.
//!
//! A token may be in several spans, and a feature fires at many tokens of one, so what is added up is found tens of
//! millions of times. It is found in an array by feature, of one span: a hash table of all spans and features takes
//! several times as long, since most of its reads miss the processor's caches.

use std::{collections::BTreeMap, ops::Range};

use polars::prelude::PlHashMap;

use crate::{prompts::Prompt, walk::Layer};

/// Features below this have a place in an array. Most dictionaries have fewer; what a lake says of others takes no more
/// memory than it has rows.
pub(crate) const IN_ARRAYS: usize = 1 << 20;

/// What is added up, if not everything.
#[derive(Clone, Copy)]
pub(crate) struct Chosen {
    /// One span, by its number.
    pub(crate) span: Option<u32>,
    /// One feature.
    pub(crate) feature: Option<i32>,
}

impl Chosen {
    /// Whether a row of the feature counts.
    pub(crate) fn has(self, feature: i32) -> bool {
        self.feature.is_none_or(|only| only == feature)
    }
}

/// A step with its layers and where their rows are.
pub(crate) type Step<'a> = (&'a Prompt, Vec<Layer<'a>>);

/// The rows of a token that is in a span.
pub(crate) struct Token {
    /// The place of its step among the steps.
    pub(crate) step: usize,
    /// Its position.
    pub(crate) position: i32,
    /// Where its rows are.
    pub(crate) rows: Range<usize>,
}

/// The tokens of every span of some steps, by the number of the span, in the order of the steps. `counts` says whether
/// a row counts, and `positions` of which token it is.
pub(crate) fn by_span(
    steps: &[Step<'_>],
    positions: &[i32],
    chosen: Chosen,
    counts: impl Fn(usize) -> bool,
) -> BTreeMap<u32, Vec<Token>> {
    let mut found = BTreeMap::<_, Vec<_>>::new();
    for (step, (prompt, layers)) in steps.iter().enumerate() {
        for Layer { ranges, .. } in layers {
            for rows in ranges.iter().flat_map(|range| tokens(range.clone(), positions, &counts)) {
                let position = positions[rows.start];
                let spans = prompt.spans_at(position).iter().map(|span| prompt.spans[*span as usize]);
                for span in spans.filter(|span| chosen.span.is_none_or(|only| only == *span)) {
                    let token = Token { step, position, rows: rows.clone() };
                    found.entry(span).or_default().push(token);
                }
            }
        }
    }
    found
}

/// The rows that count, token by token.
fn tokens(range: Range<usize>, positions: &[i32], counts: impl Fn(usize) -> bool) -> Vec<Range<usize>> {
    let (mut found, mut start) = (Vec::new(), range.start);
    while start < range.end {
        let same = |row: &usize| positions[*row] == positions[start] && counts(*row) == counts(start);
        let end = start + (start..range.end).take_while(same).count();
        if counts(start) {
            found.push(start..end);
        }
        start = end;
    }
    found
}

/// What is added up for each feature of a span.
#[derive(Default)]
pub(crate) struct Tally<T> {
    /// By feature, one more than its place, 0 for one that has none.
    places: Vec<u32>,
    /// The places of the features that are in no array.
    far: PlHashMap<i32, usize>,
    found: Vec<(i32, T)>,
}

impl<T: Default> Tally<T> {
    /// What is added up for a feature.
    pub(crate) fn of(&mut self, feature: i32) -> &mut T {
        let place = self.place(feature);
        &mut self.found[place].1
    }

    /// The place of a feature among those that were added to, which it is from now on.
    pub(crate) fn place(&mut self, feature: i32) -> usize {
        let index = feature as usize;
        if index >= IN_ARRAYS {
            let next = self.found.len();
            let place = *self.far.entry(feature).or_insert(next);
            if place == next {
                self.found.push((feature, T::default()));
            }
            return place;
        }
        if index >= self.places.len() {
            self.places.resize(index + 1, 0);
        }
        if self.places[index] == 0 {
            self.found.push((feature, T::default()));
            self.places[index] = self.found.len() as u32;
        }
        self.places[index] as usize - 1
    }

    /// What is added up at a place.
    pub(crate) fn at(&mut self, place: usize) -> &mut T {
        &mut self.found[place].1
    }

    /// Every feature that was added to; nothing is left.
    pub(crate) fn take(&mut self) -> impl Iterator<Item = (i32, T)> {
        self.far.clear();
        for (feature, _) in &self.found {
            if let Some(place) = self.places.get_mut(*feature as usize) {
                *place = 0;
            }
        }
        self.found.drain(..)
    }
}

#[cfg(test)]
mod tests {
    use super::{IN_ARRAYS, Tally};

    #[test]
    fn features_that_no_dictionary_has_are_counted_and_take_no_array() {
        let features = [5, -1, i32::MAX, 5, i32::MIN, -1, IN_ARRAYS as i32, 0];
        let mut tally = Tally::<i64>::default();
        for _ in 0..2 {
            for feature in features {
                *tally.of(feature) += 1;
            }
            assert!(tally.places.len() <= IN_ARRAYS);
            let mut counts: Vec<(i32, i64)> = tally.take().collect();
            counts.sort_unstable();
            let expected = [(i32::MIN, 1), (-1, 2), (0, 1), (5, 2), (IN_ARRAYS as i32, 1), (i32::MAX, 1)];
            assert_eq!(counts, expected);
        }
    }
}
