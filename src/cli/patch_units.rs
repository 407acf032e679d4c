//! The places of a prompt that are patched.

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

/// The units of a pair's clean prompt: positions or spans that have partners in the other prompt. The last position is
/// the span `decision`.
pub(super) fn units(pair: &Pair, by: By) -> Result<Vec<Unit>, Error> {
    let last = pair.clean.tokens.len() - 1;
    let unit = |span: Option<String>, range: std::ops::Range<usize>| {
        let both = range.filter_map(|position| Some((position, pair.partners[position]?)));
        let (positions, partners): (Vec<usize>, Vec<usize>) = both.unzip();
        (!positions.is_empty()).then_some(Unit { span, positions, partners })
    };
    let units: Vec<Unit> = match by {
        By::Position => (0..=last).filter_map(|position| unit(None, position..position + 1)).collect(),
        By::Span => {
            let spans = pair.clean.spans.iter().filter_map(|span| {
                unit(Some(span.name.clone()), positions(&pair.clean.tokens, &span.bytes)?)
            });
            spans.chain(unit(Some(queries::DECISION.to_owned()), last..last + 1)).collect()
        }
    };
    if units.is_empty() {
        return Err(InterveneError::NoLastToken.into());
    }
    Ok(units)
}
