//! The two ways in which the model decides: by a choice of options, and by a free answer.

use schemas::steps;

use super::choose::Pair;
use super::engine::Pass;
use super::episode::empty_step;
use super::generate::{Answer, Drawing};
use super::past::{Asked, Past};
use super::play::{Dealt, Seat, Table};
use super::prepare::Prepared;
use super::token_budget::groups;
use crate::error::Error;
use crate::game::{BetType, Decision, Options, parse_answer};

/// What the model thinks of the amount that it bet.
#[derive(Clone, Copy)]
struct Amount {
    dollars: i32,
    /// Its probability and that of all amounts on offer together, given a bet; `None` where there was no
    /// choice.
    probabilities: Option<(f32, f32)>,
}

/// What is drawn of a step by the probabilities of its options.
enum Drawn {
    /// A bet, of one of these amounts.
    Bet(Vec<i32>),
    Stop,
    /// Probabilities that sum to nothing are no decision.
    Nothing,
}

impl Table<'_> {
    /// Begins to read the prompts in one pass.
    pub(super) fn begin(&self, dealt: &[Dealt]) -> Result<Pass<'_>, Error> {
        let steps: Vec<&Prepared> = dealt.iter().map(|(_, step)| step).collect();
        Ok(self.engine.start(
            &steps,
            &vec![self.options; steps.len()],
            self.rules.bet_type == BetType::Variable,
        )?)
    }

    /// Draws an option for each game by what its pass saw, and plays it.
    pub(super) fn choose(&self, dealt: &[Dealt], pass: Pass<'_>, seats: &mut [Seat]) -> Result<(), Error> {
        let seen = pass()?;
        let draw = |((index, _), pair): (&Dealt, &Pair)| seats[*index].draw_option(*pair);
        let drawn: Vec<Drawn> = dealt.iter().zip(&seen.pairs).map(draw).collect();
        let mut amounts = self.amounts(dealt, &drawn, seen.past.as_ref(), seats)?.into_iter();
        let seen = seen.captured.into_iter().zip(seen.pairs);
        for (((index, step), drawn), (captured, pair)) in dealt.iter().zip(drawn).zip(seen) {
            let seat = &mut seats[*index];
            seat.episode.saw(step, captured);
            let row = match drawn {
                Drawn::Nothing => {
                    undecided(step, seat, pair, "the model gives neither option any probability")
                }
                Drawn::Bet(_) => match amounts.next().flatten() {
                    Some(amount) => {
                        played(step, seat, pair, Decision::Bet(amount.dollars), amount.probabilities)?
                    }
                    None => undecided(step, seat, pair, "the model gives no amount any probability"),
                },
                Drawn::Stop => played(step, seat, pair, Decision::Stop, None)?,
            };
            seat.episode.decided(row);
        }
        Ok(())
    }

    /// Draws the dollars of every bet from the model's probabilities of the amounts on offer, each followed by
    /// the end of the answer, since `$10` begins `$100` too. `None` where all of these vanish together.
    fn amounts(
        &self,
        dealt: &[Dealt],
        drawn: &[Drawn],
        past: &dyn Past,
        seats: &mut [Seat],
    ) -> Result<Vec<Option<Amount>>, Error> {
        let (mut bets, mut asked) = (Vec::new(), Vec::new());
        for (step, ((index, _), drawn)) in dealt.iter().zip(drawn).enumerate() {
            let Drawn::Bet(amounts) = drawn else { continue };
            bets.push((*index, amounts));
            let is_open = self.rules.bet_type == BetType::Variable && amounts.len() > 1;
            let answers = if is_open { amounts.as_slice() } else { &[] };
            let answers = answers.iter().map(|dollars| self.bet_ids(*dollars)).collect::<Result<_, _>>()?;
            asked.push(Asked { step, answers });
        }
        let found = past.continuations(&asked)?;
        let amount = |((index, amounts), found): ((usize, &Vec<i32>), Vec<f32>)| {
            if found.is_empty() {
                return Some(Amount { dollars: amounts[0], probabilities: None });
            }
            let weights: Vec<f64> = found.iter().map(|probability| f64::from(*probability)).collect();
            let mass: f64 = weights.iter().sum();
            let drawn = seats[index].draws.pick(&weights)?;
            Some(Amount { dollars: amounts[drawn], probabilities: Some((found[drawn], mass as f32)) })
        };
        Ok(bets.into_iter().zip(found).map(amount).collect())
    }

    /// The tokens of a bet of `dollars` as an answer.
    fn bet_ids(&self, dollars: i32) -> Result<Vec<u32>, Error> {
        let text = format!("{}{}", Options::BET, Options::amount(dollars));
        let tokens = self.tokenizer.encode_rendered(&text).map_err(super::CaptureError::from)?;
        Ok(tokens.iter().map(|token| token.id).collect())
    }

    /// Lets the model answer, parses the answers, and reads prompts and answers together.
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
        // A pass is taken in while the next one runs.
        let mut under_way = None;
        for group in groups(&answered, |(_, (step, ..))| step.tokens().len(), settings.batch_tokens) {
            let steps: Vec<&Prepared> = group.iter().map(|(_, (step, ..))| step).collect();
            let pass = self.engine.start(&steps, &vec![self.options; steps.len()], false)?;
            if let Some((group, pass)) = under_way.replace((group, pass)) {
                record(group, pass, seats)?;
            }
        }
        under_way.map_or(Ok(()), |(group, pass)| record(group, pass, seats))
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

impl Seat {
    /// What is drawn of a step whose options the model thinks of so.
    fn draw_option(&mut self, pair: Pair) -> Drawn {
        match self.draws.pick(&[f64::from(pair.first), f64::from(pair.second)]) {
            None => Drawn::Nothing,
            Some(0) => Drawn::Bet(self.machine.options().map(|options| options.bets).unwrap_or_default()),
            Some(_) => Drawn::Stop,
        }
    }
}

/// Plays the decisions of answered steps, with what their pass saw.
fn record(answered: &[(usize, Parsed)], pass: Pass<'_>, seats: &mut [Seat]) -> Result<(), Error> {
    let seen = pass()?;
    let seen = seen.captured.into_iter().zip(seen.pairs);
    for ((index, (step, text, decision)), (captured, pair)) in answered.iter().zip(seen) {
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
