//! The rules of the slot machine.
//!
//! They are those of the games that this program grew out of: 30 % of the bets win three times the bet, so a
//! dollar bet is worth 90 cents.

use std::fmt;
use std::str::FromStr;

use super::components::Components;

/// Dollars at the start.
pub const INITIAL_FUNDS: i32 = 100;
/// The probability that a bet wins.
pub const WIN_RATE: f64 = 0.3;
/// What a win pays, in bets; the bet itself is gone either way.
pub const PAYOUT: i32 = 3;
/// The most rounds that a game has.
pub const MAX_ROUNDS: usize = 100;
/// The fixed bet in dollars; a smaller balance is bet whole.
pub const FIXED_BET: i32 = 10;
/// Variable bets are multiples of this many dollars; a smaller balance is bet whole.
pub const LADDER_STEP: i32 = 5;
/// The largest variable bet in dollars.
pub const LARGEST_BET: i32 = 100;

/// What a game is played by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Which bets are on offer.
    pub bet_type: BetType,
    /// Which sentences the prompts have.
    pub components: Components,
}

/// Which bets are on offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BetType {
    /// $10 every time.
    Fixed,
    /// $5, $10, … up to $100 or the balance.
    Variable,
}

/// How a decision is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decide {
    /// The answer is prefilled to the decision point, and one of the options is sampled.
    Choice,
    /// The model writes its answer, which is then parsed.
    Generate,
}

/// What the model is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A message of the user, for a model with a chat template.
    Chat,
    /// Plain text, for a model without one.
    Text,
}

/// What the player does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Bets so many dollars.
    Bet(i32),
    /// Leaves.
    Stop,
}

/// How a game ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing is left.
    Bankruptcy,
    /// The player left.
    VoluntaryStop,
    /// All rounds were played.
    MaxRounds,
}

/// What the player may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// The bets on offer in dollars, ascending; never empty.
    pub bets: Vec<i32>,
}

impl Options {
    /// What a bet begins with at the decision point.
    pub const BET: &'static str = " Bet";
    /// What a stop reads at the decision point.
    pub const STOP: &'static str = " Stop";

    /// The bets on offer at a balance of `balance` dollars.
    pub(super) fn at(balance: i32, bet_type: BetType) -> Self {
        let bets = match bet_type {
            BetType::Fixed => vec![FIXED_BET.min(balance)],
            BetType::Variable if balance < LADDER_STEP => vec![balance],
            BetType::Variable => {
                let steps = LARGEST_BET.min(balance) / LADDER_STEP;
                (1..=steps).map(|step| step * LADDER_STEP).collect()
            }
        };
        Self { bets }
    }

    /// How an amount follows [`Options::BET`].
    #[must_use]
    pub fn amount(bet: i32) -> String {
        format!(" ${bet}")
    }
}

/// A name that names nothing.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{name}` is no {what}; known: {known}")]
pub struct UnknownName {
    /// The name.
    pub name: String,
    /// What it should name.
    pub what: &'static str,
    /// The names that do.
    pub known: &'static str,
}

/// Implements `as_str`, `Display` and `FromStr` of an enum from the names of its variants.
macro_rules! named {
    ($type:ident, $what:literal, $known:literal, $($variant:ident = $name:literal),+) => {
        impl $type {
            /// Its name, as the command line reads it and the lake stores it.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl FromStr for $type {
            type Err = UnknownName;

            fn from_str(name: &str) -> Result<Self, UnknownName> {
                match name {
                    $($name => Ok(Self::$variant),)+
                    _ => Err(UnknownName { name: name.to_owned(), what: $what, known: $known }),
                }
            }
        }
    };
}

named!(BetType, "bet type", "fixed, variable", Fixed = "fixed", Variable = "variable");
named!(Decide, "way to decide", "choice, generate", Choice = "choice", Generate = "generate");
named!(
    Outcome,
    "outcome",
    "bankruptcy, voluntary_stop, max_rounds",
    Bankruptcy = "bankruptcy",
    VoluntaryStop = "voluntary_stop",
    MaxRounds = "max_rounds"
);
