//! Keys of games: stable numbers that JSON and doubles keep, below 2^53.
//!
//! Games of the slot machine have keys below 2^52, prompts from there on, so that the two never meet.

use sha2::{Digest, Sha256};

use super::error::GameError;

/// How many games one seed has keys for.
const GAMES_OF_A_SEED: u64 = 1_000_000;

/// The first key of prompts.
const FIRST_PROMPT: u64 = 1 << 52;

/// The key of a slot machine's game: `seed * 1_000_000 + index`.
///
/// # Errors
/// If `index` is not below 1,000,000, or the key not below 2^52 (seeds up to 4,503,599,626 are).
pub fn slot_machine_key(seed: u64, index: u64) -> Result<i64, GameError> {
    let error = |problem| GameError::Key { seed, index, problem };
    if index >= GAMES_OF_A_SEED {
        return Err(error("a seed has 1,000,000 games"));
    }
    seed.checked_mul(GAMES_OF_A_SEED)
        .and_then(|first| first.checked_add(index))
        .filter(|key| *key < FIRST_PROMPT)
        .map(u64::cast_signed)
        .ok_or_else(|| error("the seed may be 4503599626 at most"))
}

/// The key of a game of a prompts file: 2^52 plus the first 52 bits of the SHA-256 of its id.
#[must_use]
pub fn prompt_key(id: &str) -> i64 {
    let hash: [u8; 32] = Sha256::digest(id).into();
    let [a, b, c, d, e, f, g, h, ..] = hash;
    let first = u64::from_be_bytes([a, b, c, d, e, f, g, h]);
    (FIRST_PROMPT + (first >> 12)).cast_signed()
}
