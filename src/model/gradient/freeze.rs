//! What is taken as constant while a gradient is taken.

use std::fmt;
use std::str::FromStr;

/// What a gradient takes as constant.
///
/// With everything moving, a gradient is the true derivative. With patterns and norms frozen, the paths that are left
/// are those along which a vector is carried, and not those by which it changes where heads look or how long the
/// stream is: the gradient that circuit-tracer draws its graphs by, but that the MLPs stay as they are here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Freeze {
    /// Nothing: the true derivative.
    #[default]
    Nothing,
    /// The attention patterns: queries and keys get no gradient.
    Patterns,
    /// What each norm divides by, the final norm's included.
    Norms,
    /// Both.
    PatternsAndNorms,
}

/// Every way with its name.
const NAMES: [(Freeze, &str); 4] = [
    (Freeze::Nothing, "nothing"),
    (Freeze::Patterns, "patterns"),
    (Freeze::Norms, "norms"),
    (Freeze::PatternsAndNorms, "patterns+norms"),
];

impl Freeze {
    /// Whether the attention patterns are taken as constant.
    #[must_use]
    pub const fn patterns(self) -> bool {
        matches!(self, Self::Patterns | Self::PatternsAndNorms)
    }

    /// Whether what norms divide by is taken as constant.
    #[must_use]
    pub const fn norms(self) -> bool {
        matches!(self, Self::Norms | Self::PatternsAndNorms)
    }
}

impl fmt::Display for Freeze {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(NAMES.iter().find(|(freeze, _)| freeze == self).map_or("", |(_, name)| name))
    }
}

/// A word that is no way of freezing.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{0}` cannot be frozen: nothing, patterns, norms or patterns+norms can")]
pub struct UnknownFreeze(pub String);

impl FromStr for Freeze {
    type Err = UnknownFreeze;

    fn from_str(word: &str) -> Result<Self, UnknownFreeze> {
        let found = NAMES.iter().find(|(_, name)| *name == word);
        found.map(|(freeze, _)| *freeze).ok_or_else(|| UnknownFreeze(word.to_owned()))
    }
}
