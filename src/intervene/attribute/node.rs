//! What an effect is the effect of.

use std::fmt;

/// A part of the residual stream after a block, or a head in it, at one position.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Node {
    /// The block.
    pub layer: usize,
    /// The position.
    pub position: usize,
    /// Which part.
    pub part: Part,
}

/// A part of what is at a position of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Part {
    /// A feature of the block's dictionary.
    Feature(u32),
    /// All of the residual that is no feature: what the dictionary leaves unexplained, and its bias.
    Error,
    /// A head: what it makes of the values.
    Head(usize),
    /// All of the residual.
    Whole,
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { layer, position, part } = self;
        match part {
            Part::Feature(feature) => write!(f, "L{layer}-{feature}@{position}"),
            Part::Error => write!(f, "L{layer} error@{position}"),
            Part::Head(head) => write!(f, "L{layer} head {head}@{position}"),
            Part::Whole => write!(f, "L{layer}@{position}"),
        }
    }
}
