//! How fast products are on a device of tensor operations, without a model.

use std::time::Instant;

use burn::tensor::{Device, Distribution, Tensor};

use super::config::Config;

/// Rows of the product: about those of a pass's prompt.
const ROWS: usize = 256;

/// Products of which the fastest counts: others may wait for something else.
const TIMES: usize = 4;

/// Multiplications and additions a second of products as wide as those of a model's MLP.
pub fn product_rate(device: &Device, config: &Config) -> f64 {
    let (inputs, outputs) = (config.d_model, 2 * config.d_mlp);
    let even = Distribution::Uniform(-1.0, 1.0);
    let x = Tensor::<2>::random([ROWS, inputs], even, device);
    let weight = Tensor::<2>::random([inputs, outputs], even, device);
    let time = |_| {
        let start = Instant::now();
        // Reading a number waits for it.
        let _ = x.clone().matmul(weight.clone()).slice([0..1, 0..1]).into_data();
        start.elapsed().as_secs_f64()
    };
    let fastest = (0..TIMES).map(time).fold(f64::INFINITY, f64::min);
    (2 * ROWS * inputs * outputs) as f64 / fastest
}
