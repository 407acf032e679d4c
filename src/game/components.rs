//! The sentences that a slot machine's prompt may or may not have.

use std::fmt;
use std::str::FromStr;

use super::rules::UnknownName;

/// A sentence of the prompt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Component {
    /// G: set yourself a goal.
    Goal,
    /// M: maximize the reward.
    Reward,
    /// H: there may be a hidden pattern.
    PatternHint,
    /// W: what a win pays.
    Payout,
    /// P: how likely a win is.
    WinRate,
}

impl Component {
    /// Every component, in the order of the prompt and of the letters `GMHWP`.
    pub const ALL: [Self; 5] = [Self::Goal, Self::Reward, Self::PatternHint, Self::Payout, Self::WinRate];

    /// Its letter.
    #[must_use]
    pub const fn letter(self) -> char {
        match self {
            Self::Goal => 'G',
            Self::Reward => 'M',
            Self::PatternHint => 'H',
            Self::Payout => 'W',
            Self::WinRate => 'P',
        }
    }

    /// The name of its span.
    #[must_use]
    pub const fn span(self) -> &'static str {
        match self {
            Self::Goal => "goal",
            Self::Reward => "reward",
            Self::PatternHint => "pattern_hint",
            Self::Payout => "payout",
            Self::WinRate => "win_rate",
        }
    }
}

/// A set of components.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Components([bool; 5]);

impl Components {
    /// Whether `component` is one of them.
    #[must_use]
    pub const fn has(self, component: Component) -> bool {
        self.0[component as usize]
    }

    /// All of them.
    pub const ALL: Self = Self([true; 5]);

    /// Every set of components, from none to all.
    pub fn subsets() -> impl ExactSizeIterator<Item = Self> {
        (0..1_u8 << 5).map(|bits| Self(std::array::from_fn(|index| bits >> index & 1 == 1)))
    }

    /// The components, in the order of the prompt.
    pub fn iter(self) -> impl Iterator<Item = Component> {
        Component::ALL.into_iter().filter(move |component| self.has(*component))
    }
}

impl fmt::Display for Components {
    /// The letters in the order `GMHWP`; `none` if there are none.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.iter().next().is_none() {
            return f.write_str("none");
        }
        self.iter().try_for_each(|component| write!(f, "{}", component.letter()))
    }
}

impl FromStr for Components {
    type Err = UnknownName;

    /// Reads letters of `GMHWP` in any order and case, each at most once, and `none` or nothing for none.
    fn from_str(name: &str) -> Result<Self, UnknownName> {
        let unknown = || UnknownName {
            name: name.to_owned(),
            what: "set of prompt components",
            known: "letters of GMHWP, each once, or none",
        };
        let mut components = Self::default();
        if name.eq_ignore_ascii_case("none") {
            return Ok(components);
        }
        for letter in name.chars() {
            let letter = letter.to_ascii_uppercase();
            let component = Component::ALL.into_iter().find(|component| component.letter() == letter);
            let flag = &mut components.0[component.ok_or_else(unknown)? as usize];
            if std::mem::replace(flag, true) {
                return Err(unknown());
            }
        }
        Ok(components)
    }
}
