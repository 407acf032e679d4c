//! The arms of a steering: each feature at each strength, and its controls.

use queries::FeatureName;

use super::weights::of_layer;
use crate::capture::Prepared;
use crate::dictionary::{Dictionary, DictionaryError};
use crate::error::{Error, UsageError};
use crate::game::Stream;
use crate::intervene::{Change, Edit, FeatureChange, FeatureEdit, Positions, Profile, turned};
use crate::model::Opened;

/// How strongly a feature is steered.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Strength {
    /// Its activation is multiplied.
    Times(f32),
    /// So many times its mean where it fires are added.
    PlusMean(f32),
}

impl Strength {
    /// Reads `3`, `+mean` and `+2mean`.
    pub(super) fn read(word: &str) -> Result<Self, UsageError> {
        let wrong = || UsageError::Value {
            option: "strength",
            value: word.to_owned(),
            expected: "a number, `+mean`, or `+2mean` and the like",
        };
        let number =
            |text: &str| text.parse::<f32>().ok().filter(|number| number.is_finite()).ok_or_else(wrong);
        match word.strip_prefix('+').and_then(|rest| rest.strip_suffix("mean")) {
            Some("") => Ok(Self::PlusMean(1.0)),
            Some(times) => Ok(Self::PlusMean(number(times)?)),
            None => Ok(Self::Times(number(word)?)),
        }
    }

    fn change(self, mean: f32) -> FeatureChange {
        match self {
            Self::Times(factor) => FeatureChange::Scale(factor),
            Self::PlusMean(times) => FeatureChange::Add(times * mean),
        }
    }

    fn name(self) -> String {
        match self {
            Self::Times(factor) => format!("x {factor}"),
            Self::PlusMean(times) => format!("+ {times} mean"),
        }
    }
}

/// What an arm is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// Nothing is changed.
    Base,
    /// A feature that was asked for.
    Feature,
    /// Another feature, about as active.
    RandomFeature,
    /// The activation of the feature along a random direction.
    RandomDirection,
}

impl Role {
    /// How the answer and the lake name it.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Base => "none",
            Self::Feature => "feature",
            Self::RandomFeature => "random feature",
            Self::RandomDirection => "random direction",
        }
    }
}

/// One arm.
pub(super) struct Arm {
    pub(super) name: String,
    pub(super) role: Role,
    /// What is changed; nothing in the base.
    pub(super) steered: Option<Steered>,
}

/// A feature that is steered.
pub(super) struct Steered {
    /// Its dictionary, or one in which its decoder row is another.
    dictionary: Dictionary,
    pub(super) feature: u32,
    pub(super) strength: Strength,
    change: FeatureChange,
}

impl Arm {
    /// Whether it changes anything.
    pub(super) const fn changes(&self) -> bool {
        self.steered.is_some()
    }

    /// Whether its q counts among the discoveries.
    pub(super) fn is_tested(&self) -> bool {
        self.role == Role::Feature
    }

    /// Its change.
    pub(super) fn edit(&self, positions: &Positions) -> Option<Edit<'_>> {
        let steered = self.steered.as_ref()?;
        let features = vec![FeatureEdit { feature: steered.feature, change: steered.change.clone() }];
        let change = Change::Features { dictionary: &steered.dictionary, features };
        let hook = steered.dictionary.hook;
        Some(Edit { hook, sequence: None, positions: positions.clone(), heads: None, change })
    }

    /// The place that it changes.
    pub(super) fn hook(&self) -> Option<crate::model::Hook> {
        self.steered.as_ref().map(|steered| steered.dictionary.hook)
    }
}

/// The arm without a change, and then of every feature and strength the feature and its two controls. What is random is
/// drawn from the seed.
pub(super) fn arms(
    opened: &Opened,
    dictionaries: &[Dictionary],
    features: &[FeatureName],
    strengths: &[Strength],
    seed: u64,
    reference: &[Prepared],
) -> Result<Vec<Arm>, Error> {
    let mut arms = vec![Arm { name: "none".to_owned(), role: Role::Base, steered: None }];
    for (index, name) in features.iter().enumerate() {
        let dictionary = of_layer(dictionaries, name.layer)?;
        let feature = name.feature.cast_unsigned();
        if feature as usize >= dictionary.d_sae {
            let (hook, d_sae) = (dictionary.hook, dictionary.d_sae);
            return Err(DictionaryError::NoSuchFeature { hook, feature, d_sae }.into());
        }
        let profile = Profile::measure(&opened.llama, dictionary, reference)?;
        let of_layer = features.iter().filter(|other| other.layer == name.layer);
        let named: Vec<u32> = of_layer.map(|other| other.feature.cast_unsigned()).collect();
        let mut draws = Stream::sampling(seed, -2 - index as i64);
        let other = profile.like(feature, &named, &mut draws);
        let turned = turned(dictionary, feature, &mut draws);
        for strength in strengths {
            let mut add = |role: Role, dictionary: &Dictionary, feature: u32| {
                let change = strength.change(profile.mean[feature as usize]);
                let along = if role == Role::RandomDirection { ", random direction" } else { "" };
                let name = format!("L{}-{feature} {}{along}", name.layer, strength.name());
                let dictionary = dictionary.clone();
                let steered = Some(Steered { dictionary, feature, strength: *strength, change });
                arms.push(Arm { name, role, steered });
            };
            add(Role::Feature, dictionary, feature);
            if let Some(other) = other {
                add(Role::RandomFeature, dictionary, other);
            }
            add(Role::RandomDirection, &turned, feature);
        }
    }
    Ok(arms)
}
