//! The names nearest to one that does not exist, for errors that help.

/// How many names are offered.
const OFFERED: usize = 3;

/// The names most like `name`, the most alike first.
pub(crate) fn nearest<S: AsRef<str>>(name: &str, known: impl IntoIterator<Item = S>) -> Vec<String> {
    let mut known = known
        .into_iter()
        .map(|word| (strsim::jaro_winkler(&name.to_lowercase(), &word.as_ref().to_lowercase()), word))
        .collect::<Vec<_>>();
    known.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.as_ref().cmp(b.1.as_ref())));
    known.into_iter().take(OFFERED).map(|(_, word)| word.as_ref().to_owned()).collect::<Vec<_>>()
}

/// The numbers closest to `number`, ascending.
pub(crate) fn closest<N: Into<i64> + Copy + Ord>(number: N, known: impl IntoIterator<Item = N>) -> Vec<N> {
    let mut known = known.into_iter().collect::<Vec<_>>();
    let distance = |other: &N| i128::from((*other).into()).abs_diff(i128::from(number.into()));
    known.sort_by_key(|other| (distance(other), *other));
    known.truncate(OFFERED);
    known.sort_unstable();
    known
}
