//! What each weight is called in the two kinds of files.

/// A weight of a Llama.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Name {
    /// The embedding.
    Embed,
    /// The gain of the final norm.
    Norm,
    /// The unembedding, where it is not the embedding.
    Unembed,
    /// A weight of a block.
    Block(usize, Part),
}

/// A weight of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Ln1,
    Query,
    Key,
    Value,
    Output,
    Ln2,
    Gate,
    Up,
    Down,
}

/// Every part of a block with its name in Hugging Face's files and in GGUF.
pub(crate) const PARTS: [(Part, &str, &str); 9] = [
    (Part::Ln1, "input_layernorm", "attn_norm"),
    (Part::Query, "self_attn.q_proj", "attn_q"),
    (Part::Key, "self_attn.k_proj", "attn_k"),
    (Part::Value, "self_attn.v_proj", "attn_v"),
    (Part::Output, "self_attn.o_proj", "attn_output"),
    (Part::Ln2, "post_attention_layernorm", "ffn_norm"),
    (Part::Gate, "mlp.gate_proj", "ffn_gate"),
    (Part::Up, "mlp.up_proj", "ffn_up"),
    (Part::Down, "mlp.down_proj", "ffn_down"),
];

impl Name {
    /// Every weight of a model with `layers` blocks, the unembedding included.
    pub(crate) fn all(layers: usize) -> impl Iterator<Item = Self> {
        let blocks = (0..layers).flat_map(|layer| PARTS.iter().map(move |part| Self::Block(layer, part.0)));
        [Self::Embed, Self::Norm, Self::Unembed].into_iter().chain(blocks)
    }

    /// Its name in Hugging Face's safetensors files.
    pub(crate) fn hugging_face(self) -> String {
        match self {
            Self::Embed => "model.embed_tokens.weight".into(),
            Self::Norm => "model.norm.weight".into(),
            Self::Unembed => "lm_head.weight".into(),
            Self::Block(layer, part) => format!("model.layers.{layer}.{}.weight", part.names().0),
        }
    }

    /// Its name in llama.cpp's GGUF files.
    pub(crate) fn gguf(self) -> String {
        match self {
            Self::Embed => "token_embd.weight".into(),
            Self::Norm => "output_norm.weight".into(),
            Self::Unembed => "output.weight".into(),
            Self::Block(layer, part) => format!("blk.{layer}.{}.weight", part.names().1),
        }
    }
}

impl Part {
    fn names(self) -> (&'static str, &'static str) {
        PARTS.iter().find(|names| names.0 == self).map_or(("", ""), |names| (names.1, names.2))
    }
}
