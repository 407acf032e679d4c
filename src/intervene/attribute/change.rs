//! How the residual after a block changes, cut into features and the rest.

use burn::tensor::{DType, Tensor, TensorData};

use super::node::{Node, Part};
use super::parts::partnered;
use crate::dictionary::Dictionary;
use crate::intervene::error::InterveneError;
use crate::intervene::kept::Base;
use crate::intervene::on_host::{numbers, products};
use crate::intervene::patch::Patch;
use crate::model::Hook;

/// Rows that are encoded at once, which bounds the memory.
const CHUNK: usize = 256;

/// What the nodes of a run become.
#[derive(Clone, Copy)]
pub enum Values<'a> {
    /// What they are in another run: for each position, the one of the other run that belongs with it. Nodes of
    /// positions without one stay as they are.
    Run(&'a Base<'a>, &'a [Option<usize>]),
    /// Nothing: features do not fire, and what the dictionary leaves unexplained is 0, so that its bias is left.
    /// Position 0, where attention rests and no dictionary was trained, stays as it is.
    Zero,
    /// The means of all features, by block; the rest stays as it is, and so does position 0.
    Mean(&'a [(usize, Vec<f32>)]),
}

/// A feature whose activation changes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FeatureChanged {
    /// Where.
    pub position: usize,
    /// Which.
    pub feature: u32,
    /// Its activation in the run.
    pub before: f32,
    /// What it becomes.
    pub after: f32,
}

/// How the residual after one block changes. The changes of the features, each along its row of the decoder, and
/// the change of the rest add up to the whole.
pub struct Changed<'a> {
    /// The dictionary that reads the block.
    pub dictionary: &'a Dictionary,
    /// The features that change, by position and feature.
    pub features: Vec<FeatureChanged>,
    /// The change of the rest: `[tokens, d_model]`.
    pub rest: Tensor<2>,
    /// The whole change: `[tokens, d_model]`.
    pub whole: Tensor<2>,
    /// The residual as it is: `[tokens, d_model]`.
    residual: Tensor<2>,
}

impl<'a> Changed<'a> {
    /// Encodes the residual after the dictionary's block as it is and as it would be.
    ///
    /// # Errors
    /// If the dictionary does not read the residual after a block, the other run has another width, means are not as
    /// many as features, or the device fails.
    pub fn of(
        base: &Base<'_>,
        dictionary: &'a Dictionary,
        values: Values<'_>,
    ) -> Result<Self, InterveneError> {
        let layer = dictionary.hook.layer;
        if dictionary.hook != Hook::resid_post(layer) {
            return Err(InterveneError::NotResidual { hook: dictionary.hook });
        }
        let residual = base.residual(layer)?.clone().cast(DType::F32);
        let other = match values {
            Values::Run(from, partners) => Some(partnered(&residual, from.residual(layer)?, partners)),
            Values::Zero | Values::Mean(_) => None,
        };
        let mut changed = Self {
            dictionary,
            features: Vec::new(),
            rest: residual.zeros_like(),
            whole: residual.zeros_like(),
            residual,
        };
        let [tokens, width] = changed.residual.dims();
        let first = usize::from(other.is_none()).min(tokens);
        for start in (first..tokens).step_by(CHUNK) {
            let rows = [start..(start + CHUNK).min(tokens), 0..width];
            let x = changed.residual.clone().slice(rows.clone());
            let other = other.clone().map(|other| other.slice(rows.clone()));
            let (rest, whole) = changed.add_rows(start, x, other, values)?;
            changed.rest = changed.rest.slice_assign(rows.clone(), rest);
            changed.whole = changed.whole.slice_assign(rows, whole);
        }
        Ok(changed)
    }

