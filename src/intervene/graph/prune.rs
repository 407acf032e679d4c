//! The smallest sets that hold most of a sum.

/// The places of the largest sizes that together hold `share` of `total`, `most` at most; the largest first. Sizes
/// that are the same come in the order of their places.
pub(super) fn holding(sizes: &[f64], total: f64, share: f64, most: usize) -> Vec<usize> {
    let mut order = (0..sizes.len()).filter(|place| sizes[*place] > 0.0).collect::<Vec<_>>();
    order.sort_by(|a, b| sizes[*b].total_cmp(&sizes[*a]).then(a.cmp(b)));
    let mut held = 0.0;
    let enough = order.iter().position(|place| {
        held += sizes[*place];
        held >= share * total
    });
    order.truncate(enough.map_or(order.len(), |last| last + 1).min(most));
    order
}

#[cfg(test)]
mod tests {
    use super::holding;

    #[test]
    fn the_fewest_that_hold_enough() {
        let sizes = [0.1, 0.4, 0.0, 0.2, 0.3];
        assert_eq!(holding(&sizes, 1.0, 0.7, 9), [1, 4]);
        assert_eq!(holding(&sizes, 1.0, 0.71, 9), [1, 4, 3]);
        assert_eq!(holding(&sizes, 1.0, 0.71, 2), [1, 4], "never more than the most");
        assert_eq!(holding(&sizes, 1.0, 1.5, 9), [1, 4, 3, 0], "all that is not nothing");
        assert_eq!(holding(&sizes, 1.0, 0.0, 9), [1], "one at least");
        assert!(holding(&[0.0], 0.0, 0.5, 9).is_empty());
    }
}
