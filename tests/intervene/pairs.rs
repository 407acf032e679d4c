//! Pairs of prompts: which positions belong together, and which pairs are refused.

use saelake::capture::prepare;
use saelake::game::{
    BetType, Body, Components, Decide, Decision, Form, Layout, Prompt, PromptSpan, Rules, SlotMachine,
};
use saelake::intervene::{InterveneError, Metric, Pair, Swap};
use saelake::model::Dtype;
use saelake::tokens::Tokenizer;

use crate::support::smollm2;

fn tokenizer() -> Tokenizer {
    let path = smollm2();
    let device = burn::tensor::Device::flex();
    saelake::model::open(path.to_str().unwrap(), &device, Dtype::F32).unwrap().tokenizer
}

/// The prompt of a game with these components after a lost bet.
fn game(tokenizer: &Tokenizer, components: &str) -> Layout {
    let components: Components = components.parse().unwrap();
    let rules = Rules { bet_type: BetType::Fixed, components };
    let mut machine = SlotMachine::new(rules, 0, 0).unwrap();
    while machine.rounds().iter().all(|round| round.won != Some(false)) {
        machine.play(Decision::Bet(10)).unwrap();
    }
    let prompt = machine.prompt(Form::Chat, Decide::Choice).unwrap();
    prepare((0, 0), &prompt, tokenizer, 8192).unwrap().layout
}

fn swap(span: &str, text: &str) -> Swap {
    Swap { span: span.to_owned(), text: text.to_owned() }
}

fn text_of(layout: &Layout, position: usize) -> &str {
    &layout.tokens[position].text
}

#[test]
fn a_shorter_number_is_aligned_from_its_end() {
    let tokenizer = tokenizer();
    let clean = game(&tokenizer, "GMHWP");
    let pair = Pair::swapped(clean.clone(), &[swap("initial_funds", "$10")], &tokenizer).unwrap();
    assert_eq!(pair.corrupted.tokens.len() + 1, clean.tokens.len(), "every digit is a token");
    let span = clean.spans.iter().find(|span| span.name == "initial_funds").unwrap();
    let place = saelake::tokens::positions(&clean.tokens, &span.bytes).unwrap();
    let inside: Vec<(&str, Option<&str>)> = place
        .clone()
        .map(|p| (text_of(&clean, p), pair.partners[p].map(|other| text_of(&pair.corrupted, other))))
        .collect();
    assert_eq!(inside, [(" $", None), ("1", Some(" $")), ("0", Some("1")), ("0", Some("0"))]);
    for (position, partner) in pair.partners.iter().enumerate().filter(|(p, _)| !place.contains(p)) {
        let partner = partner.unwrap();
        assert_eq!(clean.tokens[position].id, pair.corrupted.tokens[partner].id, "position {position}");
    }
    let back = pair.clone().reversed().reversed();
    assert_eq!((back.partners, back.clean), (pair.partners, pair.clean));
}

#[test]
fn a_loss_becomes_a_win_and_both_texts_are_in_the_pair() {
    let tokenizer = tokenizer();
    let clean = game(&tokenizer, "GM");
    let last = clean.spans.iter().rfind(|span| span.name.ends_with(".result")).unwrap().name.clone();
    let pair = Pair::swapped(clean.clone(), &[swap(&last, "won")], &tokenizer).unwrap();
    assert_eq!(pair.partners, (0..clean.tokens.len()).map(Some).collect::<Vec<_>>());
    let differing = (0..clean.tokens.len())
        .filter(|p| clean.tokens[*p].id != pair.corrupted.tokens[*p].id)
        .map(|p| (text_of(&clean, p), text_of(&pair.corrupted, p)));
    assert_eq!(differing.collect::<Vec<_>>(), [(" lost", " won")]);
}

/// A component taken out leaves the prompt that is written without it: text, tokens and spans.
#[test]
fn a_component_taken_out_is_as_if_it_had_never_been_there() {
    let tokenizer = tokenizer();
    for (with, without, span) in [("GMP", "MP", "goal"), ("GMP", "GP", "reward"), ("GMP", "GM", "win_rate")] {
        let (clean, expected) = (game(&tokenizer, with), game(&tokenizer, without));
        let pair = Pair::swapped(clean, &[swap(span, "")], &tokenizer).unwrap();
        assert_eq!(pair.corrupted, expected, "without {span}");
    }
}

#[test]
fn pairs_that_nothing_aligns_are_refused() {
    let tokenizer = tokenizer();
    let clean = game(&tokenizer, "GM");
    let refused = |swaps: &[Swap]| Pair::swapped(clean.clone(), swaps, &tokenizer).unwrap_err();
    let unknown = refused(&[swap("balanse", "$10")]).to_string();
    assert!(unknown.contains("`balanse`") && unknown.contains("balance"), "{unknown}");
    let both = refused(&[swap("history[0]", "x"), swap("history[0].bet", "$5")]);
    assert!(matches!(both, InterveneError::SwapsOverlap { .. }), "{both}");

    let layout = |text: &str, span: Option<&str>| {
        let spans = span.map(|part| {
            let start = text.find(part).unwrap();
            PromptSpan { name: "part".to_owned(), message: 0, bytes: start..start + part.len() }
        });
        let spans = spans.into_iter().collect();
        let prompt = Prompt { body: Body::Text(text.to_owned()), spans, prefill: String::new() };
        prompt.lay_out(&tokenizer).unwrap()
    };
    let (short, long) = ("You have $5 left. Bet?", "You have $500 left. Bet?");
    let error = Pair::of(layout(long, None), layout(short, None)).unwrap_err();
    assert!(matches!(error, InterveneError::NoCommonSpan { .. }), "{error}");
    let pair = Pair::of(layout(long, Some("$500")), layout(short, Some("$5"))).unwrap();
    assert_eq!(pair.partners.last().unwrap().unwrap(), pair.corrupted.tokens.len() - 1);
    // The span says how much of the difference it is; here the end differs too.
    let error = Pair::of(layout(long, Some("$500")), layout("You have $5. Bet?", Some("$5"))).unwrap_err();
    assert!(matches!(error, InterveneError::Unaligned { .. }), "{error}");
}

#[test]
fn a_metric_needs_tokens_of_its_own() {
    let tokenizer = tokenizer();
    assert!(Metric::difference(&tokenizer, " Bet", " Stop").is_ok());
    let several = Metric::difference(&tokenizer, " Bet $10", " Stop").unwrap_err().to_string();
    assert!(several.contains("` Bet $10` is 4 tokens"), "{several}");
    assert!(Metric::difference(&tokenizer, " Bet", " Bet").is_err());
    assert!(
        matches!(Metric::log_probability(&tokenizer, " Bet $10"), Ok(Metric::LogProbability(ids)) if ids.len() == 4)
    );
    assert!(Metric::log_probability(&tokenizer, "").is_err());
}
