//! The forward pass on the device.

use std::collections::BTreeMap;

use super::device::Device;
use super::encode::{Dictionary, Features};
use super::error::GpuError;
use super::keep::Kept;
use super::memory::Buffer;
use super::ops::{Attended, Heads};
use super::past::Past;
use super::tiles::Batch;

/// Rows whose logits are in memory at the same time: 128,256 of them are half a gigabyte for 1,000 rows.
const LOGITS_AT_ONCE: usize = 512;

/// The shape of a model.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Width of the residual.
    pub d_model: usize,
    /// Width of the MLP.
    pub d_ff: usize,
    /// Query heads.
    pub n_heads: usize,
    /// Key and value heads.
    pub n_kv_heads: usize,
    /// Columns of a head.
    pub head: usize,
    /// Added to the mean square of a norm.
    pub eps: f32,
}

/// The weights of a block, 16-bit, matrices as `[outputs, inputs]`.
pub struct Block {
    /// `[d_model]`
    pub ln1: Buffer,
    /// Queries, keys and values, one below the other.
    pub qkv: Buffer,
    /// `[d_model, n_heads * head]`
    pub output: Buffer,
    /// `[d_model]`
    pub ln2: Buffer,
    /// Gate and up, one below the other.
    pub gate_up: Buffer,
    /// `[d_model, d_ff]`
    pub down: Buffer,
}

/// A model on the device.
pub struct Llama {
    /// Its shape.
    pub shape: Shape,
    /// `[vocabulary, d_model]`
    pub embed: Buffer,
    /// Its blocks.
    pub blocks: Vec<Block>,
    /// The gain of the final norm: `[d_model]`
    pub norm: Buffer,
    /// `[vocabulary, d_model]`
    pub unembed: Buffer,
    /// How many tokens there are.
    pub vocabulary: usize,
    /// Cosine and sine of every position and pair, f32: `[positions, head / 2, 2]`, rounded to the model's type.
    pub turns: Buffer,
}

/// What is taken of a pass, by block.
#[derive(Default)]
pub struct Taken {
    /// Features of the residual after a block.
    pub features: BTreeMap<usize, Features>,
    /// What is kept of a block's pattern.
    pub patterns: BTreeMap<usize, Kept>,
    /// Rows of the residual after a block.
    pub residuals: BTreeMap<usize, Rows>,
}

/// Rows of the residual that are kept as they are.
pub struct Rows {
    /// `[rows, d_model]`, 16-bit.
    pub out: Buffer,
    places: Buffer,
    count: usize,
}

impl Rows {
    /// Room for the packed rows `rows` of a residual of `width` columns.
    ///
    /// # Errors
    /// If there is not enough memory.
    pub fn new(device: &Device, rows: &[i32], width: usize) -> Result<Self, GpuError> {
        let (out, places) = (Buffer::new(device, 2 * rows.len() * width)?, Buffer::of(device, rows)?);
        Ok(Self { out, places, count: rows.len() })
    }
}

/// Activations of a pass.
pub(crate) struct Room {
    x: Buffer,
    normed: Buffer,
    qkv: Buffer,
    mixed: Buffer,
    delta: Buffer,
    gate_up: Buffer,
    hidden: Buffer,
}

impl Shape {
    /// Columns of queries, keys and values together.
    pub const fn qkv(&self) -> usize {
        (self.n_heads + 2 * self.n_kv_heads) * self.head
    }

    /// Columns of keys and values together.
    pub(crate) const fn remembered(&self) -> usize {
        2 * self.n_kv_heads * self.head
    }

    const fn mixed(&self) -> usize {
        self.n_heads * self.head
    }

    /// Bytes that the activations of a token take.
    pub const fn bytes_a_token(&self) -> usize {
        2 * (3 * self.d_model + self.qkv() + self.mixed() + 3 * self.d_ff)
    }

    const fn heads(&self) -> Heads {
        Heads { queries: self.n_heads, keys: self.n_kv_heads, width: self.head }
    }
}

