//! Going on from a pass of the fused kernels.

use std::collections::BTreeMap;

use gpu::{Batch, Past as Rooms, Piece, Taken};

use super::CaptureError;
use super::past::{Asked, Next, Past, by_step};
use super::token_budget::groups;
use crate::model::{Config, OnGpu, shape};

/// Tokens of an answer that there is room for after each prompt that is remembered.
const ANSWER: usize = 16;

/// The prompts of a pass, and the keys and values of their tokens where they are kept.
pub(super) struct Remembered<'a> {
    pub(super) model: &'a OnGpu,
    pub(super) prompts: Vec<Vec<u32>>,
    pub(super) rooms: Option<Rooms>,
    /// Tokens of a pass at most.
    pub(super) budget: usize,
}

/// Where each of some prompts is kept, with room for an answer behind it.
pub(super) fn pieces(prompts: &[Vec<u32>]) -> Vec<Piece> {
    let mut room = 0;
    let piece = |prompt: &Vec<u32>| {
        let piece = Piece { past: 0, tokens: prompt.len(), room };
        room += prompt.len() + ANSWER;
        piece
    };
    prompts.iter().map(piece).collect()
}

/// Tokens that there must be room for.
pub(super) fn rows(prompts: &[Vec<u32>]) -> usize {
    prompts.iter().map(|prompt| prompt.len() + ANSWER).sum()
}

/// Bytes that a token of a prompt takes; a prompt has more tokens than an answer has room for.
pub(super) fn bytes_a_token(config: &Config) -> usize {
    2 * Rooms::bytes_a_token(&shape(config), config.n_layers)
}

impl Past for Remembered<'_> {
    fn continuations(&self, asked: &[Asked]) -> Result<Vec<Vec<f32>>, CaptureError> {
        let longest = asked.iter().flat_map(|asked| &asked.answers).map(Vec::len).max().unwrap_or_default();
        match &self.rooms {
            Some(rooms) if longest <= ANSWER => self.go_on(rooms, asked),
            _ => self.run_again(asked),
        }
    }
}

impl Remembered<'_> {
    /// The first answers of all steps together, then the second ones in their places, and so on.
    fn go_on(&self, rooms: &Rooms, asked: &[Asked]) -> Result<Vec<Vec<f32>>, CaptureError> {
        let prompts = pieces(&self.prompts);
        let mut found = vec![Vec::new(); asked.len()];
        let rounds = asked.iter().map(|asked| asked.answers.len()).max().unwrap_or_default();
        for round in 0..rounds {
            let in_round = |asked: &&Asked| round < asked.answers.len();
            let steps = asked.iter().filter(in_round).collect::<Vec<_>>();
            let answers = steps.iter().map(|asked| asked.answers[round].clone()).collect::<Vec<_>>();
            let pieces = steps.iter().zip(&answers).map(|(asked, answer)| {
                let prompt = prompts[asked.step];
                Piece { past: prompt.tokens, tokens: answer.len(), room: prompt.room }
            });
            let ids = answers.concat().into_iter().map(u32::cast_signed).collect::<Vec<_>>();
            let batch = Batch::remembered(&self.model.device, &ids, &pieces.collect::<Vec<_>>())?;
            let rows = (0..batch.tokens() as i32).collect::<Vec<_>>();
            let probabilities = self.probabilities(&batch, Some(rooms), &rows, &answers)?;
            let of_steps = found.iter_mut().zip(asked).filter(|(_, asked)| round < asked.answers.len());
            for ((found, _), probability) in of_steps.zip(probabilities) {
                found.push(probability);
            }
        }
        Ok(found)
    }

    /// Every prompt again before each of its answers: what going on is held to, and what is done where nothing was kept.
    fn run_again(&self, asked: &[Asked]) -> Result<Vec<Vec<f32>>, CaptureError> {
        let one = |asked: &Asked| {
            let prompt = &self.prompts[asked.step];
            asked.answers.iter().map(|answer| (prompt.clone(), answer.clone())).collect::<Vec<_>>()
        };
        let all = asked.iter().flat_map(one).collect::<Vec<_>>();
        let mut found = Vec::new();
        for group in groups(&all, |(prompt, answer)| prompt.len() + answer.len(), self.budget) {
            let lengths = group.iter().map(|(prompt, answer)| prompt.len() + answer.len());
            let (mut rows, mut end) = (Vec::new(), 0);
            for (prompt, answer) in group {
                end += prompt.len() + answer.len();
                rows.extend((end - answer.len()..end).map(|row| row as i32));
            }
            let ids = group.iter().flat_map(|(prompt, answer)| prompt.iter().chain(answer));
            let ids = ids.map(|id| id.cast_signed()).collect::<Vec<_>>();
            let batch = Batch::new(&self.model.device, &ids, &lengths.collect::<Vec<_>>())?;
            let answers = group.iter().map(|(_, answer)| answer.clone()).collect::<Vec<_>>();
            found.extend(self.probabilities(&batch, None, &rows, &answers)?);
        }
        Ok(by_step(asked, found))
    }

    /// Runs a batch and reads the probabilities of answers whose tokens are its packed `rows`.
    fn probabilities(
        &self,
        batch: &Batch,
        past: Option<&Rooms>,
        rows: &[i32],
        answers: &[Vec<u32>],
    ) -> Result<Vec<f32>, CaptureError> {
        let (device, llama) = (&self.model.device, &self.model.llama);
        let residual = llama.forward(device, batch, past, (&BTreeMap::new(), &Taken::default()))?;
        let next = Next::of(answers, self.model.config());
        let ids = next.tokens.iter().map(|id| id.cast_signed()).collect::<Vec<_>>();
        let picked = llama.pick(device, &residual, rows, (&ids, 1))?;
        let numbers = picked.read::<f32>(device, 2 * rows.len())?;
        let (chosen, sums) = numbers.split_at(rows.len());
        let logs = chosen.iter().zip(sums).map(|(logit, sum)| logit - sum).collect::<Vec<_>>();
        Ok(next.probabilities(&logs, answers))
    }
}
