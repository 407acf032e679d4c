//! Whether games that are played twice, with a change and without, go differently.
//!
//! A game is played from the same seed in both arms, so its two plays are a pair, and the games are independent of each
//! other. If the change does nothing, each pair could as well have come the other way round: the p-value is the share of
//! such exchanges, drawn at random pair by pair, in which the rates are as far apart as they are, the one observed counted
//! among them. That holds whatever a game's decisions have to do with each other and however many there are. The
//! interval is the middle 95 % of the differences of games drawn with replacement, pair by pair.

use super::steered::Played;
use crate::game::Stream;

/// How many exchanges, and how many draws of games.
pub const DRAWS: usize = 9999;
/// What lies outside of the interval.
const OUTSIDE: f64 = 0.05;
/// Differences this close are the same but for rounding.
const SAME: f64 = 1e-12;

/// Two arms, compared.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Compared {
    /// Bets among all decisions, with the change.
    pub rate: f64,
    /// How much that is above the rate without.
    pub difference: f64,
    /// The interval of the difference.
    pub interval: (f64, f64),
    /// p of no difference, two-sided.
    pub p_value: f64,
}

/// Bets and decisions of a game without and with the change.
type Counts = [[f64; 2]; 2];

/// Compares an arm with the base, game by game in the same order. `None` if there is no decision in one of them.
pub fn compare(base: &[Played], arm: &[Played], seed: u64) -> Option<Compared> {
    let counts = |played: &Played| [f64::from(played.bets), f64::from(played.decisions)];
    let games: Vec<Counts> = base.iter().zip(arm).map(|(base, arm)| [counts(base), counts(arm)]).collect();
    let (rate, difference) = rates(games.iter().copied())?;
    let mut draws = Stream::sampling(seed, -1);
    let mut as_far = 1;
    for _ in 0..DRAWS {
        let exchanged =
            games.iter().map(|[base, arm]| if draws.uniform() < 0.5 { [*base, *arm] } else { [*arm, *base] });
        let far = rates(exchanged).is_none_or(|(_, other)| other.abs() >= difference.abs() - SAME);
        as_far += usize::from(far);
    }
    let mut differences = Vec::with_capacity(DRAWS);
    for _ in 0..DRAWS {
        let drawn = games.iter().map(|_| games[(draws.uniform() * games.len() as f64) as usize]);
        differences.extend(rates(drawn).map(|(_, difference)| difference));
    }
    differences.sort_by(f64::total_cmp);
    let at = |share: f64| differences[(share * (differences.len() - 1) as f64).round() as usize];
    Some(Compared {
        rate,
        difference,
        interval: (at(OUTSIDE / 2.0), at(1.0 - OUTSIDE / 2.0)),
        p_value: f64::from(as_far as u32) / (DRAWS + 1) as f64,
    })
}

/// The rate of the second arm and how much it is above that of the first.
fn rates(games: impl Iterator<Item = Counts>) -> Option<(f64, f64)> {
    let mut sums = [[0.0; 2]; 2];
    for game in games {
        for (sums, counts) in sums.iter_mut().zip(game) {
            sums[0] += counts[0];
            sums[1] += counts[1];
        }
    }
    let [[base, all], [arm, arm_all]] = sums;
    (all > 0.0 && arm_all > 0.0).then(|| (arm / arm_all, arm / arm_all - base / all))
}

/// Benjamini and Hochberg's q of each p: the least false discovery rate at which it is still a discovery.
pub fn q_values(p_values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p_values.len()).collect();
    order.sort_by(|a, b| p_values[*b].total_cmp(&p_values[*a]));
    let (mut q_values, mut least) = (vec![1.0; p_values.len()], 1.0_f64);
    for (rank, index) in order.iter().enumerate() {
        let place = (p_values.len() - rank) as f64;
        least = least.min(p_values[*index] * p_values.len() as f64 / place);
        q_values[*index] = least;
    }
    q_values
}
