//! Bytes made wrong: numbers that are too large, names that lead elsewhere, parts that are missing, doubled or turned over.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Map, Value, json};

use super::cells;

/// Where most of a file's structure lies: so many bytes at its beginning and at its end.
const ENDS: usize = 512;

/// Numbers at which something may overflow.
const NUMBERS: [u64; 16] = [
    0,
    1,
    2,
    127,
    255,
    65_535,
    65_536,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    0x1_0000_0000,
    0xff_ffff_ffff,
    0x3fff_ffff_ffff_ffff,
    0x7fff_ffff_ffff_ffff,
    0x8000_0000_0000_0000,
    u64::MAX,
];

/// Makes bytes wrong, the same way for the same seed.
pub(super) struct Mutator {
    random: ChaCha8Rng,
    /// Paths to what must not be opened.
    outside: Vec<String>,
}

impl Mutator {
    pub(super) fn new(seed: u64, outside: Vec<String>) -> Self {
        Self { random: ChaCha8Rng::seed_from_u64(seed), outside }
    }

    /// A number below `end`.
    pub(super) fn below(&mut self, end: usize) -> usize {
        self.random.random_range(0..end.max(1))
    }

    /// The bytes with something wrong.
    pub(super) fn mutate(&mut self, bytes: &[u8]) -> Vec<u8> {
        let structured = if self.below(10) < 6 { self.structured(bytes) } else { None };
        structured.unwrap_or_else(|| {
            let mut bytes = bytes.to_vec();
            for _ in 0..=self.below(4) {
                self.raw(&mut bytes);
            }
            bytes
        })
    }

    /// Changes a value of JSON, of a line of JSON, of the header of safetensors, or of a Parquet file.
    fn structured(&mut self, bytes: &[u8]) -> Option<Vec<u8>> {
        if let Some(changed) = cells::change(bytes, self) {
            return Some(changed);
        }
        if let Ok(mut value) = serde_json::from_slice::<Value>(bytes) {
            self.change(&mut value);
            return Some(value.to_string().into_bytes());
        }
        if let Some((length, rest)) = bytes.split_first_chunk()
            && let Some(header) = rest.get(..u64::from_le_bytes(*length) as usize)
            && let Ok(mut value) = serde_json::from_slice::<Value>(header)
        {
            self.change(&mut value);
            let text = value.to_string();
            let data = &rest[header.len()..];
            return Some([&(text.len() as u64).to_le_bytes(), text.as_bytes(), data].concat());
        }
        let mut lines: Vec<&[u8]> = bytes.split(|byte| *byte == b'\n').collect();
        let line = self.below(lines.len());
        let mut value = serde_json::from_slice::<Value>(lines[line]).ok()?;
        self.change(&mut value);
        let text = value.to_string();
        lines[line] = text.as_bytes();
        Some(lines.join(&b'\n'))
    }

    fn change(&mut self, value: &mut Value) {
        for _ in 0..=self.below(3) {
            let at = self.below(count(value));
            let wrong = self.wrong();
            let Some(node) = node(value, &mut { at }) else { continue };
            match (self.random.random_range(0..8), &mut *node) {
                (0, Value::Object(fields)) if !fields.is_empty() => {
                    let name = fields.keys().nth(self.random.random_range(0..fields.len())).cloned();
                    name.map(|name| fields.remove(&name));
                }
                (0, Value::Array(items)) if !items.is_empty() => {
                    items.remove(self.random.random_range(0..items.len()));
                }
                (1, Value::Object(fields)) => {
                    fields.insert("unheard-of".to_owned(), wrong);
                }
                (1, Value::Array(items)) => items.push(items.last().cloned().unwrap_or(wrong)),
                (2, Value::Number(number)) => {
                    let shifted = number.as_i64().unwrap_or(0).wrapping_add(self.random.random_range(-2..3));
                    *node = json!(shifted);
                }
                _ => *node = wrong,
            }
        }
    }

    /// A value that nobody expects.
    fn wrong(&mut self) -> Value {
        let number = NUMBERS[self.below(NUMBERS.len())];
        match self.below(14) {
            0..=2 => json!(number),
            3 => json!(number.cast_signed()),
            4 => json!([1e308, -1e308, 0.5, -0.0, 5e-324][self.below(5)]),
            5 => Value::Null,
            6 => json!(number.is_multiple_of(2)),
            7 => json!(["", "\u{0}", "é\u{202e}日本", ".", "..", "NaN"][self.below(6)]),
            8 | 9 => {
                let at = self.below(self.outside.len());
                json!(self.outside[at])
            }
            10 => json!("long".repeat(25_000)),
            11 => (0..self.below(200)).fold(json!(1), |inner, _| json!([inner])),
            12 => Value::Object(Map::new()),
            _ => json!([number, number, number]),
        }
    }

    /// Changes some bytes.
    fn raw(&mut self, bytes: &mut Vec<u8>) {
        let at = self.place(bytes.len());
        let number = NUMBERS[self.below(NUMBERS.len())].to_le_bytes();
        match self.below(9) {
            0 if !bytes.is_empty() => bytes[at] ^= 1 << self.below(8),
            1 if !bytes.is_empty() => bytes[at] = number[0],
            2 => bytes.truncate(at),
            3 => {
                let end = (at + self.below(64)).min(bytes.len());
                bytes.drain(at..end);
            }
            4 => {
                let end = (at + self.below(64)).min(bytes.len());
                let again = bytes[at..end].to_vec();
                bytes.splice(at..at, again);
            }
            5 => {
                let some: Vec<u8> = (0..self.below(16)).map(|_| self.random.random()).collect();
                bytes.splice(at..at, some);
            }
            width => {
                let width = if width == 6 { 4 } else { 8 };
                let end = (at + width).min(bytes.len());
                bytes.splice(at..end, number[..width].iter().copied());
            }
        }
    }

    /// Somewhere in so many bytes; mostly near an end.
    fn place(&mut self, length: usize) -> usize {
        match self.below(5) {
            0 | 1 => self.below(length.min(ENDS)),
            2 | 3 => length.saturating_sub(1 + self.below(length.min(ENDS))),
            _ => self.below(length),
        }
    }
}

/// Values in a value, itself included.
fn count(value: &Value) -> usize {
    1 + match value {
        Value::Array(items) => items.iter().map(count).sum(),
        Value::Object(fields) => fields.values().map(count).sum(),
        _ => 0,
    }
}

/// The value with the number `at`, counted from the outermost on.
fn node<'a>(value: &'a mut Value, at: &mut usize) -> Option<&'a mut Value> {
    if *at == 0 {
        return Some(value);
    }
    *at -= 1;
    match value {
        Value::Array(items) => items.iter_mut().find_map(|item| node(item, at)),
        Value::Object(fields) => fields.iter_mut().find_map(|(_, item)| node(item, at)),
        _ => None,
    }
}
