//! Which steps a page holds when it cannot hold all.
//!
//! Games are taken in turn from each outcome, evenly spread over those that have it; of a game with many steps, some
//! evenly spread ones with its first and last. So every outcome is seen, no game crowds out the others, and the
//! same lake gives the same page.

use std::collections::BTreeMap;

/// How many steps of a game are taken at most.
pub(super) const OF_A_GAME: usize = 12;

/// A step that could be taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Candidate {
    /// Key of the game.
    pub(super) game: i64,
    /// How the game ended, or another word by which games are told apart.
    pub(super) outcome: String,
}

/// The indices of at most `most` of the candidates, ascending. Candidates are sorted by game, then step.
pub(super) fn choose(candidates: &[Candidate], most: usize) -> Vec<usize> {
    if candidates.len() <= most {
        return (0..candidates.len()).collect();
    }
    let mut outcomes: BTreeMap<&str, Vec<Vec<usize>>> = BTreeMap::new();
    for game in games(candidates) {
        outcomes.entry(&candidates[game[0]].outcome).or_default().push(game);
    }
    let mut taken = Vec::new();
    let longest = outcomes.values().map(Vec::len).max().unwrap_or(0);
    for round in 0..longest {
        for games in outcomes.values() {
            let Some(game) = spread(games.len()).get(round).map(|at| &games[*at]) else { continue };
            let left = most.saturating_sub(taken.len());
            taken.extend(evenly(game, OF_A_GAME.min(left)));
        }
    }
    taken.sort_unstable();
    taken
}

/// The indices of each game's steps.
fn games(candidates: &[Candidate]) -> Vec<Vec<usize>> {
    let mut games: Vec<Vec<usize>> = Vec::new();
    for (index, candidate) in candidates.iter().enumerate() {
        match games.last_mut() {
            Some(game) if candidates[game[0]].game == candidate.game => game.push(index),
            _ => games.push(vec![index]),
        }
    }
    games
}

/// At most `most` of the indices, evenly spread, the first and the last among them if there is room for two.
fn evenly(indices: &[usize], most: usize) -> Vec<usize> {
    match most {
        0 => Vec::new(),
        most if indices.len() <= most => indices.to_vec(),
        // The last step is the one that ends the game.
        1 => indices.last().copied().into_iter().collect(),
        most => (0..most).map(|at| indices[at * (indices.len() - 1) / (most - 1)]).collect(),
    }
}

/// The numbers below `count` in an order whose beginnings are evenly spread: halves, then quarters, and so on.
fn spread(count: usize) -> Vec<usize> {
    let bits = usize::BITS - count.saturating_sub(1).leading_zeros();
    let reversed = |number: usize| if bits == 0 { 0 } else { number.reverse_bits() >> (usize::BITS - bits) };
    (0..1_usize << bits).map(reversed).filter(|number| *number < count).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidates(games: &[(i64, &str, usize)]) -> Vec<Candidate> {
        let steps = games.iter().flat_map(|(game, outcome, steps)| {
            let candidate = Candidate { game: *game, outcome: (*outcome).to_owned() };
            std::iter::repeat_n(candidate, *steps)
        });
        steps.collect()
    }

    #[test]
    fn few_steps_are_all_taken() {
        assert_eq!(choose(&candidates(&[(1, "a", 3), (2, "b", 1)]), 4), [0, 1, 2, 3]);
        assert!(choose(&[], 4).is_empty());
    }

    #[test]
    fn every_outcome_is_seen() {
        let all = candidates(&[(1, "common", 4), (2, "common", 4), (3, "common", 4), (4, "rare", 4)]);
        assert_eq!(choose(&all, 8), [0, 1, 2, 3, 12, 13, 14, 15]);
        assert_eq!(choose(&all, 12).len(), 12);
    }

    #[test]
    fn a_long_game_does_not_crowd_out_others() {
        let all = candidates(&[(1, "a", 100), (2, "a", 5)]);
        let taken = choose(&all, 17);
        assert_eq!(taken.iter().filter(|index| **index < 100).count(), OF_A_GAME);
        assert!(taken.contains(&0) && taken.contains(&99), "the first and the last step of the game");
        assert_eq!(taken.len(), 17);
    }

    #[test]
    fn beginnings_are_spread() {
        assert_eq!(spread(8), [0, 4, 2, 6, 1, 5, 3, 7]);
        assert_eq!(spread(5), [0, 4, 2, 1, 3]);
        assert_eq!(spread(1), [0]);
        assert!(spread(0).is_empty());
    }
}
