//! How many games go into each commit.

/// The first commit of a run is this part of the largest, and so is the last.
const FIRST: usize = 8;

/// Commits of fewer games cost more than they gain.
const FEWEST: usize = 32;

/// The games of each commit, `most` of them at most. Where commits are large they begin and end small: the writer has
/// something to do soon after the model begins, and is through soon after it ends.
#[must_use]
pub fn commit_sizes(games: usize, most: usize) -> Vec<usize> {
    let most = most.max(1);
    let mut size = (most / FIRST).max(FEWEST).min(most);
    let (mut sizes, mut left) = (Vec::new(), games);
    while left > 0 {
        // Half of what is left, once that is less than a whole commit.
        let next = size.min(left.div_ceil(2).max(FEWEST.min(most))).min(left);
        sizes.push(next);
        left -= next;
        size = (2 * size).min(most);
    }
    sizes
}

/// The games of each commit of those that are left of a request: `is_left` says of each of its games whether it is one.
///
/// Games stay with those that they would be committed with if none were there yet. So a run that goes on packs the same
/// games into the same passes as one that was never interrupted.
pub fn commits_left(is_left: &[bool], most: usize) -> Vec<usize> {
    let mut rest = is_left;
    let of_commit = |size| {
        let (commit, others) = rest.split_at(size);
        rest = others;
        commit.iter().filter(|is_left| **is_left).count()
    };
    commit_sizes(is_left.len(), most).into_iter().map(of_commit).filter(|games| *games > 0).collect()
}

#[cfg(test)]
mod tests {
    use super::{commit_sizes, commits_left};

    #[test]
    fn what_is_left_is_committed_as_if_nothing_had_been_there() {
        let sizes = commit_sizes(2000, 500);
        for done in 0..sizes.len() {
            let there = sizes[..done].iter().sum::<usize>();
            let is_left: Vec<bool> = (0..2000).map(|game| game >= there).collect();
            assert_eq!(commits_left(&is_left, 500), sizes[done..]);
        }
        assert_eq!(commits_left(&[false, true, true, true, false, false], 2), [1, 2]);
        assert!(commits_left(&[false; 3], 2).is_empty());
    }

    #[test]
    fn large_commits_begin_and_end_small() {
        assert_eq!(commit_sizes(2000, 500), [62, 124, 248, 496, 500, 285, 143, 71, 36, 32, 3]);
        assert_eq!(commit_sizes(25, 10), [10, 10, 5]);
        assert_eq!(commit_sizes(5, 1), [1; 5]);
        assert_eq!(commit_sizes(3, 0), [1; 3]);
        assert!(commit_sizes(0, 10).is_empty());
    }

    #[test]
    fn no_game_is_left_out() {
        for games in 0..700 {
            for most in [1, 10, 40, 500] {
                let sizes = commit_sizes(games, most);
                assert_eq!(sizes.iter().sum::<usize>(), games);
                assert!(sizes.iter().all(|size| (1..=most).contains(size)));
            }
        }
    }
}
