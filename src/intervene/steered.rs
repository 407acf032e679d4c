//! Games that are played with changes made in every pass.

use super::edit::{Edit, Positions};
use super::error::InterveneError;
use super::interventions::Interventions;
use super::kept::Base;
use crate::capture::{
    Answer, Asked, CaptureError, Drawing, Engine, Observed, Pass, Past, Prepared, Settings, generate_tapped,
    go_on, groups, pairs, play, verify,
};
use crate::dictionary::Measured;
use crate::error::Error;
use crate::game::Rules;
use crate::lake::Captured;
use crate::model::{Cache, Config, Llama, Packed};
use crate::tokens::Tokenizer;

/// What came of a game.
#[derive(Clone, Debug, PartialEq)]
pub struct Played {
    /// Key of the game.
    pub game: i64,
    /// Decisions to bet.
    pub bets: u32,
    /// Decisions, of either kind.
    pub decisions: u32,
    /// logit(bet) - logit(stop), summed over the decisions.
    pub logit_diff: f64,
    /// Dollars at the end.
    pub balance: i32,
}

/// What games are played with.
#[derive(Clone, Copy)]
pub struct Player<'a> {
    /// The model.
    pub llama: &'a Llama,
    /// Its tokenizer.
    pub tokenizer: &'a Tokenizer,
    /// The rules.
    pub rules: Rules,
    /// The seed of the games and of the model's draws.
    pub seed: u64,
    /// How decisions are made.
    pub settings: &'a Settings,
}

impl Player<'_> {
    /// Plays games of the seed with `edits` in every pass. The same game meets the same spins and the same draws,
    /// whatever the edits. `None` if `stopped` said so before they were over.
    ///
    /// # Errors
    /// If an edit cannot be made, or the device fails.
    pub fn play(
        &self,
        edits: &[Edit<'_>],
        indices: &[u64],
        stopped: &dyn Fn() -> bool,
    ) -> Result<Option<Vec<Played>>, Error> {
        // Refused now, so that a pass has nothing to refuse but what the device does.
        Interventions::new(edits.to_vec(), self.llama.config())?;
        let engine = Steered { llama: self.llama, settings: self.settings, edits };
        let episodes = play(&engine, self.tokenizer, self.rules, self.seed, indices, stopped)?;
        let played = |episode: crate::capture::Episode| {
            let rows = episode.steps;
            let is = |word: &'static str| {
                rows.decision.iter().filter(move |decision| decision.as_deref() == Some(word)).count() as u32
            };
            let (bets, stops) = (is("bet"), is("stop"));
            Played {
                game: episode.game.game,
                bets,
                decisions: bets + stops,
                logit_diff: rows.logit_diff.iter().flatten().map(|logit| f64::from(*logit)).sum(),
                balance: episode.game.final_balance.unwrap_or_default(),
            }
        };
        Ok(episodes.map(|episodes| episodes.into_iter().map(played).collect()))
    }
}

/// An engine that decides and keeps nothing else, with changes in every pass.
struct Steered<'a> {
    llama: &'a Llama,
    settings: &'a Settings,
    edits: &'a [Edit<'a>],
}

impl Steered<'_> {
    /// One pass, or several that belong together, with changes in it.
    fn pass<T>(
        &self,
        edits: Vec<Edit<'_>>,
        run: impl FnOnce(&mut Interventions<'_>) -> T,
    ) -> Result<T, CaptureError> {
        let failed = |error| match error {
            InterveneError::Dictionary(error) => CaptureError::Dictionary(error),
            error => CaptureError::Device(error.to_string()),
        };
        let mut tap = Interventions::new(edits, self.llama.config()).map_err(failed)?;
        let made = run(&mut tap);
        tap.finish().map_err(failed)?;
        Ok(made)
    }
}

impl Engine for Steered<'_> {
    fn config(&self) -> &Config {
        self.llama.config()
    }

    fn settings(&self) -> &Settings {
        self.settings
    }

    fn start(&self, steps: &[&Prepared], tokens: &[[u32; 2]], _: bool) -> Result<Pass<'_>, CaptureError> {
        let ids: Vec<Vec<u32>> = steps.iter().map(|step| step.ids()).collect();
        let packed = Packed::new(ids.iter().map(Vec::as_slice));
        let mut caches = vec![Cache::default(); steps.len()];
        let edits = self.edits.iter().flat_map(|edit| of_prompts(edit, steps)).collect();
        let residual = self.pass(edits, |tap| self.llama.extend(&packed, &mut caches, tap))?;
        let rows = packed.ranges().zip(steps).map(|(range, step)| range.start + step.decision);
        let decisions = Base::rows(&residual, &rows.collect::<Vec<_>>());
        let pairs = pairs(self.llama.logits(decisions), tokens)?;
        let captured = vec![Captured::default(); steps.len()];
        let past = Box::new(Remembered { steered: self, caches });
        Ok(Box::new(move || Ok(Observed { captured, pairs, past })))
    }

    /// As many at once as the token budget holds.
    fn generate(
        &self,
        prompts: &[Vec<u32>],
        drawing: &Drawing,
        draw: &mut dyn FnMut(usize) -> f32,
    ) -> Result<Vec<Answer>, CaptureError> {
        let mut answers = Vec::with_capacity(prompts.len());
        for group in groups(prompts, Vec::len, self.settings.batch_tokens) {
            let (first, edits) = (answers.len(), self.edits.to_vec());
            let mut draw = |prompt| draw(first + prompt);
            let made = self.pass(edits, |tap| generate_tapped(self.llama, group, drawing, &mut draw, tap))?;
            answers.extend(made?);
        }
        Ok(answers)
    }

    fn measure(&self, steps: &[Prepared]) -> Result<Vec<Measured>, CaptureError> {
        Ok(verify(self.llama, &[], steps)?)
    }
}

/// What the attention of a pass with changes remembers; what goes on from it is changed too.
struct Remembered<'a> {
    steered: &'a Steered<'a>,
    caches: Vec<Cache>,
}

impl Past for Remembered<'_> {
    fn continuations(&self, asked: &[Asked]) -> Result<Vec<Vec<f32>>, CaptureError> {
        let Steered { llama, edits, .. } = *self.steered;
        go_on(llama, (&self.caches, asked), |packed, caches| {
            self.steered.pass(edits.to_vec(), |tap| llama.extend(packed, caches, tap))
        })
    }
}

/// An edit of prompts as it is made where a step is read with its answer: at the prompt's own tokens of each step.
fn of_prompts<'a>(edit: &Edit<'a>, steps: &[&Prepared]) -> Vec<Edit<'a>> {
    if edit.positions != Positions::Prompt {
        return vec![edit.clone()];
    }
    let of_step = |(sequence, step): (usize, &&Prepared)| Edit {
        sequence: Some(sequence),
        positions: Positions::At((1..step.n_prompt).collect()),
        ..edit.clone()
    };
    steps.iter().enumerate().map(of_step).collect()
}
