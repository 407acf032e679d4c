//! Activations with fewer bits of their mantissa, which compress to fewer bytes.

use rayon::prelude::*;

use super::{Batch, Lake};

/// Bits that the mantissa of an f32 has: nothing is rounded.
pub const ACTIVATION_BITS: i32 = 23;

impl Batch {
    /// Rounds the activations of all features to this many bits of their mantissa; ranks and sums of positions stay.
    ///
    /// Rounding twice is rounding once.
    pub fn round(&mut self, bits: i32) {
        if bits >= ACTIVATION_BITS {
            return;
        }
        let more = self.more.iter_mut().flat_map(|more| more.features.values_mut());
        let mut parts: Vec<&mut [f32]> =
            self.features.values_mut().chain(more).map(|rows| rows.activation.as_mut_slice()).collect();
        parts.par_iter_mut().for_each(|activations| {
            activations.iter_mut().for_each(|activation| *activation = rounded(*activation, bits));
        });
    }
}

impl Lake {
    /// The bits that the batch's run keeps of an activation.
    pub(super) fn activation_bits(&self, batch: &Batch) -> i32 {
        let known = || self.runs().iter().find(|run| batch.games.run.first() == Some(&run.run));
        batch.run.as_ref().or_else(known).map_or(ACTIVATION_BITS, |run| run.activation_bits)
    }
}

/// The number with so many bits of its mantissa, rounded to the nearest and halfway to the even one: by at most
/// 2^-(bits + 1) of itself. Never infinite or 0 if `number` is not; numbers below 2^-126 are as they were.
pub fn rounded(number: f32, bits: i32) -> f32 {
    let dropped = ACTIVATION_BITS - bits.clamp(1, ACTIVATION_BITS);
    if dropped == 0 || !number.is_normal() {
        return number;
    }
    let whole = number.to_bits();
    let kept = !((1_u32 << dropped) - 1);
    let below_half = (1_u32 << (dropped - 1)) - 1;
    let nearest = f32::from_bits((whole + below_half + (whole >> dropped & 1)) & kept);
    // What is above the largest of these numbers goes down to it.
    if nearest.is_finite() { nearest } else { f32::from_bits(whole & kept) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{ACTIVATION_BITS, rounded};

    #[test]
    fn halves_go_to_the_even_number() {
        for (number, expected) in [(1.25, 1.0), (1.75, 2.0), (1.25 + f32::EPSILON, 1.5), (1.5, 1.5)] {
            assert_eq!(rounded(number, 1).to_bits(), f32::to_bits(expected));
        }
        assert_eq!(rounded(f32::MAX, 7).to_bits(), 0x7f7f_0000);
        for (number, bits) in [(1e-40, 7), (std::f32::consts::PI, ACTIVATION_BITS)] {
            assert_eq!(rounded(number, bits).to_bits(), f32::to_bits(number));
        }
        assert!(rounded(f32::NAN, 7).is_nan() && rounded(f32::INFINITY, 7).is_infinite());
    }

    proptest! {
        #[test]
        fn a_rounded_number_is_the_nearest_one_with_its_bits(
            pattern in 1_u32..f32::INFINITY.to_bits(),
            other in 1_u32..f32::INFINITY.to_bits(),
            bits in 1..=ACTIVATION_BITS,
        ) {
            let (number, other) = (f32::from_bits(pattern), f32::from_bits(other));
            let near = rounded(number, bits);
            prop_assert!(near > 0.0 && near.is_finite());
            prop_assert_eq!(rounded(near, bits).to_bits(), near.to_bits());
            // The order of ranks stays.
            if number < other {
                prop_assert!(near <= rounded(other, bits));
            }
            let (near, number) = (f64::from(near), f64::from(number));
            prop_assert!((near - number).abs() <= number * 0.5_f64.powi(bits + 1));
            if number >= f64::from(f32::MIN_POSITIVE) {
                prop_assert_eq!((near as f32).to_bits() & ((1 << (ACTIVATION_BITS - bits)) - 1), 0);
            }
        }
    }
}
