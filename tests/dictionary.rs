//! Tests of the dictionary.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod bad_input;
mod formats;
mod gate;
mod goldens;
mod raw;
mod sparse;
mod threshold;
mod train;
