//! The two ways in which the model decides: by a choice of options, and by a free answer.

use schemas::steps;

use super::choose::Pair;
use super::engine::Pass;
use super::episode::empty_step;
use super::generate::{Answer, Drawing};
use super::play::{Dealt, Seat, Table};
use super::prepare::Prepared;
use crate::error::Error;
use crate::game::{BetType, Decision, Options, parse_answer};
use crate::model::Cache;

/// What the model thinks of the amount that it bet.
#[derive(Clone, Copy)]
struct Amount {
    dollars: i32,
    /// Its probability and that of all amounts on offer together, given a bet; `None` where there was no
    /// choice.
    probabilities: Option<(f32, f32)>,
}

impl Table<'_> {
    /// Begins to read the prompts in one pass.
    pub(super) fn begin(&self, dealt: &[Dealt]) -> Result<Pass<'_>, Error> {
        let steps: Vec<&Prepared> = dealt.iter().map(|(_, step)| step).collect();
        Ok(self.engine.start(&steps, &vec![self.options; steps.len()])?)
    }

    /// Draws an option for each game by what its pass saw, and plays it.
    pub(super) fn choose(&self, dealt: &[Dealt], pass: Pass<'_>, seats: &mut [Seat]) -> Result<(), Error> {
        let seen = pass()?;
        let seen = seen.captured.into_iter().zip(seen.caches).zip(seen.pairs);
        for ((index, step), ((captured, cache), pair)) in dealt.iter().zip(seen) {
            let seat = &mut seats[*index];
            seat.episode.saw(step, captured);
            let option = seat.draws.pick(&[f64::from(pair.first), f64::from(pair.second)]);
            let row = match option {
                // Probabilities that sum to nothing are no decision either.
                None => undecided(step, seat, pair, "the model gives neither option any probability"),
                Some(0) => match self.amount(step, seat, &cache)? {
                    Some(amount) => {
                        played(step, seat, pair, Decision::Bet(amount.dollars), amount.probabilities)?
                    }
                    None => undecided(step, seat, pair, "the model gives no amount any probability"),
                },
                Some(_) => played(step, seat, pair, Decision::Stop, None)?,
            };
            seat.episode.decided(row);
        }
        Ok(())
    }

    /// Draws the dollars of a bet from the model's probabilities of the amounts on offer, each followed by
    /// the end of the answer, since `$10` begins `$100` too. `None` if all of these vanish together.
    fn amount(&self, step: &Prepared, seat: &mut Seat, cache: &Cache) -> Result<Option<Amount>, Error> {
        let bets = seat.machine.options().map(|options| options.bets).unwrap_or_default();
        if seat.machine.rules().bet_type == BetType::Fixed || bets.len() < 2 {
            return Ok(Some(Amount { dollars: bets[0], probabilities: None }));
        }
        let mut answers = Vec::new();
        for dollars in &bets {
            let text = format!("{}{}", Options::BET, Options::amount(*dollars));
            let tokens = self.tokenizer.encode_rendered(&text).map_err(super::CaptureError::from)?;
            let ids: Vec<u32> = tokens.iter().map(|token| token.id).collect();
            answers.push(ids);
        }
        let probabilities = self.engine.continuations(step, cache, &answers)?;
        let weights: Vec<f64> = probabilities.iter().map(|probability| f64::from(*probability)).collect();
        let mass: f64 = weights.iter().sum();
        Ok(seat.draws.pick(&weights).map(|drawn| Amount {
            dollars: bets[drawn],
            probabilities: Some((probabilities[drawn], mass as f32)),
        }))
    }

    /// Lets the model answer, parses the answers, and reads prompts and answers together in one pass.
    pub(super) fn answer(&self, dealt: &[Dealt], seats: &mut [Seat]) -> Result<(), Error> {
        let settings = self.engine.settings();
        let prompts: Vec<Vec<u32>> = dealt.iter().map(|(_, step)| step.ids()).collect();
        let drawing = Drawing { temperature: settings.temperature, max_new_tokens: settings.max_new_tokens };
        let mut draw = |prompt: usize| seats[dealt[prompt].0].draws.uniform() as f32;
        let answers = self.engine.generate(&prompts, &drawing, &mut draw)?;
        let mut answered = Vec::new();
        for ((index, step), answer) in dealt.iter().zip(answers) {
            let seat = &mut seats[*index];
            match self.parse(step, &answer, seat) {
                Ok(parsed) => answered.push((*index, parsed)),
                Err(error) => seat.fail(&error),
            }
        }
        let steps: Vec<&Prepared> = answered.iter().map(|(_, (step, ..))| step).collect();
        if steps.is_empty() {
            return Ok(());
        }
        let seen = self.engine.start(&steps, &vec![self.options; steps.len()])?()?;
        for ((index, (step, text, decision)), (captured, pair)) in
            answered.iter().zip(seen.captured.into_iter().zip(seen.pairs))
        {
            let seat = &mut seats[*index];
            seat.episode.saw(step, captured);
            let row = match decision {
                Ok(decision) => played(step, seat, pair, *decision, None)?,
                Err(why) => undecided(step, seat, pair, why),
            };
            seat.episode.decided(steps::Row { answer: Some(text.clone()), ..row });
        }
        Ok(())
    }

    /// The step with its answer, the answer as text, and what it decides or why it does not.
    fn parse(&self, step: &Prepared, answer: &Answer, seat: &Seat) -> Result<Parsed, Error> {
        let start = step.layout.text.len();
        let text = self.tokenizer.decode(&answer.ids).map_err(super::CaptureError::from)?;
        let tokens = self.tokenizer.continuation(&answer.ids, start).map_err(super::CaptureError::from)?;
        let options = seat.machine.options().unwrap_or(Options { bets: Vec::new() });
        let (decision, position) = match parse_answer(&text, &options) {
            Ok(found) => {
                let word = start + found.word.start;
                let token = tokens.tokens.iter().position(|token| token.bytes.contains(&word));
                // The logits that gave a token stand at the position before it.
                (Ok(found.decision), token.map(|token| step.n_prompt + token - 1))
            }
            Err(why) => (Err(why.to_string()), None),
        };
        let context = self.engine.config().context;
        Ok((step.clone().answered(tokens, position, context)?, text, decision))
    }
}

