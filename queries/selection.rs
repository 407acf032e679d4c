//! What a question is asked about: one step or all games, a layer, a span, a position, a feature.

use std::{fmt, str::FromStr};

use crate::{QueryError, Variables};

/// Whether special tokens and position 0 count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Specials {
    /// They do not.
    #[default]
    LeaveOut,
    /// They do.
    Include,
}

/// Which steps a question looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// One step of one game.
    Step {
        /// Key of the game; the smallest by default.
        game: Option<i64>,
        /// Its step; the first by default.
        step: Option<i32>,
    },
    /// Every step of the games that the tables show.
    AllGames,
}

impl Default for Scope {
    fn default() -> Self {
        Self::Step { game: None, step: None }
    }
}

/// A feature of the dictionary of a layer, written `L8-59`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FeatureName {
    /// The layer.
    pub layer: i32,
    /// Index into its dictionary.
    pub feature: i32,
}

impl fmt::Display for FeatureName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "L{}-{}", self.layer, self.feature)
    }
}

impl FromStr for FeatureName {
    type Err = QueryError;

    fn from_str(name: &str) -> Result<Self, QueryError> {
        let numbers = name.strip_prefix(['L', 'l']).and_then(|rest| rest.split_once('-'));
        let parsed = numbers.and_then(|(layer, feature)| Some((layer.parse().ok()?, feature.parse().ok()?)));
        match parsed {
            Some((layer, feature)) if layer >= 0 && feature >= 0 => Ok(Self { layer, feature }),
            _ => Err(QueryError::NotAFeature { name: name.to_owned() }),
        }
    }
}

/// What a question is asked about. What is left out is not narrowed down, or has the question's default.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Selection {
    /// Which steps.
    pub scope: Scope,
    /// One layer.
    pub layer: Option<i32>,
    /// One named span, or `decision` for the decision position.
    pub span: Option<String>,
    /// One position.
    pub position: Option<i32>,
    /// One feature; implies its layer.
    pub feature: Option<FeatureName>,
    /// How many rows at most, where the question ranks.
    pub limit: Option<u32>,
    /// Whether special tokens and position 0 count.
    pub specials: Specials,
}

impl Selection {
    /// The layer asked for, by itself or by a feature.
    ///
    /// # Errors
    /// [`QueryError::TwoLayers`] if the two differ.
    pub fn one_layer(&self) -> Result<Option<i32>, QueryError> {
        match (self.layer, self.feature) {
            (Some(layer), Some(name)) if name.layer != layer => Err(QueryError::TwoLayers { layer, name }),
            (layer, name) => Ok(layer.or(name.map(|name| name.layer))),
        }
    }

    /// The variables by which SQL is told the same.
    pub fn variables(&self) -> Variables {
        let mut variables = Variables::default();
        if let Scope::Step { game, step } = self.scope {
            variables.set("game", game).set("step", step);
        }
        variables
            .set("layer", self.layer.or(self.feature.map(|name| name.layer)))
            .set("span", self.span.clone())
            .set("position", self.position)
            .set("feature", self.feature.map(|name| name.feature))
            .set("limit", self.limit.map(i64::from))
            .set("specials", (self.specials == Specials::Include).then(|| "include".to_owned()));
        variables
    }
}
