//! Numbers for tests, and what they are held to.

use half::bf16;

use crate::{Buffer, Device, Kind};

/// bfloat16 keeps 8 bits, so that one rounding moves a number by 2^-8 of itself at most.
pub(super) const ONE_ROUNDING: f32 = 1.0 / 256.0;

pub(super) fn device(head: usize) -> Device {
    Device::open(0, Kind::Bf16, head).unwrap()
}

/// Numbers between -1 and 1 that bfloat16 holds, the same for the same seed.
pub(super) fn numbers(count: usize, seed: u64) -> Vec<bf16> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bf16::from_f32((state >> 40) as f32 / (1 << 23) as f32 - 1.0)
    };
    std::iter::repeat_with(next).take(count).collect()
}

pub(super) fn floats(numbers: &[bf16]) -> Vec<f32> {
    numbers.iter().map(|number| number.to_f32()).collect()
}

pub(super) fn read(device: &Device, buffer: &Buffer, count: usize) -> Vec<f32> {
    floats(&buffer.read::<bf16>(device, count).unwrap())
}

/// Every number agrees to `share` of itself and of the typical size.
pub(super) fn agree(found: &[f32], expected: &[f32], share: f32) {
    let size = (expected.iter().map(|x| x * x).sum::<f32>() / expected.len() as f32).sqrt();
    agree_to(found, expected, (share, size));
}

/// Every number agrees to `share` of itself and of `size`, that of the numbers that it is a sum of.
pub(super) fn agree_to(found: &[f32], expected: &[f32], (share, size): (f32, f32)) {
    assert_eq!(found.len(), expected.len());
    for (place, (a, b)) in found.iter().zip(expected).enumerate() {
        assert!((a - b).abs() <= share * (b.abs() + size), "{place}: {a} and not {b}, of size {size}");
    }
}
