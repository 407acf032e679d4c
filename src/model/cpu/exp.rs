//! The exponential as plain arithmetic, so that the compiler can do several at once.

/// `e^x` to within 2 units in the last place; 0 below -87.3 and never infinite.
///
/// `x = n ln 2 + r` with `|r| <= ln 2 / 2`; `e^r` by a polynomial (the one of Cephes' `expf`), and `2^n` by
/// putting `n` in the exponent's bits.
#[inline]
pub(super) fn exp(x: f32) -> f32 {
    // ln 2 in two parts, the first exact in few bits, so that n ln 2 is subtracted without loss.
    const LN_2_HIGH: f32 = 0.693_359_4;
    const LN_2_LOW: f32 = -2.121_944_4e-4;
    // Adding 1.5 * 2^23 rounds to a whole number and leaves it in the low bits.
    const ROUND: f32 = 12_582_912.0;

    let clamped = x.clamp(-87.3, 88.3);
    let shifted = clamped * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = clamped - n * LN_2_HIGH - n * LN_2_LOW;
    let mut p = 1.987_569_1e-4;
    p = p * r + 1.398_199_9e-3;
    p = p * r + 8.333_452e-3;
    p = p * r + 4.166_579_6e-2;
    p = p * r + 0.166_666_65;
    p = p * r + 0.5;
    p = p * r * r + r + 1.0;
    let power = f32::from_bits((shifted.to_bits() << 23).wrapping_add(127 << 23));
    if x < -87.3 { 0.0 } else { p * power }
}