impl Room {
    fn new(device: &Device, shape: &Shape, tokens: usize) -> Result<Self, GpuError> {
        let room = |width: usize| Buffer::new(device, 2 * tokens * width);
        Ok(Self {
            x: room(shape.d_model)?,
            normed: room(shape.d_model)?,
            qkv: room(shape.qkv())?,
            mixed: room(shape.mixed())?,
            delta: room(shape.d_model)?,
            gate_up: room(2 * shape.d_ff)?,
            hidden: room(shape.d_ff)?,
        })
    }
}

impl Llama {
    /// Runs `batch`, fills what is in `taken`, and returns the residual after the last block, before the final norm:
    /// `[tokens, d_model]`. A batch that is remembered goes on from `past` and is kept there. All of it is under way when
    /// this returns.
    ///
    /// # Errors
    /// If the device refuses.
    ///
    /// # Panics
    /// If a batch that is remembered comes without a past, or one that is not with it.
    pub fn forward(
        &self,
        device: &Device,
        batch: &Batch,
        past: Option<&Past>,
        (dictionaries, taken): (&BTreeMap<usize, Dictionary>, &Taken),
    ) -> Result<Buffer, GpuError> {
        assert_eq!(past.is_some(), batch.rooms.is_some(), "what is remembered needs a past");
        let (shape, n) = (&self.shape, batch.tokens());
        let room = Room::new(device, shape, n)?;
        let Room { x, normed, qkv, mixed, delta, gate_up, hidden } = &room;
        let (d, f) = (shape.d_model, shape.d_ff);
        let product = |name, [x, weight, out]: [&Buffer; 3], inputs, outputs| {
            device.multiply(name, [x.at(), weight.at(), out.at()], [n, inputs, outputs], false)
        };
        device.gather(self.embed.at(), batch.ids.at(), x.at(), [n, d])?;
        let mut pending = 0;
        for (layer, block) in self.blocks.iter().enumerate() {
            device.add_norm([x.at(), pending, block.ln1.at(), normed.at()], [n, d], shape.eps)?;
            product("q|k|v product", [normed, &block.qkv, qkv], d, shape.qkv())?;
            let turned = shape.n_heads + shape.n_kv_heads;
            let turns = [qkv.at(), batch.positions.at(), self.turns.at()];
            device.rotate(turns, [n, shape.qkv(), turned, shape.head / 2])?;
            let from = self.attended(device, batch, (layer, past), qkv)?;
            if let Some(kept) = taken.patterns.get(&layer) {
                kept.fill(device, from, batch, shape.heads())?;
            }
            device.attend(from, mixed.at(), batch, shape.heads())?;
            product("output product", [mixed, &block.output, delta], shape.mixed(), d)?;
            device.add_norm([x.at(), delta.at(), block.ln2.at(), normed.at()], [n, d], shape.eps)?;
            product("gate|up product", [normed, &block.gate_up, gate_up], d, 2 * f)?;
            device.swiglu(gate_up.at(), hidden.at(), [n, f])?;
            product("down product", [hidden, &block.down, delta], f, d)?;
            pending = delta.at();
            if taken.is_read(layer) {
                device.add_norm([x.at(), pending, 0, 0], [n, d], shape.eps)?;
                pending = 0;
                self.take(device, x, (dictionaries.get(&layer), taken), layer)?;
            }
        }
        if pending != 0 {
            device.add_norm([x.at(), pending, 0, 0], [n, d], shape.eps)?;
        }
        Ok(room.x)
    }

    /// Fills what is taken of the residual `x` after a block.
    fn take(
        &self,
        device: &Device,
        x: &Buffer,
        (dictionary, taken): (Option<&Dictionary>, &Taken),
        layer: usize,
    ) -> Result<(), GpuError> {
        if let (Some(dictionary), Some(features)) = (dictionary, taken.features.get(&layer)) {
            dictionary.encode(device, x, features)?;
        }
        if let Some(rows) = taken.residuals.get(&layer) {
            device.gather(x.at(), rows.places.at(), rows.out.at(), [rows.count, self.shape.d_model])?;
        }
        Ok(())
    }

