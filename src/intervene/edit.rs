//! What is changed in a forward pass, and where.

use burn::tensor::Tensor;

use super::error::InterveneError;
use crate::dictionary::{Dictionary, DictionaryError};
use crate::model::{Config, Hook, Site};

/// One change of a forward pass.
#[derive(Clone, Debug)]
pub struct Edit<'a> {
    /// Where in the model.
    pub hook: Hook,
    /// The sequence of the batch, or all of them.
    pub sequence: Option<usize>,
    /// Where in the sequence; of a pattern, the queries.
    pub positions: Positions,
    /// Which heads of `z`, `v` or a pattern, ascending; all if none is named.
    pub heads: Option<Vec<usize>>,
    /// What is done there.
    pub change: Change<'a>,
}

/// Where in a sequence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Positions {
    /// At these, ascending.
    At(Vec<usize>),
    /// At every token of the first pass of a sequence, which is its prompt, but for position 0, where attention rests
    /// and no dictionary was trained.
    Prompt,
    /// At every token, new ones too, but for position 0.
    Every,
}

/// What is done to the rows of a place. `width` is that of the place, or of the heads named, side by side.
#[derive(Clone, Debug)]
pub enum Change<'a> {
    /// Each position gets a row of its own, such as that of another run: `[positions, width]`, or of a pattern
    /// `[heads * positions, keys]`. Only with [`Positions::At`].
    Replace(Tensor<2>),
    /// All positions get the same row, such as a mean: `[width]`.
    Set(Tensor<1>),
    /// A direction is added: `[width]`.
    Add(Tensor<1>),
    /// The numbers are multiplied; by 0 they are ablated.
    Scale(f32),
    /// Features of the dictionary that reads this place get other activations, and the rows move by the difference
    /// alone: `x ← x + Σ (f' − f) · d`. What the dictionary leaves unexplained stays as it is.
    Features {
        /// The dictionary.
        dictionary: &'a Dictionary,
        /// What becomes of its features.
        features: Vec<FeatureEdit>,
    },
}

/// What becomes of one feature.
#[derive(Clone, Debug, PartialEq)]
pub struct FeatureEdit {
    /// Which.
    pub feature: u32,
    /// Its activation.
    pub change: FeatureChange,
}

/// What becomes of an activation.
#[derive(Clone, Debug, PartialEq)]
pub enum FeatureChange {
    /// It is multiplied; by 0 the feature is ablated.
    Scale(f32),
    /// It becomes this.
    Set(f32),
    /// This is added, whether the feature fires or not.
    Add(f32),
    /// It becomes one of these at each position. Only with [`Positions::At`].
    Replace(Vec<f32>),
}

impl Edit<'_> {
    /// Refuses what cannot be done in a model of this shape.
    pub(super) fn check(&self, config: &Config) -> Result<(), InterveneError> {
        let hook = self.hook;
        if hook.layer >= config.n_layers {
            return Err(InterveneError::NoSuchLayer { hook, layers: config.n_layers });
        }
        let heads = heads(hook.site, config);
        match (&self.heads, heads) {
            (Some(_), None) => return Err(InterveneError::NoHeads { hook }),
            (Some(asked), Some(heads)) => {
                if let Some(head) = asked.iter().find(|head| **head >= heads) {
                    return Err(InterveneError::NoSuchHead { hook, head: *head, heads });
                }
            }
            (None, _) => {}
        }
        let count = match &self.positions {
            Positions::At(positions) => Some(positions.len()),
            Positions::Prompt | Positions::Every => None,
        };
        self.check_change(count, config)
    }

    fn check_change(&self, count: Option<usize>, config: &Config) -> Result<(), InterveneError> {
        let hook = self.hook;
        let wrong = |found, expected| Err(InterveneError::WrongShape { hook, found, expected });
        let width = self.width(config);
        match &self.change {
            Change::Replace(rows) if hook.site == Site::Pattern => {
                let heads = self.heads.as_ref().map_or(config.n_heads, Vec::len);
                let [found, keys] = rows.dims();
                let expected = heads * count.unwrap_or(0);
                if found == expected { Ok(()) } else { wrong([found, keys], [expected, keys]) }
            }
            Change::Scale(_) => Ok(()),
            _ if hook.site == Site::Pattern => Err(InterveneError::PatternChange),
            Change::Replace(rows) => {
                let expected = [count.unwrap_or(0), width];
                if rows.dims() == expected { Ok(()) } else { wrong(rows.dims(), expected) }
            }
            Change::Set(row) | Change::Add(row) => {
                let [found] = row.dims();
                if found == width { Ok(()) } else { wrong([1, found], [1, width]) }
            }
            Change::Features { dictionary, features } => {
                if dictionary.hook != hook {
                    return Err(InterveneError::OtherHook { hook, dictionary: dictionary.hook });
                }
                features.iter().try_for_each(|edit| edit.check(dictionary, count))
            }
        }
    }

    /// How wide a row of the place is, or of the heads named.
    fn width(&self, config: &Config) -> usize {
        let heads = heads(self.hook.site, config);
        let named = self.heads.as_ref().map(Vec::len);
        heads.map_or(config.d_model, |all| named.unwrap_or(all) * config.head_dim)
    }
}

impl FeatureEdit {
    fn check(&self, dictionary: &Dictionary, count: Option<usize>) -> Result<(), InterveneError> {
        let (hook, feature, d_sae) = (dictionary.hook, self.feature, dictionary.d_sae);
        if feature as usize >= d_sae {
            return Err(DictionaryError::NoSuchFeature { hook, feature, d_sae }.into());
        }
        match &self.change {
            FeatureChange::Replace(values) if count != Some(values.len()) => {
                let (found, expected) = ([values.len(), 1], [count.unwrap_or(0), 1]);
                Err(InterveneError::WrongShape { hook, found, expected })
            }
            _ => Ok(()),
        }
    }
}

/// How many heads a site is split into, if it is.
pub(super) const fn heads(site: Site, config: &Config) -> Option<usize> {
    match site {
        Site::Pattern | Site::Z => Some(config.n_heads),
        Site::Value => Some(config.n_kv_heads),
        Site::ResidPost | Site::AttnOut | Site::Ln2Normalized | Site::MlpOut => None,
    }
}
