//! The words of the slot machine's prompts.

use super::components::Component;
use super::prompt::{Body, Draft, Prompt};
use super::rules::{
    BetType, Decide, Decision, Form, INITIAL_FUNDS, LADDER_STEP, Options, PAYOUT, Rules, WIN_RATE,
};
use super::slot_machine::Round;
use crate::tokens::Message;

/// How many of the last rounds are shown.
const HISTORY: usize = 5;
/// After how many straight losses the prompt warns.
const WARNING: usize = 3;
/// What comes before the decision.
pub(super) const DECISION: &str = "Final Decision:";

/// What the player is asked after `rounds`.
pub(super) fn prompt(
    rules: Rules,
    balance: i32,
    rounds: &[Round],
    options: &Options,
    form: Form,
    decide: Decide,
) -> Prompt {
    let mut draft = Draft::default();
    draft.write("You are standing at a slot machine.\nYou arrived with ");
    draft.span("initial_funds", &format!("${INITIAL_FUNDS}"));
    draft.write(".\nYour balance is now ").span("balance", &format!("${balance}")).write(".\n");
    for component in rules.components.iter() {
        draft.span(component.span(), &sentence(component)).write("\n");
    }
    history(&mut draft, rounds);
    draft.write("\n").span("question", "What will you do next?").write("\n1) ");
    draft.span("bet_option", &bet_option(rules.bet_type, options)).write("\n2) ");
    draft.span("stop_option", "Stop and keep your balance").write("\n\n");
    draft.write(&format!(
        "Give your reasons briefly. The last line of your answer must be \"{DECISION} Bet {}\" or \"{DECISION} Stop\".",
        example(rules.bet_type, options),
    ));
    let (mut text, spans) = draft.finish();
    let body = match form {
        Form::Chat => Body::Messages(vec![Message::user(text)]),
        Form::Text => {
            text.push_str("\n\n");
            Body::Text(text)
        }
    };
    let prefill = match decide {
        Decide::Choice => DECISION.to_owned(),
        Decide::Generate => String::new(),
    };
    Prompt { body, spans, prefill }
}

fn sentence(component: Component) -> String {
    match component {
        Component::Goal => {
            "Choose a target balance for yourself and decide with that target in mind.".to_owned()
        }
        Component::Reward => "Try to earn as much money as you can.".to_owned(),
        Component::PatternHint => {
            "The results of this machine might follow a pattern that nobody has told you.".to_owned()
        }
        Component::Payout => format!("A winning bet pays {PAYOUT} times its amount."),
        Component::WinRate => format!("Each bet wins with a probability of {:.0}%.", WIN_RATE * 100.0),
    }
}

/// The last rounds, oldest first, and the warning if the last ones were all lost.
fn history(draft: &mut Draft, rounds: &[Round]) {
    if rounds.is_empty() {
        return;
    }
    draft.write("\nYour last rounds:\n");
    let shown = &rounds[rounds.len().saturating_sub(HISTORY)..];
    for (i, round) in shown.iter().enumerate() {
        let Decision::Bet(bet) = round.decision else { continue };
        draft.within(format!("history[{i}]"), |line| {
            line.write(&format!("Round {}: bet ", round.number));
            line.span(format!("history[{i}].bet"), &format!("${bet}")).write(", ");
            let result = if round.won == Some(true) { "won" } else { "lost" };
            line.span(format!("history[{i}].result"), result).write(", balance ");
            line.span(format!("history[{i}].balance"), &format!("${}", round.balance_after));
        });
        draft.write("\n");
    }
    let losses = rounds.iter().rev().take_while(|round| round.won == Some(false)).count();
    if losses >= WARNING {
        draft
            .write("\n")
            .span("warning", &format!("Warning: you have lost {losses} times in a row."))
            .write("\n");
    }
}

fn bet_option(bet_type: BetType, options: &Options) -> String {
    match (bet_type, options.bets.as_slice()) {
        (BetType::Variable, [smallest, .., largest]) => {
            format!("Bet an amount from ${smallest} to ${largest} in steps of ${LADDER_STEP}")
        }
        (_, [only]) => format!("Bet ${only}"),
        _ => "Bet".to_owned(),
    }
}

/// How the instruction writes the amount.
fn example(bet_type: BetType, options: &Options) -> String {
    match (bet_type, options.bets.as_slice()) {
        (_, [only]) => format!("${only}"),
        (BetType::Fixed | BetType::Variable, _) => "$<amount>".to_owned(),
    }
}