    /// Where a block's queries, keys and values are: beside each other, or in the past, which keeps them first.
    fn attended(
        &self,
        device: &Device,
        batch: &Batch,
        (layer, past): (usize, Option<&Past>),
        qkv: &Buffer,
    ) -> Result<Attended, GpuError> {
        let shape = &self.shape;
        if let (Some(past), Some(rooms)) = (past, &batch.rooms) {
            return past.remember(device, layer, (qkv, rooms, batch.tokens()), shape);
        }
        let (q, stride) = (qkv.at(), shape.qkv());
        let k = q + (2 * shape.mixed()) as u64;
        let v = k + (2 * shape.n_kv_heads * shape.head) as u64;
        Ok(Attended { q, k, v, q_stride: stride, kv_stride: stride })
    }

    /// The logits of the `width` tokens `ids` of each of the `rows` of the last residual, then the logarithm of the sum
    /// of the exponentials of each row's logits: `[n, width]`, `[n]`, f32, one after the other.
    ///
    /// # Errors
    /// If the device refuses.
    ///
    /// # Panics
    /// If there are not `width` ids for each row.
    pub fn pick(
        &self,
        device: &Device,
        residual: &Buffer,
        rows: &[i32],
        (ids, width): (&[i32], usize),
    ) -> Result<Buffer, GpuError> {
        assert_eq!(ids.len(), rows.len() * width, "every row has as many ids");
        let (n, ids) = (rows.len(), Buffer::of(device, ids)?);
        let out = Buffer::new(device, 4 * n * (width + 1))?;
        self.logits(device, residual, rows, |logits, first, count| {
            let skip = |size: usize| (4 * first * size) as u64;
            let log_sums = out.at() + (4 * n * width) as u64 + skip(1);
            let pointers = [logits, ids.at() + skip(width), out.at() + skip(width), log_sums];
            device.pick_logits(pointers, [count, self.vocabulary, width])
        })?;
        Ok(out)
    }

    /// A token that may follow each of the `rows` of the last residual, i32: `[n]`. It is the first whose cumulative
    /// probability exceeds the row's draw in `[0, 1)`; at temperature 0 the likeliest, whatever the draw.
    ///
    /// # Errors
    /// If the device refuses.
    ///
    /// # Panics
    /// If there is not one draw for each row.
    pub fn draw(
        &self,
        device: &Device,
        residual: &Buffer,
        rows: &[i32],
        (draws, temperature): (&[f32], f32),
    ) -> Result<Buffer, GpuError> {
        assert_eq!(draws.len(), rows.len(), "every row has a draw");
        let (draws, out) = (Buffer::of(device, draws)?, Buffer::new(device, 4 * rows.len())?);
        self.logits(device, residual, rows, |logits, first, count| {
            let skip = (4 * first) as u64;
            let pointers = [logits, draws.at() + skip, out.at() + skip];
            device.draw_tokens(pointers, [count, self.vocabulary], temperature)
        })?;
        Ok(out)
    }

    /// Makes the logits of `rows` of the last residual, a few hundred rows at a time so that those of all are never in
    /// memory together, and gives them to `read` with the place of the first and how many there are.
    fn logits(
        &self,
        device: &Device,
        residual: &Buffer,
        rows: &[i32],
        read: impl Fn(u64, usize, usize) -> Result<(), GpuError>,
    ) -> Result<(), GpuError> {
        let (n, d, v) = (rows.len(), self.shape.d_model, self.vocabulary);
        let on_rows = Buffer::of(device, rows)?;
        let at_once = n.min(LOGITS_AT_ONCE);
        let [x, normed] = [Buffer::new(device, 2 * at_once * d)?, Buffer::new(device, 2 * at_once * d)?];
        let logits = Buffer::new(device, 4 * at_once * v)?;
        for first in (0..n).step_by(LOGITS_AT_ONCE) {
            let count = LOGITS_AT_ONCE.min(n - first);
            device.gather(residual.at(), on_rows.at() + (4 * first) as u64, x.at(), [count, d])?;
            device.add_norm([x.at(), 0, self.norm.at(), normed.at()], [count, d], self.shape.eps)?;
            device.multiply(
                "logits product",
                [normed.at(), self.unembed.at(), logits.at()],
                [count, d, v],
                true,
            )?;
            read(logits.at(), first, count)?;
        }
        Ok(())
    }
}

impl Taken {
    /// Whether anything is taken of the residual after a block.
    fn is_read(&self, layer: usize) -> bool {
        self.features.contains_key(&layer) || self.residuals.contains_key(&layer)
    }
}
