//! The bytes behind a token, and texts put together from such bytes.

use std::collections::HashMap;
use std::ops::Range;

use super::error::TokenizerError;

/// How a vocabulary writes bytes.
#[derive(Clone, Debug)]
pub(super) enum Alphabet {
    /// Every byte is a printable character of GPT-2's table.
    ByteLevel(HashMap<char, u8>),
    /// Characters as they are, `▁` for a space, and `<0x0A>` for bytes that are none.
    SentencePiece,
}

impl Alphabet {
    /// Recognizes the alphabet from the decoder of a `tokenizers` tokenizer.
    pub(super) fn of(decoder: Option<&tokenizers::DecoderWrapper>) -> Result<Self, TokenizerError> {
        let json = decoder.and_then(|decoder| serde_json::to_string(decoder).ok()).unwrap_or_default();
        if json.contains(r#""ByteLevel""#) {
            Ok(Self::byte_level())
        } else if json.contains(r#""ByteFallback""#) || json.contains(r#""Metaspace""#) {
            Ok(Self::SentencePiece)
        } else {
            Err(TokenizerError::UnknownDecoder)
        }
    }

    /// GPT-2's table: printable Latin-1 stands for itself, the other bytes for U+0100 and on, in order.
    pub(super) fn byte_level() -> Self {
        let mut next = 0x100_u32;
        let table = (0..=u8::MAX).map(|byte| {
            let character = if matches!(byte, b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF) {
                char::from(byte)
            } else {
                next += 1;
                char::from_u32(next - 1).unwrap_or(char::REPLACEMENT_CHARACTER)
            };
            (character, byte)
        });
        Self::ByteLevel(table.collect())
    }

    /// The bytes that the vocabulary entry `piece` stands for.
    pub(super) fn bytes(&self, piece: &str) -> Vec<u8> {
        match self {
            // An entry outside the table stands for itself, as the byte-level decoder has it.
            Self::ByteLevel(table) => piece
                .chars()
                .map(|character| table.get(&character).copied())
                .collect::<Option<Vec<u8>>>()
                .unwrap_or_else(|| piece.as_bytes().to_vec()),
            Self::SentencePiece => piece
                .strip_prefix("<0x")
                .and_then(|rest| rest.strip_suffix('>'))
                .filter(|digits| digits.len() == 2)
                .and_then(|digits| u8::from_str_radix(digits, 16).ok())
                .map_or_else(|| piece.replace('▁', " ").into_bytes(), |byte| vec![byte]),
        }
    }
}

/// The text of the pieces laid end to end, and the bytes of that text each piece stands for. Bytes that form
/// no character become U+FFFD; pieces that share a character share its bytes.
pub(super) fn join(pieces: &[Vec<u8>]) -> (String, Vec<Range<usize>>) {
    let raw = pieces.concat();
    let mut text = String::with_capacity(raw.len());
    // For every raw byte, the bytes of `text` that show its character.
    let mut shown: Vec<Range<usize>> = Vec::with_capacity(raw.len());
    let mut show = |character: char, raw_bytes: usize, text: &mut String| {
        let start = text.len();
        text.push(character);
        shown.extend(std::iter::repeat_n(start..text.len(), raw_bytes));
    };
    for chunk in raw.utf8_chunks() {
        for character in chunk.valid().chars() {
            show(character, character.len_utf8(), &mut text);
        }
        if !chunk.invalid().is_empty() {
            show(char::REPLACEMENT_CHARACTER, chunk.invalid().len(), &mut text);
        }
    }
    let mut at = 0;
    let ranges = pieces.iter().map(|piece| {
        let raw = at..at + piece.len();
        at = raw.end;
        match shown.get(raw.clone()) {
            Some([only]) => only.clone(),
            Some([first, .., last]) => first.start..last.end,
            // An empty piece stands for nothing, at the place that it has reached.
            _ => {
                let start = shown.get(raw.start).map_or(text.len(), |range| range.start);
                start..start
            }
        }
    });
    let ranges = ranges.collect();
    (text, ranges)
}
