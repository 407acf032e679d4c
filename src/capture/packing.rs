//! Whether a step in a packed pass is what it is alone.

use super::CaptureError;
use super::engine::{Engine, Observed};
use super::prepare::Prepared;

/// Steps that are looked at.
const SAMPLE: usize = 4;

/// The difference of two logits stands for all of them, whichever they are.
const ANY_TOKENS: [u32; 2] = [0, 1];

/// How much a number of a step may change by what it is packed with, as a share of the numbers of its kind. On the CPU
/// sums are the same in any batch but for their last bits; on a GPU products are cut into sums by the size of the batch,
/// and in bf16, which keeps eight bits, that moves a number by about one rounding (2^-8) and a few of them add up.
pub const PACKING_AGREES: f32 = 2e-2;

/// The difference of two logits may be near zero: a share of it is one of itself and a logit of this size.
const A_LOGIT: f64 = 1.0;

/// The largest difference between what is kept of some of `steps` when they run in one pass and when each runs alone, as
/// a share: the root mean square of the differences of a kind of number by that of the numbers. A single step is packed
/// with itself.
///
/// # Errors
/// If the device fails.
pub fn packing_difference(engine: &dyn Engine, steps: &[Prepared]) -> Result<f32, CaptureError> {
    let sample = match steps {
        [] => return Ok(0.0),
        [one] => vec![one; 2],
        more => more.iter().take(SAMPLE).collect(),
    };
    let see = |steps: &[&Prepared]| engine.start(steps, &vec![ANY_TOKENS; steps.len()], false)?();
    let together = kinds(&see(&sample)?);
    let mut alone = vec![Vec::new(); together.len()];
    for step in sample {
        for (all, of_step) in alone.iter_mut().zip(kinds(&see(&[step])?)) {
            all.extend(of_step);
        }
    }
    let pairs = together.iter().zip(&alone).enumerate();
    let differences = pairs
        .map(|(kind, (one, other))| difference((one, other), if kind == LOGITS { A_LOGIT } else { 0.0 }));
    Ok(differences.fold(0.0, f32::max))
}

/// The kind that is differences of logits.
const LOGITS: usize = 5;

/// The numbers of each kind, step by step.
fn kinds(seen: &Observed<'_>) -> Vec<Vec<f32>> {
    let mut kinds = vec![Vec::new(); LOGITS + 1];
    for captured in &seen.captured {
        for rows in captured.positions.values() {
            kinds[0].extend(&rows.residual_norm);
            kinds[1].extend(&rows.feature_norm);
            kinds[2].extend(&rows.reconstruction_error);
        }
        for rows in captured.attention_rows.values() {
            kinds[3].extend(&rows.kept_mass);
            kinds[4].extend(&rows.entropy);
        }
    }
    kinds[LOGITS].extend(seen.pairs.iter().map(|pair| pair.logit_diff));
    kinds
}

/// The root mean square of the differences by that of the numbers and `size`.
fn difference((one, other): (&[f32], &[f32]), size: f64) -> f32 {
    let mean = |numbers: &mut dyn Iterator<Item = f32>| {
        (numbers.map(|x| f64::from(x).powi(2)).sum::<f64>() / other.len() as f64).sqrt()
    };
    let of_differences = mean(&mut one.iter().zip(other).map(|(a, b)| a - b));
    let of_numbers = mean(&mut other.iter().copied());
    if of_differences > 0.0 { (of_differences / (of_numbers + size)) as f32 } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::difference;

    #[test]
    fn a_difference_is_a_share_of_the_numbers() {
        assert!(difference((&[3.0, 4.0], &[3.0, 4.0]), 0.0) == 0.0);
        assert!((difference((&[3.0, 5.0], &[3.0, 4.0]), 0.0) - 0.2).abs() < 1e-6);
        assert!((difference((&[1.0], &[0.0]), 4.0) - 0.25).abs() < 1e-6);
        assert!(difference((&[], &[]), 0.0) == 0.0);
        assert!(difference((&[1.0], &[0.0]), 0.0).is_infinite());
    }
}
