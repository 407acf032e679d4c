//! What is picked of logits.

use half::bf16;

use super::numbers::{agree, device, floats, numbers};
use crate::{Buffer, Device, Llama, Shape};

const D: usize = 64;
const VOCABULARY: usize = 1000;

fn model(device: &Device) -> (Llama, Vec<f32>) {
    let shape = Shape { d_model: D, d_ff: 8, n_heads: 1, n_kv_heads: 1, head: 64, eps: 1e-5 };
    let unembed = numbers(VOCABULARY * D, 14);
    let nothing = || Buffer::new(device, 16).unwrap();
    let llama = Llama {
        shape,
        embed: nothing(),
        blocks: Vec::new(),
        norm: Buffer::of(device, &[bf16::ONE; D]).unwrap(),
        unembed: Buffer::of(device, &unembed).unwrap(),
        vocabulary: VOCABULARY,
        turns: nothing(),
    };
    (llama, floats(&unembed))
}

#[test]
fn logits_and_their_sum_are_picked() {
    let device = device(64);
    let (llama, unembed) = model(&device);
    let x = numbers(600 * D, 15);
    // More rows than are taken at once.
    let rows = (0..590).rev().collect::<Vec<i32>>();
    let ids = rows.iter().flat_map(|row| [*row, 999 - *row]).collect::<Vec<_>>();
    let residual = Buffer::of(&device, &x).unwrap();
    let out = llama.pick(&device, &residual, &rows, (&ids, 2)).unwrap();
    let found = out.read::<f32>(&device, 590 * 3).unwrap();
    let x = floats(&x);
    let (mut chosen, mut sums) = (Vec::new(), Vec::new());
    for (place, row) in rows.iter().enumerate() {
        let row = &x[*row as usize * D..][..D];
        let scale = (row.iter().map(|x| x * x).sum::<f32>() / D as f32 + 1e-5).sqrt().recip();
        let normed = row.iter().map(|x| bf16::from_f32(x * scale).to_f32()).collect::<Vec<_>>();
        let logits = unembed.chunks(D).map(|w| w.iter().zip(&normed).map(|(a, b)| a * b).sum::<f32>());
        let logits = logits.collect::<Vec<_>>();
        chosen.extend(ids[2 * place..][..2].iter().map(|id| logits[*id as usize]));
        sums.push(logits.iter().map(|logit| f64::from(*logit).exp()).sum::<f64>().ln() as f32);
    }
    // A normalized number may be rounded the other way.
    agree(&found[..1180], &chosen, 4e-3);
    agree(&found[1180..], &sums, 4e-3);
}

/// Sums of up to 128,256 numbers in f32, in another order than the one they are held to.
const SUMS_AGREE: f64 = 2e-5;

/// Logits with equal ones, some that no token can have, and a range as models have it.
fn logits(rows: usize, vocabulary: usize) -> Vec<f32> {
    let mut logits = floats(&numbers(rows * vocabulary, 21)).iter().map(|x| 12.0 * x).collect::<Vec<_>>();
    logits.iter_mut().skip(3).step_by(17).for_each(|logit| *logit = f32::NEG_INFINITY);
    logits
}

#[test]
fn tokens_are_drawn_by_their_probabilities() {
    let device = device(64);
    for (rows, vocabulary) in [(40, 1000), (3, 31), (5, 128_256)] {
        let logits = logits(rows, vocabulary);
        let mut draws = floats(&numbers(rows, 22)).iter().map(|x| x.abs().min(0.999)).collect::<Vec<_>>();
        (draws[0], draws[1]) = (0.0, 0.999_999_94);
        let draw = |temperature| {
            let out = Buffer::new(&device, 4 * rows).unwrap();
            let [on, at] = [Buffer::of(&device, &logits).unwrap(), Buffer::of(&device, &draws).unwrap()];
            device.draw_tokens([on.at(), at.at(), out.at()], [rows, vocabulary], temperature).unwrap();
            out.read::<i32>(&device, rows).unwrap()
        };
        for (row, id) in logits.chunks(vocabulary).zip(draw(0.0)) {
            let largest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            assert_eq!(id as usize, row.iter().position(|logit| *logit >= largest).unwrap());
        }
        for temperature in [0.5, 2.0] {
            for ((row, id), draw) in logits.chunks(vocabulary).zip(draw(temperature)).zip(&draws) {
                assert!(row[id as usize].is_finite());
                let weight = |logit: f32| f64::from((logit - 12.0) / temperature).exp();
                let total = row.iter().map(|logit| weight(*logit)).sum::<f64>();
                let below = row[..id as usize].iter().map(|logit| weight(*logit)).sum::<f64>() / total;
                let above = below + weight(row[id as usize]) / total;
                let draw = f64::from(*draw);
                assert!(below - SUMS_AGREE <= draw && draw < above + SUMS_AGREE, "{draw}: {below}..{above}");
            }
        }
    }
}
