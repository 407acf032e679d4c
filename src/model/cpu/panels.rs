//! Weights packed once, when they are loaded, in the order in which a product reads them: panels of sixteen
//! outputs, in each the sixteen weights of every input side by side. A product then reads every weight from
//! front to back, many rows at a time for a prompt and one for a generated token.

use std::sync::Arc;

use burn::tensor::Tensor;
use rayon::prelude::*;

use super::memory::{close, numbers, open_contiguous};
use super::simd::{multiply_add, vectorized};

/// Outputs in a panel: two vectors of eight.
const LANES: usize = 16;
/// Rows that are multiplied together. 6 x 16 sums and what they need fill the sixteen vector registers.
const TILE: usize = 6;
/// The most rows of one task: with 1,000 inputs they still fit in the second-level cache.
const BLOCK: usize = 96;
/// Up to so many rows, tasks share the outputs among them instead of the rows.
const FEW: usize = 4 * TILE;

/// A packed weight matrix. Clones share it.
#[derive(Clone, Debug)]
pub(in crate::model) struct Panels {
    /// `[panels, inputs, LANES]`; lanes after the last output are 0.
    numbers: Arc<Vec<f32>>,
    inputs: usize,
    outputs: usize,
}

impl Panels {
    /// Packs `rows: [outputs, inputs]`.
    pub(in crate::model) fn pack(rows: &[f32], inputs: usize) -> Self {
        let outputs = rows.len() / inputs;
        let mut numbers = vec![0.0; outputs.div_ceil(LANES) * LANES * inputs];
        let panels = numbers.par_chunks_mut(inputs * LANES).zip(rows.par_chunks(inputs * LANES));
        panels.for_each(|(panel, rows)| {
            for (input, lanes) in panel.chunks_mut(LANES).enumerate() {
                for (lane, row) in lanes.iter_mut().zip(rows.chunks(inputs)) {
                    *lane = row[input];
                }
            }
        });
        Self { numbers: Arc::new(numbers), inputs, outputs }
    }

    /// The plain matrix: `[inputs, outputs]`.
    pub(in crate::model) fn unpack(&self) -> Tensor<2> {
        let mut rows = vec![0.0; self.outputs * self.inputs];
        let panels =
            rows.par_chunks_mut(LANES * self.inputs).zip(self.numbers.par_chunks(LANES * self.inputs));
        panels.for_each(|(rows, panel)| {
            for (lane, row) in rows.chunks_mut(self.inputs).enumerate() {
                for (weight, lanes) in row.iter_mut().zip(panel.as_chunks::<LANES>().0) {
                    *weight = lanes[lane];
                }
            }
        });
        close(rows, [self.outputs, self.inputs]).transpose()
    }

    /// The weights of one output: `[inputs]`.
    pub(in crate::model) fn column(&self, output: usize) -> Tensor<1> {
        let panel = &self.numbers[output / LANES * LANES * self.inputs..];
        let weights: Vec<f32> = (0..self.inputs).map(|input| panel[input * LANES + output % LANES]).collect();
        close(weights, [1, self.inputs]).reshape([self.inputs])
    }

    /// `x: [rows, inputs]` times the matrix: `[rows, outputs]`.
    pub(in crate::model) fn product(&self, x: Tensor<2>) -> Tensor<2> {
        let [rows, inputs] = x.dims();
        assert_eq!(inputs, self.inputs, "one number of a row for every input");
        let x = open_contiguous(x);
        let out = if rows <= FEW { self.few(numbers(&x)) } else { self.many(numbers(&x)) };
        close(out, [rows, self.outputs])
    }

    /// Tasks take some rows each and all panels.
    fn many(&self, x: &[f32]) -> Vec<f32> {
        let rows = x.len() / self.inputs;
        // As many tasks as there are threads, or a multiple of it, of about the same size.
        let threads = rayon::current_num_threads();
        let tasks = threads * rows.div_ceil(threads * BLOCK);
        let block = rows.div_ceil(tasks).next_multiple_of(TILE);
        let mut out = vec![0.0; rows * self.outputs];
        let tasks = out.par_chunks_mut(block * self.outputs).zip(x.par_chunks(block * self.inputs));
        tasks.for_each_init(Vec::new, |packed, (out, x)| {
            pack_rows(x, self.inputs, packed);
            for (index, panel) in self.numbers.chunks(self.inputs * LANES).enumerate() {
                let lanes = index * LANES..self.outputs.min((index + 1) * LANES);
                multiply(packed, panel, out, self.inputs, self.outputs, lanes);
            }
        });
        out
    }

