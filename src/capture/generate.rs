//! Free answers: tokens drawn one after the other, on the device, from seeded draws.

use burn::tensor::activation::softmax;
use burn::tensor::{Int, Tensor, TensorData};

use super::CaptureError;
use super::readback::Readback;
use crate::model::{Cache, Llama, Packed, Tap};

/// An answer under way.
#[derive(Clone, Default)]
pub struct Answer {
    /// The ids drawn so far; the token that ended the answer is the last.
    pub ids: Vec<u32>,
}

/// How answers are drawn.
pub struct Drawing {
    /// 0 takes the likeliest token.
    pub temperature: f32,
    /// Tokens of an answer at most.
    pub max_new_tokens: usize,
}

/// Answers `prompts`, all at once, each with a key-value cache of its own. `draw` gives the next draw
/// in `[0, 1)` of the prompt with that number.
pub fn generate(
    llama: &Llama,
    prompts: &[Vec<u32>],
    drawing: &Drawing,
    draw: impl FnMut(usize) -> f32,
) -> Result<Vec<Answer>, CaptureError> {
    generate_tapped(llama, prompts, drawing, draw, &mut ())
}

/// The same with a tap in every pass: the prompts', and those of every new token.
pub fn generate_tapped(
    llama: &Llama,
    prompts: &[Vec<u32>],
    drawing: &Drawing,
    mut draw: impl FnMut(usize) -> f32,
    tap: &mut impl Tap,
) -> Result<Vec<Answer>, CaptureError> {
    let mut answers = vec![Answer::default(); prompts.len()];
    let mut caches = vec![Cache::default(); prompts.len()];
    let packed = Packed::new(prompts.iter().map(Vec::as_slice));
    let last: Vec<i64> = packed.ranges().map(|range| range.end as i64 - 1).collect();
    let residual = llama.extend(&packed, &mut caches, tap);
    let mut residual = residual.select(0, Tensor::<1, Int>::from_data(last.as_slice(), llama.device()));
    let mut running: Vec<usize> = (0..prompts.len()).collect();
    for _ in 0..drawing.max_new_tokens {
        let draws: Vec<f32> = running.iter().map(|prompt| draw(*prompt)).collect();
        let ids = sample(llama.logits(residual), drawing.temperature, &draws)?;
        for (prompt, id) in running.iter().zip(&ids) {
            answers[*prompt].ids.push(*id);
        }
        let going_on = running.iter().zip(ids).filter(|(_, id)| !llama.config().eos.contains(id));
        let (prompts, ids): (Vec<usize>, Vec<u32>) = going_on.map(|(prompt, id)| (*prompt, id)).unzip();
        if prompts.is_empty() {
            break;
        }
        let mut kept: Vec<Cache> =
            prompts.iter().map(|prompt| std::mem::take(&mut caches[*prompt])).collect();
        residual = llama.extend(&Packed::new(ids.chunks(1)), &mut kept, tap);
        for (prompt, cache) in prompts.iter().zip(kept) {
            caches[*prompt] = cache;
        }
        running = prompts;
    }
    Ok(answers)
}

/// Draws one token a row by inverting the cumulative distribution at the row's draw. Only ids leave
/// the device.
fn sample(logits: Tensor<2>, temperature: f32, draws: &[f32]) -> Result<Vec<u32>, CaptureError> {
    let [rows, vocab] = logits.dims();
    let ids: Tensor<2, Int> = if temperature > 0.0 {
        let cumulative = softmax(logits.div_scalar(temperature), 1).cumsum(1);
        let total = cumulative.clone().slice([0..rows, vocab - 1..vocab]);
        let draws = Tensor::<2>::from_data(TensorData::new(draws.to_vec(), [rows, 1]), &total.device());
        cumulative
            .lower_equal((total * draws).expand([rows, vocab]))
            .int()
            .sum_dim(1)
            .clamp_max(vocab as i64 - 1)
    } else {
        logits.argmax(1)
    };
    let mut readback = Readback::default();
    readback.integers(ids);
    Ok(readback.read()?.integers()?.into_iter().map(i32::cast_unsigned).collect())
}
