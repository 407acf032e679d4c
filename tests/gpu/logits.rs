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
