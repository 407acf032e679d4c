//! Attribution of a change to features and the rest: from one pass back, and by integrated gradients.

use super::change::{Changed, Values};
use super::gradients::Wanted;
use super::node::{Node, Part};
use crate::dictionary::Dictionary;
use crate::intervene::error::InterveneError;
use crate::intervene::kept::Base;
use crate::intervene::on_host::products;
use crate::model::Freeze;

/// What is known of the effect of a node: the metric with the node changed less the metric as it is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Effect {
    /// The node.
    pub node: Node,
    /// The activation of a feature before, and after. Of the rest, `None`.
    pub activation: Option<(f32, f32)>,
    /// Attribution patching: the change along the gradient.
    pub estimate: f64,
    /// Integrated gradients, where they were asked for: the change along the mean gradient of the way.
    pub integrated: Option<f64>,
    /// The last row of the pattern times the activation: what a reading of attention says.
    pub attention: Option<f64>,
    /// The last column times the activation: the formula that was published before.
    pub published: Option<f64>,
    /// By a forward pass with the node changed, where it was audited.
    pub exact: Option<f64>,
    /// Why it was audited.
    pub audit: Option<Audit>,
}

/// Why a node was audited.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Audit {
    /// It is among the largest by a score.
    Top,
    /// It was drawn at random.
    Drawn,
}

/// What an attribution is asked for.
#[derive(Clone, Copy)]
pub struct Ask<'a> {
    /// What the nodes become.
    pub values: Values<'a>,
    /// What the gradient takes as constant.
    pub freeze: Freeze,
}

/// The change of one block, and its effects.
pub struct Attributed<'a> {
    /// The change.
    pub changed: Changed<'a>,
    /// The effects of its nodes: the features, then the rest of each position.
    pub effects: Vec<Effect>,
    /// The whole change along the gradient, summed over the positions: what the estimates add up to.
    pub whole: f64,
    /// Likewise along the mean gradient, where integrated gradients were asked for: an estimate of `exact`.
    pub integrated: Option<f64>,
    /// The effect of the whole change, all positions at once, by a forward pass, where it was audited.
    pub exact: Option<f64>,
}

impl Attributed<'_> {
    /// The sum of the estimates.
    pub fn sum(&self) -> f64 {
        self.effects.iter().map(|effect| effect.estimate).sum()
    }
}

impl Base<'_> {
    /// The effects of every feature and of the rest at every position of the blocks that the dictionaries read, all
    /// from one pass back.
    ///
    /// # Errors
    /// If a dictionary does not read the residual after a block of the model, the values do not fit, or the device
    /// fails.
    pub fn attributed<'a>(
        &self,
        dictionaries: &'a [Dictionary],
        ask: Ask<'_>,
    ) -> Result<Vec<Attributed<'a>>, InterveneError> {
        let layers = dictionaries.iter().map(|dictionary| dictionary.hook.layer).collect::<Vec<_>>();
        let gradients = self.gradients(Wanted { after: &layers, freeze: ask.freeze, ..Wanted::default() })?;
        let of_layer = |dictionary: &'a Dictionary| {
            let hook = dictionary.hook;
            let changed = Changed::of(self, dictionary, ask.values)?;
            let gradient = gradients.after.get(&hook.layer).ok_or(InterveneError::NotKept { hook })?;
            let effects = self.effects(&changed, &changed.along(gradient)?)?;
            let whole = products(&changed.whole, gradient)?.iter().sum();
            Ok(Attributed { changed, effects, whole, integrated: None, exact: None })
        };
        dictionaries.iter().map(of_layer).collect::<Result<Vec<_>, InterveneError>>()
    }

    /// Adds integrated gradients: for each block as many passes forward and back through the blocks above it as steps.
    ///
    /// # Errors
    /// If the device fails.
    pub fn integrate(&self, attributed: &mut [Attributed<'_>], steps: usize) -> Result<(), InterveneError> {
        for Attributed { changed, effects, integrated, .. } in attributed {
            let mean = self.integrated_gradient(changed.dictionary.hook.layer, &changed.whole, steps)?;
            *integrated = Some(products(&changed.whole, &mean)?.iter().sum());
            for (effect, along) in effects.iter_mut().zip(changed.along(&mean)?) {
                effect.integrated = Some(along);
            }
        }
        Ok(())
    }

    fn effects(&self, changed: &Changed<'_>, estimates: &[f64]) -> Result<Vec<Effect>, InterveneError> {
        let looked_at = self.looked_at(changed.dictionary.hook.layer)?;
        let effect = |(index, node): (usize, Node)| {
            let feature = match node.part {
                Part::Feature(_) => changed.features.get(index),
                _ => None,
            };
            let score = |weights: &[f32]| {
                feature.map(|feature| f64::from(weights[node.position]) * f64::from(feature.before))
            };
            Effect {
                node,
                activation: feature.map(|feature| (feature.before, feature.after)),
                estimate: estimates[index],
                integrated: None,
                attention: score(&looked_at.row),
                published: score(&looked_at.column),
                exact: None,
                audit: None,
            }
        };
        Ok(changed.nodes().enumerate().map(effect).collect::<Vec<_>>())
    }
}
