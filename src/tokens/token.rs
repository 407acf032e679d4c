//! A token and the bytes that it stands for.

use std::ops::Range;

/// One token of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// Index into the vocabulary.
    pub id: u32,
    /// What the token alone decodes to; bytes that are no character of their own become U+FFFD.
    pub text: String,
    /// The bytes of the text that it stands for. Tokens that are cut from one character share its bytes, and
    /// a token added in front of the text has none: `0..0`.
    pub bytes: Range<usize>,
    /// Whether it is a control token of the model, such as a chat marker.
    pub is_special: bool,
}

/// The positions of the `tokens` that share a byte with the span `bytes`: from the first that does to after
/// the last. `None` if no token does, as for an empty span.
#[must_use]
pub fn positions(tokens: &[Token], bytes: &Range<usize>) -> Option<Range<usize>> {
    let shares = |token: &Token| token.bytes.start < bytes.end && bytes.start < token.bytes.end;
    if bytes.is_empty() {
        return None;
    }
    let first = tokens.iter().position(shares)?;
    let last = tokens.iter().rposition(shares)?;
    Some(first..last + 1)
}
