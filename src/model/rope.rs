//! Rotary position embedding, in the layout of Hugging Face checkpoints: a head's first half is rotated
//! against its second half.

use burn::tensor::{DType, Device, Tensor, TensorData};

/// The base frequency and what was done to reach longer contexts.
#[derive(Clone, Debug, PartialEq)]
pub struct Rope {
    /// Base of the frequencies: pair `i` of a head turns by `theta^(-2i / head_dim)` a position.
    pub theta: f64,
    /// How the frequencies are changed.
    pub scaling: Scaling,
}

/// How frequencies are changed for longer contexts.
#[derive(Clone, Debug, PartialEq)]
pub enum Scaling {
    /// Not at all.
    None,
    /// As Llama 3.1 does it. With the wavelength `w = 2π / f` and the old context `c`:
    ///
    /// ```text
    /// w < c / high          f
    /// w > c / low           f / factor
    /// between               (1 - s) f / factor + s f,   s = (c / w - low) / (high - low)
    /// ```
    Llama3 {
        /// By how much low frequencies are divided.
        factor: f64,
        /// Wavelengths longer than `original_context / low` are divided.
        low: f64,
        /// Wavelengths shorter than `original_context / high` are kept.
        high: f64,
        /// The context that the model was first trained on.
        original_context: f64,
    },
    /// Every pair's frequency divided by its own number: how GGUF files keep Llama 3.1's scaling.
    Divisors(Vec<f32>),
}

impl Rope {
    /// What each of the `head_dim / 2` pairs turns by a position, in f32 as the reference computes it.
    pub(crate) fn frequencies(&self, head_dim: usize) -> Vec<f32> {
        let base = (0..head_dim / 2).map(|i| {
            let exponent = (2 * i) as f32 / head_dim as f32;
            1.0 / (self.theta as f32).powf(exponent)
        });
        match &self.scaling {
            Scaling::None => base.collect(),
            Scaling::Divisors(divisors) => base.zip(divisors).map(|(f, divisor)| f / divisor).collect(),
            Scaling::Llama3 { factor, low, high, original_context } => base
                .map(|f| {
                    let wavelength = std::f64::consts::TAU / f64::from(f);
                    let divided = f64::from(f) / factor;
                    if wavelength < original_context / high {
                        return f;
                    }
                    if wavelength > original_context / low {
                        return divided as f32;
                    }
                    let s = (original_context / wavelength - low) / (high - low);
                    ((1.0 - s) * divided + s * f64::from(f)) as f32
                })
                .collect(),
        }
    }
}

/// Cosines and sines of the angles of every row of a batch, computed once a pass.
#[derive(Clone, Debug)]
pub(crate) struct Turns {
    /// Cosine and sine of every row and pair: `[tokens, half]`.
    on_host: Vec<(f32, f32)>,
    /// Pairs in a head.
    half: usize,
    device: Device,
}

impl Turns {
    /// The turns at `positions` for pairs that turn by `frequencies` a position.
    pub(crate) fn new(positions: &[usize], frequencies: &[f32], device: &Device) -> Self {
        let angles = positions.iter().flat_map(|position| frequencies.iter().map(|f| *position as f32 * f));
        Self {
            on_host: angles.map(|angle| (angle.cos(), angle.sin())).collect(),
            half: frequencies.len(),
            device: device.clone(),
        }
    }

    /// The turns back: they undo these, and carry gradients at what is turned to what was there before.
    #[must_use]
    pub(crate) fn undone(&self) -> Self {
        let on_host = self.on_host.iter().map(|(cos, sin)| (*cos, -*sin)).collect::<Vec<_>>();
        Self { on_host, half: self.half, device: self.device.clone() }
    }

    /// Cosine and sine of every row and pair: `[tokens, half]`.
    pub(crate) fn on_host(&self) -> &[(f32, f32)] {
        &self.on_host
    }

    /// Pairs in a head.
    pub(crate) const fn half(&self) -> usize {
        self.half
    }

    /// Turns the heads in the first `turned` columns of `x: [tokens, columns]`.
    pub(crate) fn apply(&self, x: Tensor<2>, turned: usize) -> Tensor<2> {
        let [tokens, columns] = x.dims();
        let (half, dtype) = (self.half, x.dtype());
        let heads = turned / (2 * half);
        // The reference rounds cosines and sines to the model's dtype and multiplies in it.
        let factors = |pick: fn(&(f32, f32)) -> f32| {
            let numbers: Vec<f32> = self.on_host.iter().map(pick).collect();
            let data = TensorData::new(numbers, [tokens, 1, half]);
            Tensor::<3>::from_data(data, (&self.device, DType::F32)).cast(dtype)
        };
        let (cos, sin) = (factors(|turn| turn.0), factors(|turn| turn.1));
        let rest = x.clone().slice([0..tokens, turned..columns]);
        let x = x.slice([0..tokens, 0..turned]).reshape([tokens, heads, 2 * half]);
        let first = x.clone().slice([0..tokens, 0..heads, 0..half]);
        let second = x.slice([0..tokens, 0..heads, half..2 * half]);
        let halves =
            vec![first.clone() * cos.clone() - second.clone() * sin.clone(), second * cos + first * sin];
        Tensor::cat(vec![Tensor::cat(halves, 2).reshape([tokens, turned]), rest], 1)
    }
}
