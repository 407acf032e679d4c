//! Randomness that depends on the run's seed and the game alone, whatever was played before.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// A stream of random numbers: `ChaCha8`, with the seed as its key (little-endian, then zeros), and the
/// game and purpose as its stream number.
#[derive(Clone, Debug)]
pub struct Stream(ChaCha8Rng);

impl Stream {
    /// What the slot machine of `game` draws from: stream `2 * game`.
    #[must_use]
    pub fn spins(seed: u64, game: i64) -> Self {
        Self::new(seed, game.cast_unsigned().wrapping_mul(2))
    }

    /// What the model's decisions and answers in `game` are drawn from: stream `2 * game + 1`.
    #[must_use]
    pub fn sampling(seed: u64, game: i64) -> Self {
        Self::new(seed, game.cast_unsigned().wrapping_mul(2).wrapping_add(1))
    }

    fn new(seed: u64, stream: u64) -> Self {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&seed.to_le_bytes());
        let mut rng = ChaCha8Rng::from_seed(key);
        rng.set_stream(stream);
        Self(rng)
    }

    /// The next number, evenly spread over the multiples of 2^-53 in `[0, 1)`.
    pub fn uniform(&mut self) -> f64 {
        (self.0.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// An index drawn in proportion to `weights`; `None` if they sum to nothing, or not to a number.
    /// Always draws one number.
    pub fn pick(&mut self, weights: &[f64]) -> Option<usize> {
        let total: f64 = weights.iter().sum();
        let target = self.uniform() * total;
        if !total.is_finite() || total <= 0.0 {
            return None;
        }
        let mut sum = 0.0;
        let found = weights.iter().position(|weight| {
            sum += weight;
            target < sum
        });
        // Rounding may leave the target a hair above the last sum.
        found.or_else(|| weights.iter().rposition(|weight| *weight > 0.0))
    }
}