    /// Adds the features of some rows; the changes of the rest and of the whole there.
    fn add_rows(
        &mut self,
        start: usize,
        x: Tensor<2>,
        other: Option<Tensor<2>>,
        values: Values<'_>,
    ) -> Result<(Tensor<2>, Tensor<2>), InterveneError> {
        let d_sae = self.dictionary.d_sae;
        let before = self.dictionary.encode(x.clone());
        let after = match (&other, values) {
            (Some(other), _) => self.dictionary.encode(other.clone()),
            (None, Values::Mean(means)) => {
                let layer = self.dictionary.hook.layer;
                let found = means.iter().find(|(of, means)| *of == layer && means.len() == d_sae);
                let (_, means) = found.ok_or(InterveneError::NoMeans { layer })?;
                let means = TensorData::new(means.clone(), [1, d_sae]);
                Tensor::<2>::from_data(means, (&x.device(), DType::F32)).expand(before.dims())
            }
            (None, _) => before.zeros_like(),
        };
        let written = self.dictionary.decode(after.clone(), &x) - self.dictionary.decode(before.clone(), &x);
        let whole = match (other, values) {
            (Some(other), _) => other - x,
            (None, Values::Mean(_)) => written.clone(),
            (None, _) => self.dictionary.decode(after.clone(), &x) - x,
        };
        let [before, after] = [numbers(before)?, numbers(after)?];
        let rows = before.chunks(d_sae).zip(after.chunks(d_sae)).enumerate();
        for (row, (before, after)) in rows {
            let pairs =
                before.iter().zip(after).enumerate().filter(|(_, (before, after))| *after - *before != 0.0);
            self.features.extend(pairs.map(|(feature, (before, after))| FeatureChanged {
                position: start + row,
                feature: feature as u32,
                before: *before,
                after: *after,
            }));
        }
        Ok((whole.clone() - written, whole))
    }

    /// The nodes: the features, in their order, and the rest of every position.
    pub fn nodes(&self) -> impl Iterator<Item = Node> + '_ {
        let layer = self.dictionary.hook.layer;
        let feature = move |changed: &FeatureChanged| Node {
            layer,
            position: changed.position,
            part: Part::Feature(changed.feature),
        };
        let rest = (0..self.rest.dims()[0]).map(move |position| Node { layer, position, part: Part::Error });
        self.features.iter().map(feature).chain(rest)
    }

    /// How far the changes of the nodes, in their order, go along a gradient at the residual,
    /// `[tokens, d_model]`: an estimate of what each does to the gradient's metric.
    ///
    /// That of feature j at position p is `(f' − f) · (d_j · g_p)`, with `d_j` in the model's units; that of the rest
    /// is its own product with `g_p`. All of a position together are `Δx_p · g_p`, as its parts add up to `Δx_p`.
    ///
    /// # Errors
    /// If the device fails.
    pub fn along(&self, gradient: &Tensor<2>) -> Result<Vec<f64>, InterveneError> {
        let [tokens, width] = self.residual.dims();
        let mut estimates = Vec::with_capacity(self.features.len() + tokens);
        let mut features = self.features.iter().peekable();
        for start in (0..tokens).step_by(CHUNK) {
            let rows = [start..(start + CHUNK).min(tokens), 0..width];
            let [x, g] = [&self.residual, gradient].map(|x| x.clone().slice(rows.clone()));
            let slopes = numbers(self.dictionary.slopes(g, &x))?;
            while let Some(changed) = features.next_if(|changed| changed.position < rows[0].end) {
                let at = (changed.position - start) * self.dictionary.d_sae + changed.feature as usize;
                estimates.push(f64::from(changed.after - changed.before) * f64::from(slopes[at]));
            }
        }
        estimates.extend(products(&self.rest, gradient)?);
        Ok(estimates)
    }

    /// The patch that changes one node by itself.
    ///
    /// # Errors
    /// If the block or the position does not exist, or the node is none of these.
    pub fn patch(&self, base: &Base<'_>, node: Node) -> Result<Patch, InterveneError> {
        let Node { layer, position, part } = node;
        let row = Base::rows(&self.residual, &[position]);
        let delta = match part {
            Part::Feature(feature) => {
                let key = |changed: &FeatureChanged| (changed.position, changed.feature);
                let found = self.features.binary_search_by_key(&(position, feature), key);
                let change = found.map_or(0.0, |at| self.features[at].after - self.features[at].before);
                let change = TensorData::new(vec![change], [1, 1]);
                let change = Tensor::from_data(change, (&row.device(), DType::F32));
                self.dictionary.written(change, &[feature], &row)?
            }
            Part::Error => Base::rows(&self.rest, &[position]),
            Part::Whole | Part::Head(_) => Base::rows(&self.whole, &[position]),
        };
        let dtype = base.residual(layer)?.dtype();
        Patch::adding(base, layer, vec![position], delta.cast(dtype))
    }

    /// The patch that changes everything at every position of the prompt.
    ///
    /// # Errors
    /// If the block does not exist.
    pub fn whole_patch(&self, base: &Base<'_>) -> Result<Patch, InterveneError> {
        let layer = self.dictionary.hook.layer;
        let positions = (0..base.n_prompt).collect::<Vec<_>>();
        let delta = Base::rows(&self.whole, &positions);
        let dtype = base.residual(layer)?.dtype();
        Patch::adding(base, layer, positions, delta.cast(dtype))
    }
}
