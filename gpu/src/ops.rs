//! The kernels, launched with what they need.

use super::device::Device;
use super::error::GpuError;
use super::tiles::Batch;

/// Numbers of 16 bits that 16 bytes hold.
const WIDE: usize = 8;

/// Queries that share a head's keys, and how the columns of a row are laid out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Heads {
    pub(crate) queries: usize,
    pub(crate) keys: usize,
    pub(crate) width: usize,
}

/// Where the queries, keys and values of a batch are, and how far their rows lie apart.
#[derive(Clone, Copy)]
pub(crate) struct Attended {
    pub(crate) q: u64,
    pub(crate) k: u64,
    pub(crate) v: u64,
    pub(crate) q_stride: usize,
    pub(crate) kv_stride: usize,
}

/// Where what is kept of a pattern goes, and what decides.
pub(crate) struct KeptRows {
    pub(crate) scratch: u64,
    pub(crate) scratch_keys: usize,
    pub(crate) blocks: u32,
    pub(crate) decisions: u64,
    pub(crate) kept: usize,
    pub(crate) weights: u64,
    pub(crate) keys: u64,
    pub(crate) mass: u64,
    pub(crate) entropy: u64,
    pub(crate) whole: u64,
}

/// Query heads that a block of `attend_one` makes.
const HEADS_AT_ONCE: usize = 4;

/// Bytes of the two tiles of keys and values that a block of the attention keeps at hand, of each twice.
pub(crate) const fn tile_bytes(head: usize) -> u32 {
    (4 * 64 * (head + 8) * 2) as u32
}

/// A whole number as an argument of a kernel.
pub(crate) const fn int(number: usize) -> u64 {
    number as u32 as u64
}

/// A number as an argument of a kernel.
pub(crate) const fn float(number: f32) -> u64 {
    number.to_bits() as u64
}

impl Device {
    /// Rows of a `[_, width]` table.
    pub(crate) fn gather(
        &self,
        table: u64,
        rows: u64,
        out: u64,
        [n, width]: [usize; 2],
    ) -> Result<(), GpuError> {
        self.launch("gather_rows", (n as u32, 1), 128, 0, &[table, rows, out, int(width)])
    }

    /// Adds `delta`, unless it is 0, to the residual `x`, and writes its norm with `gain` to `out`, unless that is 0.
    pub(crate) fn add_norm(
        &self,
        [x, delta, gain, out]: [u64; 4],
        [n, width]: [usize; 2],
        eps: f32,
    ) -> Result<(), GpuError> {
        self.launch("add_norm", (n as u32, 1), 256, 0, &[x, delta, gain, out, int(width), float(eps)])
    }

    /// Turns the first `heads` heads of rows of `columns` numbers in place.
    pub(crate) fn rotate(
        &self,
        [x, positions, turns]: [u64; 3],
        [n, columns, heads, half]: [usize; 4],
    ) -> Result<(), GpuError> {
        self.launch(
            "rotate",
            (n as u32, 1),
            256,
            0,
            &[x, positions, turns, int(columns), int(heads), int(half)],
        )
    }

    /// Copies the last `width` of the `columns` of every row to the row of `past` that `rooms` says.
    pub(crate) fn remember(
        &self,
        [x, rooms, past]: [u64; 3],
        [n, columns, width]: [usize; 3],
    ) -> Result<(), GpuError> {
        let shape = [int(columns), int(columns - width), int(width)];
        self.launch("remember", (n as u32, 1), 128, 0, &[&[x, rooms, past][..], &shape].concat())
    }

    /// `silu(gate) * up` of `[n, gate | up]`.
    pub(crate) fn swiglu(&self, gate_up: u64, out: u64, [n, width]: [usize; 2]) -> Result<(), GpuError> {
        let (total, block) = (n * width, 256);
        let blocks = total.div_ceil(WIDE * block as usize) as u32;
        self.launch("swiglu", (blocks, 1), block, 0, &[gate_up, out, int(width), total as u64])
    }

    /// Fills memory with numbers that look normal.
    pub(crate) fn fill_normal(&self, out: u64, count: usize, seed: u32, scale: f32) -> Result<(), GpuError> {
        let blocks = count.div_ceil(256) as u32;
        self.launch("fill_normal", (blocks, 1), 256, 0, &[out, count as u64, u64::from(seed), float(scale)])
    }

