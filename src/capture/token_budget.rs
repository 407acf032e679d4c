//! Cuts work into passes that hold a given number of tokens at most.

/// Consecutive groups of `items` whose token counts sum to `budget` at most. An item above the budget is
/// a group of its own.
pub(crate) fn groups<T>(items: &[T], tokens: impl Fn(&T) -> usize, budget: usize) -> Vec<&[T]> {
    let mut groups = Vec::new();
    let (mut start, mut held) = (0, 0);
    for (index, item) in items.iter().enumerate() {
        let count = tokens(item);
        if index > start && held + count > budget {
            groups.push(&items[start..index]);
            (start, held) = (index, 0);
        }
        held += count;
    }
    if start < items.len() {
        groups.push(&items[start..]);
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::groups;

    #[test]
    fn no_group_exceeds_the_budget_unless_one_item_does() {
        let items = [3, 4, 5, 20, 1, 1];
        let groups = groups(&items, |item| *item, 8);
        assert_eq!(groups, [&[3, 4][..], &[5], &[20], &[1, 1]]);
    }
}
