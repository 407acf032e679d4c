//! Norms, rotation, SwiGLU and products.

use half::bf16;

use super::numbers::{ONE_ROUNDING, agree, device, floats, numbers, read};
use crate::Buffer;

#[test]
fn a_norm_adds_and_scales() {
    let (device, [n, d]) = (device(128), [5, 4096]);
    let (x, delta, gain) = (numbers(n * d, 1), numbers(n * d, 2), numbers(d, 3));
    let [on_x, on_delta, on_gain] = [&x, &delta, &gain].map(|numbers| Buffer::of(&device, numbers).unwrap());
    let out = Buffer::new(&device, 2 * n * d).unwrap();
    device.add_norm([on_x.at(), on_delta.at(), on_gain.at(), out.at()], [n, d], 1e-5).unwrap();
    let sum = x.iter().zip(&delta).map(|(a, b)| bf16::from_f32(a.to_f32() + b.to_f32()).to_f32());
    let sum = sum.collect::<Vec<_>>();
    assert_eq!(read(&device, &on_x, n * d), sum);
    let expected = sum.chunks(d).flat_map(|row| {
        let mean = row.iter().map(|x| x * x).sum::<f32>() / d as f32;
        row.iter().zip(&gain).map(move |(x, gain)| x / (mean + 1e-5).sqrt() * gain.to_f32())
    });
    agree(&read(&device, &out, n * d), &expected.collect::<Vec<_>>(), 2.0 * ONE_ROUNDING);
}

#[test]
fn heads_turn() {
    let (device, [n, heads, half]) = (device(64), [3, 5, 32]);
    let columns = (heads + 2) * 2 * half;
    let x = numbers(n * columns, 4);
    let positions = [0_i32, 7, 3];
    let turns = (0..8).flat_map(|position| {
        (0..half).map(move |pair| {
            let angle = position as f32 / (1.0 + pair as f32);
            [angle.cos(), angle.sin()].map(|x| bf16::from_f32(x).to_f32())
        })
    });
    let turns = turns.collect::<Vec<_>>();
    let on_x = Buffer::of(&device, &x).unwrap();
    let (places, table) = (Buffer::of(&device, &positions).unwrap(), Buffer::of(&device, &turns).unwrap());
    device.rotate([on_x.at(), places.at(), table.at()], [n, columns, heads, half]).unwrap();
    let mut expected = floats(&x);
    for (row, position) in expected.chunks_mut(columns).zip(positions) {
        for head in row[..heads * 2 * half].chunks_mut(2 * half) {
            let (first, second) = head.split_at_mut(half);
            for ((a, b), [cos, sin]) in first.iter_mut().zip(second).zip(&turns[position as usize * half..]) {
                (*a, *b) = (*a * cos - *b * sin, *b * cos + *a * sin);
            }
        }
    }
    agree(&read(&device, &on_x, n * columns), &expected, 2.0 * ONE_ROUNDING);
}

#[test]
fn gates_open() {
    let (device, [n, d]) = (device(64), [7, 1536]);
    let x = numbers(n * 2 * d, 5);
    let (on_x, out) = (Buffer::of(&device, &x).unwrap(), Buffer::new(&device, 2 * n * d).unwrap());
    device.swiglu(on_x.at(), out.at(), [n, d]).unwrap();
    let expected = floats(&x);
    let expected = expected.chunks(2 * d).flat_map(|row| {
        let (gate, up) = row.split_at(d);
        gate.iter().zip(up).map(|(gate, up)| gate / (1.0 + (-gate).exp()) * up).collect::<Vec<_>>()
    });
    agree(&read(&device, &out, n * d), &expected.collect::<Vec<_>>(), 2.0 * ONE_ROUNDING);
}

#[test]
fn products_are_sums() {
    let (device, [n, inputs, outputs]) = (device(64), [33, 576, 192]);
    let (x, w) = (numbers(n * inputs, 6), numbers(outputs * inputs, 7));
    let (on_x, on_w) = (Buffer::of(&device, &x).unwrap(), Buffer::of(&device, &w).unwrap());
    let out = Buffer::new(&device, 4 * n * outputs).unwrap();
    device.multiply("product", [on_x.at(), on_w.at(), out.at()], [n, inputs, outputs], true).unwrap();
    let (x, w) = (floats(&x), floats(&w));
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
    let expected = x.chunks(inputs).flat_map(|x| w.chunks(inputs).map(move |w| dot(x, w) as f32));
    // Sums of 576 products in f32.
    agree(&out.read(&device, n * outputs).unwrap(), &expected.collect::<Vec<_>>(), 1e-5);
}
