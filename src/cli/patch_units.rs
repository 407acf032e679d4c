//! The places of a prompt that are patched.

use std::ops::Range;

use crate::error::Error;
use crate::intervene::{InterveneError, Pair, Unit};
use crate::tokens::positions;

/// What is patched at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum By {
    /// One position.
    Position,
    /// All positions of a span.
    Span,
}

/// The units of a pair's clean prompt: positions or spans that have partners in the other prompt, in the spans that are
/// named, or in all of it if none is. The last position is the span `decision`.
pub(super) fn units(pair: &Pair, by: By, named: &[String]) -> Result<Vec<Unit>, Error> {
    let last = pair.clean.tokens.len() - 1;
    let spans = spans(pair);
    if let Some(name) = named.iter().find(|name| spans.iter().all(|(span, _)| span != *name)) {
        let known = spans.into_iter().map(|(span, _)| span).collect::<Vec<_>>().join(", ");
        return Err(InterveneError::NoSuchSpan { name: name.clone(), known }.into());
    }
    let is_asked = |name: &String| named.is_empty() || named.contains(name);
    let spans: Vec<(String, Range<usize>)> = spans.into_iter().filter(|(name, _)| is_asked(name)).collect();
    let unit = |span: Option<String>, range: Range<usize>| {
        let both = range.filter_map(|position| Some((position, pair.partners[position]?)));
        let (positions, partners): (Vec<usize>, Vec<usize>) = both.unzip();
        (!positions.is_empty()).then_some(Unit { span, positions, partners })
    };
    let units: Vec<Unit> = match by {
        By::Position => (0..=last)
            .filter(|position| named.is_empty() || spans.iter().any(|(_, range)| range.contains(position)))
            .filter_map(|position| unit(None, position..position + 1))
            .collect(),
        By::Span => spans.into_iter().filter_map(|(name, range)| unit(Some(name), range)).collect(),
    };
    if units.is_empty() {
        return Err(InterveneError::NoLastToken.into());
    }
    Ok(units)
}

/// The spans of the clean prompt with their positions, and the decision.
fn spans(pair: &Pair) -> Vec<(String, Range<usize>)> {
    let last = pair.clean.tokens.len() - 1;
    let spans = pair.clean.spans.iter();
    let placed =
        spans.filter_map(|span| Some((span.name.clone(), positions(&pair.clean.tokens, &span.bytes)?)));
    placed.chain([(queries::DECISION.to_owned(), last..last + 1)]).collect()
}