    /// Tasks take one panel each and all rows.
    fn few(&self, x: &[f32]) -> Vec<f32> {
        let rows = x.len() / self.inputs;
        let mut packed = Vec::new();
        pack_rows(x, self.inputs, &mut packed);
        let mut by_panel = vec![0.0; self.outputs.div_ceil(LANES) * LANES * rows];
        let tasks = by_panel.par_chunks_mut(rows * LANES).zip(self.numbers.par_chunks(self.inputs * LANES));
        tasks.with_min_len(8).for_each(|(out, panel)| {
            multiply(&packed, panel, out, self.inputs, LANES, 0..LANES);
        });
        if rows == 1 {
            by_panel.truncate(self.outputs);
            return by_panel;
        }
        let mut out = vec![0.0; rows * self.outputs];
        for (row, out) in out.chunks_mut(self.outputs).enumerate() {
            for (out, panel) in out.chunks_mut(LANES).zip(by_panel.chunks(rows * LANES)) {
                out.copy_from_slice(&panel[row * LANES..row * LANES + out.len()]);
            }
        }
        out
    }
}

/// Packs rows as the product reads them: tiles of [`TILE`] rows, the last one of those that are left, in each
/// the numbers of all its rows for every input side by side.
fn pack_rows(x: &[f32], inputs: usize, packed: &mut Vec<f32>) {
    packed.clear();
    for tile in x.chunks(TILE * inputs) {
        let rows = tile.len() / inputs;
        let start = packed.len();
        packed.resize(start + tile.len(), 0.0);
        for (row, numbers) in tile.chunks(inputs).enumerate() {
            for (place, number) in packed[start + row..].iter_mut().step_by(rows).zip(numbers) {
                *place = *number;
            }
        }
    }
}

vectorized! {
    /// Rows packed by [`pack_rows`] times one panel, into the columns `lanes` of `out: [rows, outputs]`.
    fn multiply(
        packed: &[f32],
        panel: &[f32],
        out: &mut [f32],
        inputs: usize,
        outputs: usize,
        lanes: std::ops::Range<usize>,
    ) {
        for (x, out) in packed.chunks(TILE * inputs).zip(out.chunks_mut(TILE * outputs)) {
            match x.len() / inputs {
                1 => tile::<1, FUSED>(x, panel, out, outputs, lanes.clone()),
                2 => tile::<2, FUSED>(x, panel, out, outputs, lanes.clone()),
                3 => tile::<3, FUSED>(x, panel, out, outputs, lanes.clone()),
                4 => tile::<4, FUSED>(x, panel, out, outputs, lanes.clone()),
                5 => tile::<5, FUSED>(x, panel, out, outputs, lanes.clone()),
                _ => tile::<6, FUSED>(x, panel, out, outputs, lanes.clone()),
            }
        }
    }
}

/// `R` rows times one panel. The sums stay in registers.
#[expect(clippy::inline_always, reason = "it must be compiled for the vectors of its caller")]
#[inline(always)]
fn tile<const R: usize, const FUSED: bool>(
    x: &[f32],
    panel: &[f32],
    out: &mut [f32],
    outputs: usize,
    lanes: std::ops::Range<usize>,
) {
    let mut sums = [[0.0_f32; LANES]; R];
    for (x, weights) in x.as_chunks::<R>().0.iter().zip(panel.as_chunks::<LANES>().0) {
        for (sums, x) in sums.iter_mut().zip(x) {
            for (sum, weight) in sums.iter_mut().zip(weights) {
                *sum = multiply_add::<FUSED>(*x, *weight, *sum);
            }
        }
    }
    for (sums, out) in sums.iter().zip(out.chunks_mut(outputs)) {
        let out = &mut out[lanes.clone()];
        out.copy_from_slice(&sums[..out.len()]);
    }
}
