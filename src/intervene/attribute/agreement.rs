//! How well estimates agree with exact effects.

/// What f32 leaves of a difference of two metrics: smaller effects have no sign.
pub const RESOLUTION: f64 = 1e-5;

/// How well a score agrees with exact effects of the same nodes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Agreement {
    /// How many nodes were compared.
    pub nodes: usize,
    /// The correlation; NaN where either side is the same for all nodes.
    pub pearson: f64,
    /// The correlation of the ranks; ties share their mean rank.
    pub spearman: f64,
    /// Of the nodes whose effect is above [`RESOLUTION`], the share whose sign the estimate has; NaN if there are
    /// none, and `None` of a score without a sign.
    pub signs: Option<f64>,
    /// Of the k nodes with the largest effects, the share that is among the k with the largest scores. Nodes of the
    /// same score share the places that are left.
    pub recall: f64,
    /// The k of the recall: the one asked for, or the number of nodes.
    pub k: usize,
}

/// What a score claims.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// The effect itself, with its sign.
    Effect,
    /// Its size alone.
    Size,
}

impl Agreement {
    /// Compares `scores` with the `exact` effects of the same nodes. Scores that claim a size are compared with the
    /// sizes of the effects.
    pub fn of(scores: &[f64], exact: &[f64], claim: Claim, k: usize) -> Self {
        let sizes = |x: &[f64]| x.iter().map(|x| x.abs()).collect::<Vec<f64>>();
        let judge = if claim == Claim::Size { sizes(exact) } else { exact.to_vec() };
        let k = k.min(exact.len());
        Self {
            nodes: exact.len(),
            pearson: correlation(scores, &judge),
            spearman: correlation(&ranks(scores), &ranks(&judge)),
            signs: (claim == Claim::Effect).then(|| same_signs(scores, exact)),
            recall: recall(&sizes(scores), &sizes(exact), k),
            k,
        }
    }
}

/// Pearson's correlation.
fn correlation(x: &[f64], y: &[f64]) -> f64 {
    let n = x.len() as f64;
    let [mean_x, mean_y] = [x, y].map(|x| x.iter().sum::<f64>() / n);
    let (mut xy, mut xx, mut yy) = (0.0, 0.0, 0.0);
    for (x, y) in x.iter().zip(y) {
        let (x, y) = (x - mean_x, y - mean_y);
        (xy, xx, yy) = (xy + x * y, xx + x * x, yy + y * y);
    }
    if xx == 0.0 || yy == 0.0 { f64::NAN } else { xy / (xx * yy).sqrt() }
}

/// The rank of each number, from 1; the same numbers share their mean rank.
fn ranks(x: &[f64]) -> Vec<f64> {
    let mut order = (0..x.len()).collect::<Vec<_>>();
    order.sort_by(|a, b| x[*a].total_cmp(&x[*b]));
    let mut ranks = vec![0.0; x.len()];
    let mut before = 0;
    for same in order.chunk_by(|a, b| x[*a] - x[*b] == 0.0) {
        let rank = before as f64 + f64::midpoint(same.len() as f64, 1.0);
        for index in same {
            ranks[*index] = rank;
        }
        before += same.len();
    }
    ranks
}

/// The share of the nodes with an effect above the resolution whose score has the same sign.
fn same_signs(scores: &[f64], exact: &[f64]) -> f64 {
    let with_effect = scores.iter().zip(exact).filter(|(_, exact)| exact.abs() > RESOLUTION);
    let (all, same) = with_effect.fold((0_usize, 0_usize), |(all, same), (score, exact)| {
        (all + 1, same + usize::from(score * exact > 0.0))
    });
    if all == 0 { f64::NAN } else { same as f64 / all as f64 }
}

/// Of the `k` largest `sizes`, the share among the `k` largest `scores`. Where the last places are shared by more
/// scores than there are places, each of them counts as in it by the share of places.
fn recall(scores: &[f64], sizes: &[f64], k: usize) -> f64 {
    if k == 0 {
        return f64::NAN;
    }
    let mut order = (0..sizes.len()).collect::<Vec<_>>();
    order.sort_by(|a, b| sizes[*b].total_cmp(&sizes[*a]).then(a.cmp(b)));
    let mut sorted = scores.to_vec();
    sorted.sort_by(|a, b| b.total_cmp(a));
    let least = sorted[k - 1];
    let above = scores.iter().filter(|score| **score > least).count();
    let tied = scores.iter().filter(|score| **score - least == 0.0).count();
    let share = (k - above) as f64 / tied as f64;
    let found = order[..k].iter().map(|node| match scores[*node].total_cmp(&least) {
        std::cmp::Ordering::Greater => 1.0,
        std::cmp::Ordering::Equal => share,
        std::cmp::Ordering::Less => 0.0,
    });
    found.sum::<f64>() / k as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn correlations_are_those_of_the_book() {
        // Anscombe's first set: 0.81642 by Pearson, 0.81818 by Spearman (scipy.stats 1.14).
        let x = [10.0, 8.0, 13.0, 9.0, 11.0, 14.0, 6.0, 4.0, 12.0, 7.0, 5.0];
        let y = [8.04, 6.95, 7.58, 8.81, 8.33, 9.96, 7.24, 4.26, 10.84, 4.82, 5.68];
        let found = Agreement::of(&x, &y, Claim::Effect, 3);
        assert!((found.pearson - 0.816_42).abs() < 1e-5 && (found.spearman - 0.818_18).abs() < 1e-5);
        // The largest three of y are at 12, 14 and 9; of x at 14, 13 and 12.
        assert!((found.recall - 2.0 / 3.0).abs() < 1e-12);
        assert_eq!((found.signs, found.nodes, found.k), (Some(1.0), 11, 3));
    }

    #[test]
    fn ties_share() {
        assert_eq!(ranks(&[3.0, 1.0, 3.0, 2.0]), [3.5, 1.0, 3.5, 2.0]);
        // All scores are the same: chance alone finds k of n.
        let found = Agreement::of(&[0.0; 4], &[1.0, -2.0, 3.0, 0.0], Claim::Size, 2);
        assert!((found.recall - 0.5).abs() < 1e-12 && found.pearson.is_nan() && found.signs.is_none());
    }

    #[test]
    fn signs_count_where_there_is_an_effect() {
        let found = Agreement::of(&[1.0, -1.0, 1.0, 5.0], &[2.0, 2.0, 3.0, 0.0], Claim::Effect, 9);
        assert_eq!((found.signs, found.k), (Some(2.0 / 3.0), 4));
        assert!((found.recall - 1.0).abs() < 1e-12, "all of them are among all of them");
    }
}