/// A step with its answer, the answer as text, and its decision or why there is none.
type Parsed = (Prepared, String, Result<Decision, String>);

/// The row of a step whose decision is played now.
fn played(
    step: &Prepared,
    seat: &mut Seat,
    pair: Pair,
    decision: Decision,
    amount: Option<(f32, f32)>,
) -> Result<steps::Row, Error> {
    let round = seat.machine.play(decision)?;
    let (name, bet) = match decision {
        Decision::Bet(dollars) => ("bet", dollars),
        Decision::Stop => ("stop", 0),
    };
    Ok(steps::Row {
        decision: Some(name.to_owned()),
        bet: Some(bet),
        won: round.won,
        balance_before: Some(round.balance_before),
        balance_after: Some(round.balance_after),
        p_amount: amount.map(|(probability, _)| probability),
        amount_mass: amount.map(|(_, mass)| mass),
        ..thought(step, Some(round.balance_before), pair)
    })
}

/// The row of a step without a decision, which ends its game.
fn undecided(step: &Prepared, seat: &mut Seat, pair: Pair, why: &str) -> steps::Row {
    seat.broken_off = Some("unparsable");
    steps::Row {
        status: "unparsable".to_owned(),
        error: Some(why.to_owned()),
        ..thought(step, Some(seat.machine.balance()), pair)
    }
}

/// The row of a step with what the model thinks of the options.
fn thought(step: &Prepared, balance: Option<i32>, pair: Pair) -> steps::Row {
    steps::Row {
        n_tokens: step.tokens().len() as i32,
        n_prompt_tokens: step.n_prompt as i32,
        decision_position: step.decision as i32,
        p_bet: Some(pair.first),
        p_stop: Some(pair.second),
        option_mass: Some(pair.first + pair.second),
        logit_diff: Some(pair.logit_diff),
        ..empty_step((step.game, step.step), balance)
    }
}
