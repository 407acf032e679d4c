//! A clean and a corrupted prompt, and which of their positions belong together.

use std::ops::Range;

use super::error::InterveneError;
use crate::game::{Layout, Span};
use crate::tokens::{Token, Tokenizer, positions};

/// Another text for a span.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Swap {
    /// The span's name; if several spans have it, all of them are meant.
    pub span: String,
    /// What stands there instead. Nothing takes the span out, and the line that would be left empty with it.
    pub text: String,
}

/// Two prompts, and which of their positions belong together.
#[derive(Clone, Debug)]
pub struct Pair {
    /// The prompt as it is.
    pub clean: Layout,
    /// The prompt with something changed.
    pub corrupted: Layout,
    /// For each position of the clean prompt the one of the corrupted prompt that it belongs with, if there is one.
    /// They ascend, and the two last positions belong together.
    pub partners: Vec<Option<usize>>,
}

/// The bytes of a place before and after a text was swapped.
type Moved = (Range<usize>, Range<usize>);

/// A span that differs: its positions in the clean and in the corrupted prompt, empty where it has none.
type Region = (Range<usize>, Range<usize>);

impl Pair {
    /// A prompt, and the same with other texts in some of its spans.
    ///
    /// Outside of these spans tokens belong together one by one. Inside, they are counted from the span's end, where the
    /// model knows all of it; what the longer one has more of at its beginning belongs with nothing.
    ///
    /// # Errors
    /// If there is no such span, two of them overlap, the text cannot be tokenized, or so that the tokens outside of the
    /// spans cannot be told to belong together.
    pub fn swapped(clean: Layout, swaps: &[Swap], tokenizer: &Tokenizer) -> Result<Self, InterveneError> {
        let places = places(&clean, swaps)?;
        let (text, moved) = rewritten(&clean.text, &places);
        let corrupted = Layout {
            tokens: tokens_like(&clean, &text, tokenizer)?,
            spans: clean.spans.iter().filter_map(|span| shifted(span, &moved)).collect::<Vec<_>>(),
            text,
            bos: clean.bos,
        };
        let regions = moved.iter().map(|(old, new)| region(&clean, &corrupted, old, new));
        let partners = partners(&clean.tokens, &corrupted.tokens, &regions.collect::<Vec<_>>())?;
        Ok(Self { clean, corrupted, partners })
    }

    /// Two prompts as they come. Where they have as many tokens, these belong together one by one; elsewhere by the spans
    /// of the same name whose texts differ, as in [`Pair::swapped`].
    ///
    /// # Errors
    /// If it cannot be told which tokens belong together.
    pub fn of(clean: Layout, corrupted: Layout) -> Result<Self, InterveneError> {
        let partners = if clean.tokens.len() == corrupted.tokens.len() {
            (0..clean.tokens.len()).map(Some).collect::<Vec<_>>()
        } else {
            let regions = differing(&clean, &corrupted);
            if regions.is_empty() {
                let [clean, corrupted] = [&clean, &corrupted].map(|layout| layout.tokens.len());
                return Err(InterveneError::NoCommonSpan { clean, corrupted });
            }
            partners(&clean.tokens, &corrupted.tokens, &regions)?
        };
        Ok(Self { clean, corrupted, partners })
    }

    /// Two prompts that need have nothing to do with each other: their tokens belong together from the end.
    #[must_use]
    pub fn from_the_end(clean: Layout, corrupted: Layout) -> Self {
        let (own, other) = (clean.tokens.len(), corrupted.tokens.len());
        let partners = (0..own).map(|position| (position + other).checked_sub(own)).collect();
        Self { clean, corrupted, partners }
    }

    /// The same pair with its prompts exchanged.
    #[must_use]
    pub fn reversed(self) -> Self {
        let mut partners = vec![None; self.corrupted.tokens.len()];
        for (position, partner) in self.partners.iter().enumerate() {
            if let Some(partner) = partner {
                partners[*partner] = Some(position);
            }
        }
        Self { clean: self.corrupted, corrupted: self.clean, partners }
    }
}

/// The bytes of each swap in the text, in order, with their new text.
fn places<'a>(layout: &Layout, swaps: &'a [Swap]) -> Result<Vec<(Range<usize>, &'a str)>, InterveneError> {
    let mut places = Vec::new();
    for Swap { span, text } in swaps {
        let found = layout.spans.iter().filter(|other| other.name == *span);
        let before = places.len();
        places.extend(found.map(|found| (found.bytes.clone(), text.as_str())));
        if places.len() == before {
            return Err(InterveneError::NoSuchSpan { name: span.clone(), known: names(layout) });
        }
    }
    places.sort_by_key(|(bytes, _)| bytes.start);
    match places.windows(2).find(|pair| pair[1].0.start < pair[0].0.end) {
        Some(pair) => Err(InterveneError::SwapsOverlap { byte: pair[1].0.start }),
        None => {
            Ok(places.into_iter().map(|(bytes, text)| (with_line(&layout.text, bytes, text), text)).collect())
        }
    }
}

