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

    /// The keys and values of the first `tokens` tokens in block `layer`: `[tokens, kv_heads * head_dim]` each. The
    /// cache must hold that many.
    pub(crate) fn first(&self, layer: usize, tokens: usize) -> (Tensor<2>, Tensor<2>) {
        let Rows { keys, values } = &self.layers[layer];
        let first = |held: &Tensor<2>| held.clone().slice([0..tokens, 0..held.dims()[1]]);
        (first(keys), first(values))
    }

    /// Counts `tokens` more, once every block has them.
    pub(crate) const fn advance(&mut self, tokens: usize) {
        self.tokens += tokens;
    }
}

/// The first tokens of a cache, which a pass looks at and does not change.
#[derive(Clone, Copy, Debug)]
pub struct Past<'a> {
    /// The cache. It holds as many tokens at least, in every block that the pass runs.
    pub cache: &'a Cache,
    /// How many of its tokens count.
    pub tokens: usize,
}

/// What the sequences of a pass have behind them.
pub(super) enum Memory<'a> {
    /// Caches that get the new tokens too; a sequence without one has no past.
    Growing(&'a mut [Cache]),
    /// Pasts that stay as they are, one for each sequence.
    Fixed(&'a [Past<'a>]),
}

impl Memory<'_> {
    /// How many tokens a sequence has behind it.
    pub(super) fn tokens(&self, sequence: usize) -> usize {
        match self {
            Self::Growing(caches) => caches.get(sequence).map_or(0, Cache::len),
            Self::Fixed(pasts) => pasts[sequence].tokens,
        }
    }

    /// The new keys and values of a sequence in block `layer` after those that it has behind it.
    pub(super) fn join(
        &mut self,
        layer: usize,
        sequence: usize,
        keys: Tensor<2>,
        values: Tensor<2>,
    ) -> (Tensor<2>, Tensor<2>) {
        match self {
            Self::Growing(caches) => match caches.get_mut(sequence) {
                Some(cache) => cache.append(layer, keys, values),
                None => (keys, values),
            },
            Self::Fixed(pasts) => match pasts[sequence] {
                Past { tokens: 0, .. } => (keys, values),
                Past { cache, tokens } => {
                    let (old_keys, old_values) = cache.first(layer, tokens);
                    (Tensor::cat(vec![old_keys, keys], 0), Tensor::cat(vec![old_values, values], 0))
                }
            },
        }
    }
}

/// An empty `[capacity, width]` of the width, dtype and device of `like`.
fn room(like: &Tensor<2>, capacity: usize) -> Tensor<2> {
    let [_, width] = like.dims();
    Tensor::zeros([capacity, width], (&like.device(), like.dtype()))
}
