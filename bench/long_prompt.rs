//! A prompt of the slot machine that is long enough to be timed.

use std::error::Error;

use saelake::capture::prepare;
use saelake::game::{BetType, Components, Decide, Decision, Form, Layout, Rules, SlotMachine};
use saelake::model::Opened;

/// The prompt has as many tokens at least.
const TOKENS: usize = 200;

/// A game's prompt that is long enough, the first of its game.
pub(crate) fn prompt(opened: &Opened) -> Result<Layout, Box<dyn Error>> {
    let rules = Rules { bet_type: BetType::Fixed, components: Components::ALL };
    let mut machine = SlotMachine::new(rules, 0, 0)?;
    loop {
        let prompt = machine.prompt(Form::Chat, Decide::Choice).ok_or("the game is over")?;
        let layout = prepare((0, 0), &prompt, &opened.tokenizer, usize::MAX)?.layout;
        if layout.tokens.len() >= TOKENS {
            return Ok(layout);
        }
        machine.play(Decision::Bet(10))?;
    }
}