/// The bytes that go with a span: its line too, if the span is all of it and nothing takes its place.
fn with_line(text: &str, bytes: Range<usize>, new: &str) -> Range<usize> {
    let begins = bytes.start == 0 || text[..bytes.start].ends_with('\n');
    let is_line = begins && text[bytes.end..].starts_with('\n');
    if new.is_empty() && is_line { bytes.start..bytes.end + 1 } else { bytes }
}

/// The names of all spans, for a message.
fn names(layout: &Layout) -> String {
    let names: Vec<&str> = layout.spans.iter().map(|span| span.name.as_str()).collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

/// The text with other texts at some places, and the bytes of each before and after.
fn rewritten(text: &str, places: &[(Range<usize>, &str)]) -> (String, Vec<Moved>) {
    let (mut out, mut moved, mut at) = (String::new(), Vec::new(), 0);
    for (bytes, new) in places {
        out.push_str(&text[at..bytes.start]);
        let start = out.len();
        out.push_str(new);
        moved.push((bytes.clone(), start..out.len()));
        at = bytes.end;
    }
    out.push_str(&text[at..]);
    (out, moved)
}

/// Where a span lies after texts were swapped; none of a span that was taken out, or of which parts were swapped with
/// what is around it.
fn shifted(span: &Span, moved: &[Moved]) -> Option<Span> {
    let Range { start, end } = span.bytes;
    if let Some((_, new)) = moved.iter().find(|(old, _)| *old == span.bytes) {
        return (!new.is_empty()).then(|| Span { name: span.name.clone(), bytes: new.clone() });
    }
    let is_cut = |(old, _): &Moved| {
        let apart = old.end <= start || end <= old.start;
        let inside = start <= old.start && old.end <= end;
        !apart && !inside
    };
    if moved.iter().any(is_cut) {
        return None;
    }
    let place = |byte: usize| {
        let before = moved.iter().rev().find(|(old, _)| old.end <= byte);
        before.map_or(byte, |(old, new)| byte - old.end + new.end)
    };
    Some(Span { name: span.name.clone(), bytes: place(start)..place(end) })
}

/// The tokens of a text, with the beginning-of-sequence token in front that `layout` has there.
fn tokens_like(layout: &Layout, text: &str, tokenizer: &Tokenizer) -> Result<Vec<Token>, InterveneError> {
    let added = layout.tokens.first().filter(|token| token.bytes.is_empty());
    let mut tokens: Vec<Token> = added.into_iter().cloned().collect();
    tokens.extend(tokenizer.encode_rendered(text)?);
    Ok(tokens)
}

/// The tokens of a place before and after.
fn region(clean: &Layout, corrupted: &Layout, old: &Range<usize>, new: &Range<usize>) -> Region {
    (tokens_of(&clean.tokens, old), tokens_of(&corrupted.tokens, new))
}

/// The positions of the tokens that share a byte with `bytes`; of nothing an empty range after the tokens before it.
fn tokens_of(tokens: &[Token], bytes: &Range<usize>) -> Range<usize> {
    positions(tokens, bytes).unwrap_or_else(|| {
        let before = tokens.partition_point(|token| token.bytes.end <= bytes.start);
        before..before
    })
}

/// The spans of the same name whose texts differ, without those that lie in others.
fn differing(clean: &Layout, corrupted: &Layout) -> Vec<Region> {
    let mut regions: Vec<Region> = Vec::new();
    for span in &clean.spans {
        let Some(other) = corrupted.spans.iter().find(|other| other.name == span.name) else { continue };
        if clean.text[span.bytes.clone()] != corrupted.text[other.bytes.clone()] {
            regions.push(region(clean, corrupted, &span.bytes, &other.bytes));
        }
    }
    regions.sort_by_key(|(clean, _)| (clean.start, std::cmp::Reverse(clean.end)));
    let mut end = 0;
    regions.retain(|(clean, _)| {
        let is_new = clean.start >= end;
        end = end.max(clean.end);
        is_new
    });
    regions
}

/// Which positions belong together, where the tokens of `regions` differ and all others must be as many.
fn partners(
    clean: &[Token],
    corrupted: &[Token],
    regions: &[Region],
) -> Result<Vec<Option<usize>>, InterveneError> {
    let mut partners = vec![None; clean.len()];
    let (mut at, mut other) = (0, 0);
    let end = (clean.len()..clean.len(), corrupted.len()..corrupted.len());
    for (own, others) in regions.iter().chain([&end]) {
        let (found, expected) = (others.start.checked_sub(other), own.start.checked_sub(at));
        let (Some(found), Some(expected)) = (found, expected) else {
            return Err(InterveneError::RegionsOverlap { position: own.start });
        };
        if found != expected {
            return Err(InterveneError::Unaligned { from: at, clean: expected, corrupted: found });
        }
        for step in 0..expected {
            partners[at + step] = Some(other + step);
        }
        for back in 1..=own.len().min(others.len()) {
            partners[own.end - back] = Some(others.end - back);
        }
        (at, other) = (own.end, others.end);
    }
    match partners.last() {
        Some(Some(last)) if last + 1 == corrupted.len() => Ok(partners),
        _ => Err(InterveneError::NoLastToken),
    }
}
