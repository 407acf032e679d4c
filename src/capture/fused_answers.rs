//! Free answers by the fused kernels: prompts wait in line, those under way go on by a token in every pass, and whenever
//! one ends the next prompt runs along in its place.

use std::collections::{BTreeMap, VecDeque};

use gpu::{Batch, Past, Piece, Taken};

use super::CaptureError;
use super::generate::{Answer, Drawing};
use crate::model::OnGpu;

/// Answers under way at most: with many more of them, products are no longer bound by the reading of weights.
const MOST_AT_ONCE: usize = 256;

/// Bytes of the device that are left for what is not counted.
const RESERVE: usize = 1 << 30;

/// Answers `prompts`, with `budget` tokens in a pass at most. `draw` gives the next draw in `[0, 1)` of the prompt with
/// that number. An answer ends where the model can read no further.
pub(super) fn answer(
    model: &OnGpu,
    prompts: &[Vec<u32>],
    (drawing, budget): (&Drawing, usize),
    draw: &mut dyn FnMut(usize) -> f32,
) -> Result<Vec<Answer>, CaptureError> {
    let longest = prompts.iter().map(Vec::len).max().unwrap_or_default() + drawing.max_new_tokens;
    let n_rooms = rooms(model, longest, budget)?.min(prompts.len());
    let (device, llama) = (&model.device, &model.llama);
    let past = Past::new(device, &llama.shape, llama.blocks.len(), n_rooms * longest)?;
    let mut answers = vec![Answer::default(); prompts.len()];
    let mut line = Line {
        waiting: if drawing.max_new_tokens == 0 { VecDeque::new() } else { (0..prompts.len()).collect() },
        free: (0..n_rooms).map(|room| room * longest).collect(),
        running: Vec::new(),
    };
    while line.admit(prompts, budget) {
        let pieces = line.running.iter().map(|running| running.piece).collect::<Vec<_>>();
        let ids = line.running.iter().flat_map(|running| &running.next).map(|id| id.cast_signed());
        let batch = Batch::remembered(device, &ids.collect::<Vec<_>>(), &pieces)?;
        let residual = llama.forward(device, &batch, Some(&past), (&BTreeMap::new(), &Taken::default()))?;
        let mut end = 0;
        let last = pieces.iter().map(|piece| {
            end += piece.tokens as i32;
            end - 1
        });
        let draws = line.running.iter().map(|running| draw(running.prompt)).collect::<Vec<_>>();
        let last = last.collect::<Vec<_>>();
        let drawn = llama.draw(device, &residual, &last, (&draws, drawing.temperature))?;
        let drawn = drawn.read::<i32>(device, last.len())?;
        line.take_in(&drawn, &mut answers, |answer, tokens| {
            let ended = answer.ids.last().is_some_and(|id| model.config().eos.contains(id));
            ended || answer.ids.len() == drawing.max_new_tokens || tokens == model.config().context
        });
    }
    Ok(answers)
}

/// How many sequences of `longest` tokens can be under way.
fn rooms(model: &OnGpu, longest: usize, budget: usize) -> Result<usize, CaptureError> {
    let (free, _) = model.device.memory()?;
    let each = longest * Past::bytes_a_token(&model.llama.shape, model.llama.blocks.len());
    let taken = budget * model.llama.shape.bytes_a_token() + RESERVE;
    match (free.saturating_sub(taken) / each.max(1)).min(MOST_AT_ONCE) {
        0 => Err(CaptureError::DeviceMemory { free, needed: taken + each }),
        rooms => Ok(rooms),
    }
}

/// An answer under way.
struct Running {
    prompt: usize,
    piece: Piece,
    /// What runs in the next pass: the prompt, then what was drawn last.
    next: Vec<u32>,
}

/// Prompts that wait, rooms that are free, answers under way.
struct Line {
    waiting: VecDeque<usize>,
    free: Vec<usize>,
    running: Vec<Running>,
}

impl Line {
    /// Takes in prompts while there are rooms and the next pass has space. Whether anything is to run.
    fn admit(&mut self, prompts: &[Vec<u32>], budget: usize) -> bool {
        let mut tokens = self.running.len();
        while let (Some(prompt), Some(room)) = (self.waiting.front().copied(), self.free.last().copied()) {
            let length = prompts[prompt].len();
            if tokens > 0 && tokens + length > budget {
                break;
            }
            tokens += length;
            self.waiting.pop_front();
            self.free.pop();
            let piece = Piece { past: 0, tokens: length, room };
            self.running.push(Running { prompt, piece, next: prompts[prompt].clone() });
        }
        !self.running.is_empty()
    }

    /// Gives every answer under way its next token. `is_over` is told an answer, and the tokens of its sequence.
    fn take_in(&mut self, drawn: &[i32], answers: &mut [Answer], is_over: impl Fn(&Answer, usize) -> bool) {
        let mut drawn = drawn.iter().map(|id| id.cast_unsigned());
        self.running.retain_mut(|running| {
            let Some(id) = drawn.next() else { return false };
            let (answer, piece) = (&mut answers[running.prompt], &mut running.piece);
            answer.ids.push(id);
            *piece = Piece { past: piece.past + piece.tokens, tokens: 1, room: piece.room };
            running.next = vec![id];
            let over = is_over(answer, piece.past + 1);
            if over {
                self.free.push(piece.room);
            }
            !over
        });
    }
}

#[cfg(test)]
mod tests {
    use super::{Answer, Line};

    #[test]
    fn every_prompt_runs_in_a_room_of_its_own_until_its_answer_ends() {
        let prompts = [vec![1, 2, 3], vec![4, 5], vec![6], vec![7; 9]];
        let mut answers = vec![Answer::default(); 4];
        let mut line = Line { waiting: (0..4).collect(), free: vec![0, 100], running: Vec::new() };
        let mut passes = 0;
        while line.admit(&prompts, 6) {
            passes += 1;
            let mut rooms = line.running.iter().map(|running| running.piece.room).collect::<Vec<_>>();
            rooms.sort_unstable();
            rooms.dedup();
            assert_eq!(rooms.len(), line.running.len());
            let drawn = line.running.iter().map(|running| running.prompt as i32 + 10).collect::<Vec<_>>();
            line.take_in(&drawn, &mut answers, |answer, _| answer.ids.len() == 2);
        }
        let ids = answers.into_iter().map(|answer| answer.ids).collect::<Vec<_>>();
        assert_eq!(ids, [[10, 10], [11, 11], [12, 12], [13, 13]]);
        // Two of two passes each at a time; the prompt of nine tokens, above the budget, waits until nothing else runs.
        assert_eq!(passes, 6);
    }
}