    /// Causal attention of every sequence over itself: `[tokens, heads.queries * heads.width]`.
    pub(crate) fn attend(
        &self,
        from: Attended,
        out: u64,
        batch: &Batch,
        heads: Heads,
    ) -> Result<(), GpuError> {
        let Attended { q, k, v, q_stride, kv_stride } = from;
        let scale = float((heads.width as f32).sqrt().recip());
        let group = heads.queries / heads.keys;
        let shape = [int(q_stride), int(kv_stride), int(heads.queries), int(group), scale];
        let arguments = |tiles: u64| [&[q, k, v, out, tiles][..], &shape].concat();
        let grid = (batch.n_tiles as u32, heads.queries as u32);
        self.launch("attend", grid, 128, tile_bytes(heads.width), &arguments(batch.tiles.at()))?;
        let grid = (batch.n_singles as u32, (heads.keys * group.div_ceil(HEADS_AT_ONCE)) as u32);
        self.launch("attend_one", grid, 256, 0, &arguments(batch.singles.at()))
    }

    /// What is kept of the pattern of every row.
    pub(crate) fn attend_rows(
        &self,
        from: Attended,
        rows: &KeptRows,
        batch: &Batch,
        heads: Heads,
    ) -> Result<(), GpuError> {
        let Attended { q, k, q_stride, kv_stride, .. } = from;
        let scale = float((heads.width as f32).sqrt().recip());
        let tiles = [q, k, batch.row_tiles.at(), int(batch.n_row_tiles), int(q_stride), int(kv_stride)];
        let shape = [int(heads.queries), int(heads.queries / heads.keys), scale];
        let kept = [
            rows.scratch,
            int(rows.scratch_keys),
            rows.decisions,
            int(batch.tokens()),
            int(rows.kept),
            rows.weights,
            rows.keys,
            rows.mass,
            rows.entropy,
            rows.whole,
        ];
        let arguments = [&tiles[..], &shape, &kept].concat();
        self.launch("attend_rows", (rows.blocks, 1), 128, 0, &arguments)
    }

    fn launch(
        &self,
        name: &'static str,
        (x, y): (u32, u32),
        block: u32,
        shared: u32,
        arguments: &[u64],
    ) -> Result<(), GpuError> {
        if x == 0 || y == 0 {
            return Ok(());
        }
        // Every argument is read from the beginning of its eight bytes, as the processor lays them out.
        let mut pointers =
            arguments.iter().map(|argument| (&raw const *argument).cast_mut().cast()).collect::<Vec<_>>();
        self.stream.context().bind_to_thread()?;
        self.timed(name, || {
            // SAFETY: callers give the kernel what it is declared with, and memory of the sizes it is written for.
            #[expect(unsafe_code, reason = "a kernel")]
            unsafe {
                cudarc::driver::result::launch_kernel(
                    self.function(name).cu_function(),
                    (x, y, 1),
                    (block, 1, 1),
                    shared,
                    self.stream.cu_stream(),
                    &mut pointers,
                )?;
            }
            Ok(())
        })
    }

    /// `out = x · weightᵀ`; see [`Products::multiply`](super::products::Products::multiply).
    pub(crate) fn multiply(
        &self,
        name: &'static str,
        pointers: [u64; 3],
        shape: [usize; 3],
        wide: bool,
    ) -> Result<(), GpuError> {
        self.timed(name, || self.products.multiply(&self.stream, self.kind, pointers, shape, wide))
    }

    /// What [`Llama::pick`](crate::Llama::pick) reads of logits.
    pub(crate) fn pick_logits(
        &self,
        [logits, ids, chosen, log_sum]: [u64; 4],
        [n, vocabulary, width]: [usize; 3],
    ) -> Result<(), GpuError> {
        let arguments = [logits, ids, int(vocabulary), int(width), chosen, log_sum];
        self.launch("pick_logits", (n as u32, 1), 512, 0, &arguments)
    }

    /// What [`Llama::draw`](crate::Llama::draw) draws of logits.
    pub(crate) fn draw_tokens(
        &self,
        [logits, draws, drawn]: [u64; 3],
        [n, vocabulary]: [usize; 2],
        temperature: f32,
    ) -> Result<(), GpuError> {
        let cold = if temperature > 0.0 { temperature.recip() } else { 0.0 };
        let arguments = [logits, draws, int(vocabulary), float(cold), drawn];
        self.launch("draw_tokens", (n as u32, 1), 1024, 0, &arguments)
    }

    /// Selects features; see `kernels/select.cu` for the arguments.
    pub(crate) fn select(&self, rows: usize, arguments: &[u64]) -> Result<(), GpuError> {
        self.launch("select_features", (rows as u32, 1), 512, 0, arguments)
    }

    /// Measures what features leave unexplained; see `kernels/select.cu` for the arguments.
    pub(crate) fn unexplained(&self, rows: usize, arguments: &[u64]) -> Result<(), GpuError> {
        self.launch("unexplained", (rows as u32, 1), 256, 0, arguments)
    }
}
