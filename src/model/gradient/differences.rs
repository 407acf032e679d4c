//! Gradients against central differences of plain loops in f64.

use burn::tensor::{DType, Device, Tensor, TensorData};

/// Half the distance of two points: the error of a central difference is its square, and what cancels in f64 is
/// 1e-16 over it.
const STEP: f64 = 1e-5;
/// The gradients are in f32, of numbers around 1.
const TOLERANCE: f64 = 1e-5;

/// A point, and a gradient at what a function makes of it.
pub(super) struct Case {
    x: Vec<f32>,
    g: Vec<f32>,
    shapes: [[usize; 2]; 2],
}

impl Case {
    /// Numbers between -1.5 and 1.5 that look random.
    pub(super) fn new(input: [usize; 2], output: [usize; 2]) -> Self {
        let mut state = 1_u64;
        let mut draw = |shape: [usize; 2]| {
            let next = |_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (state >> 40) as f32 / (1 << 24) as f32 * 3.0 - 1.5
            };
            (0..shape[0] * shape[1]).map(next).collect::<Vec<f32>>()
        };
        Self { x: draw(input), g: draw(output), shapes: [input, output] }
    }

    pub(super) fn input(&self) -> Tensor<2> {
        tensor(&self.x, self.shapes[0])
    }

    pub(super) fn gradient(&self) -> Tensor<2> {
        tensor(&self.g, self.shapes[1])
    }

    pub(super) fn numbers(&self) -> Vec<f64> {
        self.x.iter().map(|x| f64::from(*x)).collect::<Vec<_>>()
    }
}

fn tensor(numbers: &[f32], shape: [usize; 2]) -> Tensor<2> {
    Tensor::from_data(TensorData::new(numbers.to_vec(), shape), (&Device::flex(), DType::F32))
}

/// Compares `found`, a gradient at the input, with the differences of `Σ g · function(x)`.
pub(super) fn check(case: &Case, function: impl Fn(&[f64]) -> Vec<f64>, found: Tensor<2>) {
    let found = found.into_data().iter::<f32>().collect::<Vec<_>>();
    let start = case.numbers();
    assert_eq!(found.len(), start.len());
    let value = |x: &[f64]| function(x).iter().zip(&case.g).map(|(y, g)| y * f64::from(*g)).sum::<f64>();
    for (index, found) in found.iter().enumerate() {
        let moved = |by: f64| {
            let mut x = start.clone();
            x[index] += by;
            value(&x)
        };
        let expected = (moved(STEP) - moved(-STEP)) / (2.0 * STEP);
        let error = (f64::from(*found) - expected).abs();
        assert!(
            error <= TOLERANCE * (1.0 + expected.abs()),
            "{index}: {found}, and {expected} by differences"
        );
    }
}
