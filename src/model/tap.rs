//! The only hole in the forward pass.

use burn::tensor::Tensor;

use super::hook::Hook;

/// What watches, or steers, a forward pass.
///
/// Every method takes the activation by value and returns the one to go on with, so that watching and
/// steering are the same hole. The defaults change nothing, and `()` is the tap that watches nothing.
pub trait Tap {
    /// A pass begins: how many tokens each sequence of the batch has behind it, and how many it runs now. The packed
    /// rows of a sequence are at the positions from the first number on, as many as the second says.
    fn begin(&mut self, pasts: &[usize], lengths: &[usize]) {
        let _ = (pasts, lengths);
    }

    /// An activation of the packed tokens at `hook`: `[tokens, width]`.
    fn activation(&mut self, hook: Hook, x: Tensor<2>) -> Tensor<2> {
        let _ = hook;
        x
    }

    /// Whether block `layer` must make its pattern. Where it need not, a faster attention may be used.
    fn wants_pattern(&self, layer: usize) -> bool {
        let _ = layer;
        false
    }

    /// The attention probabilities of one sequence of the batch in block `layer`, after the softmax:
    /// `[head, query, key]`. Called only where [`Tap::wants_pattern`] says so.
    fn pattern(&mut self, layer: usize, sequence: usize, pattern: Tensor<3>) -> Tensor<3> {
        let _ = (layer, sequence);
        pattern
    }
}

impl Tap for () {}
