//! Keys and values of the tokens that a sequence has run through already.

use burn::tensor::Tensor;

/// The keys and values of one sequence. Cloning forks it: both copies share what they hold until one grows.
#[derive(Clone, Debug, Default)]
pub struct Cache {
    layers: Vec<Rows>,
    tokens: usize,
}

/// Keys and values of one block, with room for more: `[capacity, kv_heads * head_dim]` each.
#[derive(Clone, Debug)]
struct Rows {
    keys: Tensor<2>,
    values: Tensor<2>,
}

/// Room that a new cache gets, in tokens.
const FIRST_CAPACITY: usize = 64;

impl Cache {
    /// A cache that holds nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How many tokens it holds.
    pub const fn len(&self) -> usize {
        self.tokens
    }

    /// Whether it holds nothing.
    pub const fn is_empty(&self) -> bool {
        self.tokens == 0
    }

    /// Adds the keys and values of new tokens to block `layer` and returns all of that block.
    /// The tokens count as held only after [`Cache::advance`].
    pub(crate) fn append(
        &mut self,
        layer: usize,
        keys: Tensor<2>,
        values: Tensor<2>,
    ) -> (Tensor<2>, Tensor<2>) {
        let [new, width] = keys.dims();
        let (start, end) = (self.tokens, self.tokens + new);
        if layer == self.layers.len() {
            let capacity = end.max(FIRST_CAPACITY);
            self.layers.push(Rows { keys: room(&keys, capacity), values: room(&values, capacity) });
        }
        let rows = &mut self.layers[layer];
        for (held, new) in [(&mut rows.keys, keys), (&mut rows.values, values)] {
            let [capacity, _] = held.dims();
            if end > capacity {
                // Doubling keeps the copies below the tokens, however long the sequence gets.
                let grown = room(held, end.max(2 * capacity));
                held.inplace(|old| grown.slice_assign([0..capacity, 0..width], old));
            }
            held.inplace(|held| held.slice_assign([start..end, 0..width], new));
        }
        let all = |held: &Tensor<2>| held.clone().slice([0..end, 0..width]);
        (all(&rows.keys), all(&rows.values))
    }

    /// Counts `tokens` more, once every block has them.
    pub(crate) const fn advance(&mut self, tokens: usize) {
        self.tokens += tokens;
    }
}

/// An empty `[capacity, width]` of the width, dtype and device of `like`.
fn room(like: &Tensor<2>, capacity: usize) -> Tensor<2> {
    let [_, width] = like.dims();
    Tensor::zeros([capacity, width], (&like.device(), like.dtype()))
}
