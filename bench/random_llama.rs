//! A model in the shape of Llama 3.1 8B, and dictionaries, all of random weights that are made on the GPU.

use gpu::{Block, Buffer, Device, Dictionary, GpuError, Llama, Shape};

/// The shape of Llama 3.1 8B.
pub(crate) const SHAPE: Shape =
    Shape { d_model: 4096, d_ff: 14336, n_heads: 32, n_kv_heads: 8, head: 128, eps: 1e-5 };

/// Its blocks.
pub(crate) const BLOCKS: usize = 32;

/// Its tokens.
pub(crate) const VOCABULARY: usize = 128_256;

/// Positions that it is used with.
pub(crate) const CONTEXT: usize = 8192;

/// Features of a dictionary.
pub(crate) const D_SAE: usize = 32_768;

/// Multiplications and additions of a token's products, of the blocks and of dictionaries.
pub(crate) fn flop(n_dictionaries: usize) -> f64 {
    let Shape { d_model, d_ff, .. } = SHAPE;
    let of_block = d_model * SHAPE.qkv() + d_model * d_model + 3 * d_model * d_ff;
    2.0 * (BLOCKS * of_block + n_dictionaries * d_model * D_SAE) as f64
}

/// The model.
pub(crate) fn model(device: &Device) -> Result<Llama, GpuError> {
    let Shape { d_model: d, d_ff: f, head, .. } = SHAPE;
    let gain = || Buffer::of(device, &vec![half::bf16::ONE; d]);
    let mut seed = 0;
    let mut weights = |outputs: usize, inputs: usize| {
        seed += 1;
        Buffer::normal(device, outputs * inputs, seed, (inputs as f32).sqrt().recip())
    };
    let mut blocks = Vec::new();
    for _ in 0..BLOCKS {
        blocks.push(Block {
            ln1: gain()?,
            qkv: weights(SHAPE.qkv(), d)?,
            output: weights(d, d)?,
            ln2: gain()?,
            gate_up: weights(2 * f, d)?,
            down: weights(d, f)?,
        });
    }
    let turns = (0..CONTEXT).flat_map(|position| {
        (0..head / 2).flat_map(move |pair| {
            let angle = position as f32 * 500_000_f32.powf(-2.0 * pair as f32 / head as f32);
            [angle.cos(), angle.sin()].map(|x| half::bf16::from_f32(x).to_f32())
        })
    });
    let turns = Buffer::of(device, &turns.collect::<Vec<_>>())?;
    let (embed, unembed) = (weights(VOCABULARY, d)?, weights(VOCABULARY, d)?);
    Ok(Llama { shape: SHAPE, embed, blocks, norm: gain()?, unembed, vocabulary: VOCABULARY, turns })
}

/// A dictionary of a layer, of which at most `top` features fire.
pub(crate) fn dictionary(device: &Device, layer: usize, top: usize) -> Result<Dictionary, GpuError> {
    let d = SHAPE.d_model;
    let weights = |seed| Buffer::normal(device, D_SAE * d, seed, (d as f32).sqrt().recip());
    Ok(Dictionary {
        d_in: d,
        d_sae: D_SAE,
        encoder: weights(1000 + layer as u32)?,
        b_enc: Buffer::of(device, &vec![0_f32; D_SAE])?,
        decoder: weights(2000 + layer as u32)?,
        b_dec: Buffer::of(device, &vec![0_f32; d])?,
        threshold: None,
        top,
        output_scale: 1.0,
    })
}

/// Lengths like those of games: from 80 to 512, until there are `tokens`.
pub(crate) fn mixed(tokens: usize) -> Vec<usize> {
    let (mut lengths, mut sum, mut state) = (Vec::new(), 0, 12345_u64);
    loop {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let length = 80 + (state >> 33) as usize % 433;
        if sum + length > tokens {
            return lengths;
        }
        sum += length;
        lengths.push(length);
    }
}
