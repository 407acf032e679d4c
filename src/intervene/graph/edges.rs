//! Nodes and edges of the graph.

use std::fmt;

/// What an edge comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Source {
    /// A feature of a captured block, at a position.
    Feature(Feature),
    /// What the dictionary of a captured block leaves unexplained at a position.
    Error {
        /// The block.
        layer: usize,
        /// The position.
        position: usize,
    },
    /// The bias of the decoder of a captured block, at a position.
    Bias {
        /// The block.
        layer: usize,
        /// The position.
        position: usize,
    },
    /// The embedding of the token at a position.
    Token {
        /// The position.
        position: usize,
    },
}

/// What an edge goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Target {
    /// The metric, read from a position.
    Metric {
        /// The position.
        position: usize,
    },
    /// A feature of a captured block before its nonlinearity.
    Feature(Feature),
}

/// A feature at a position of a captured block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Feature {
    /// The block.
    pub layer: usize,
    /// The position.
    pub position: usize,
    /// Which feature.
    pub feature: u32,
}

/// How much a source adds to a target.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Edge {
    /// Where it comes from.
    pub source: Source,
    /// Where it goes.
    pub target: Target,
    /// What the source adds to the target, in units of the metric, or of the feature before its nonlinearity.
    pub weight: f64,
    /// The share of the metric's influence that goes along this edge.
    pub influence: f64,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Feature(feature) => write!(f, "{feature}"),
            Self::Error { layer, position } => write!(f, "L{layer} error@{position}"),
            Self::Bias { layer, position } => write!(f, "L{layer} bias@{position}"),
            Self::Token { position } => write!(f, "token@{position}"),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Metric { .. } => f.write_str("metric"),
            Self::Feature(feature) => write!(f, "{feature}"),
        }
    }
}

impl fmt::Display for Feature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "L{}-{}@{}", self.layer, self.feature, self.position)
    }
}
