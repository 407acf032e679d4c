//! What a steered feature is compared with: how often features fire, another one like it, and a direction as long.

use burn::tensor::{Int, Tensor, TensorData};

use super::error::InterveneError;
use crate::capture::Prepared;
use crate::dictionary::Dictionary;
use crate::game::Stream;
use crate::model::{Hook, Llama, Packed, Tap};

/// How many features like the steered one the random one is drawn from.
const ALIKE: usize = 20;

/// What the features of a dictionary do on some prompts, position 0 and special tokens left out.
#[derive(Clone, Debug, PartialEq)]
pub struct Profile {
    /// The mean activation of each feature where it fires; 0 of one that never does.
    pub mean: Vec<f32>,
    /// The share of the positions at which it fires.
    pub share: Vec<f32>,
}

impl Profile {
    /// Measures the dictionary on some prompts.
    ///
    /// # Errors
    /// If the device fails.
    pub fn measure(
        llama: &Llama,
        dictionary: &Dictionary,
        steps: &[Prepared],
    ) -> Result<Self, InterveneError> {
        let ids: Vec<Vec<u32>> = steps.iter().map(Prepared::ids).collect();
        let packed = Packed::new(ids.iter().map(Vec::as_slice));
        let rows = steps.iter().zip(packed.ranges()).flat_map(|(step, range)| {
            step.plain_positions().map(move |position| (range.start + position) as i64).collect::<Vec<_>>()
        });
        let mut tap = Keep { hook: dictionary.hook, kept: None };
        let _ = llama.forward(&packed, &mut tap);
        let rows = TensorData::from(rows.collect::<Vec<_>>().as_slice());
        let rows = Tensor::<1, Int>::from_data(rows, llama.device());
        let none = InterveneError::NotKept { hook: dictionary.hook };
        let f = dictionary.encode(tap.kept.ok_or(none)?.select(0, rows));
        let count = f.dims()[0] as f32;
        let fires = f.clone().greater_scalar(0.0).float().sum_dim(0).try_into_data_as::<f32>()?;
        let sums = f.sum_dim(0).try_into_data_as::<f32>()?;
        let fires: Vec<f32> = fires.iter::<f32>().collect();
        let mean = sums.iter::<f32>().zip(&fires).map(|(sum, n)| if *n > 0.0 { sum / n } else { 0.0 });
        Ok(Self { mean: mean.collect(), share: fires.iter().map(|n| n / count).collect() })
    }

    /// A feature that is none of `named`, drawn from those that are most like `feature`: whose activation summed over all
    /// positions is nearest. `None` if no other one fires.
    pub fn like(&self, feature: u32, named: &[u32], draws: &mut Stream) -> Option<u32> {
        let size = |feature: usize| self.mean[feature] * self.share[feature];
        let own = size(feature as usize);
        let mut others: Vec<usize> = (0..self.mean.len())
            .filter(|other| size(*other) > 0.0 && !named.contains(&(*other as u32)))
            .collect();
        let apart = |other: usize| (size(other) - own).abs();
        others.sort_by(|a, b| apart(*a).total_cmp(&apart(*b)));
        others.truncate(ALIKE);
        let drawn = (draws.uniform() * others.len() as f64) as usize;
        others.get(drawn).map(|other| *other as u32)
    }
}

/// The dictionary with the decoder row of a feature turned to a random direction of the same length, so that whatever is
/// done to the feature moves the residual stream as far, where it does.
pub fn turned(dictionary: &Dictionary, feature: u32, draws: &mut Stream) -> Dictionary {
    let (row, width) = (feature as usize, dictionary.d_in);
    let numbers: Vec<f32> = (0..width).map(|_| normal(draws) as f32).collect();
    let norm = numbers.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt() as f32;
    let factor = dictionary.decoder_norms[row] / norm;
    let numbers: Vec<f32> = numbers.iter().map(|x| x * factor).collect();
    let direction = Tensor::<2>::from_data(TensorData::new(numbers, [1, width]), &dictionary.device());
    let w_dec = dictionary.w_dec.clone().slice_assign([row..row + 1, 0..width], direction);
    Dictionary { w_dec, ..dictionary.clone() }
}

/// A normal number, by Box and Muller.
fn normal(draws: &mut Stream) -> f64 {
    let (radius, angle) = (1.0 - draws.uniform(), draws.uniform());
    (-2.0 * radius.ln()).sqrt() * (std::f64::consts::TAU * angle).cos()
}

/// The tap that keeps one activation.
struct Keep {
    hook: Hook,
    kept: Option<Tensor<2>>,
}

impl Tap for Keep {
    fn activation(&mut self, hook: Hook, x: Tensor<2>) -> Tensor<2> {
        if hook == self.hook {
            self.kept = Some(x.clone());
        }
        x
    }
}
