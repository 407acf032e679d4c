//! Places in the forward pass, named as TransformerLens names them.

use std::fmt;
use std::str::FromStr;

/// What is read in a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Site {
    /// The residual stream after the block: `[tokens, d_model]`.
    ResidPost,
    /// The values of the attention, before heads share them: `[tokens, kv_heads * head_dim]`.
    Value,
    /// The attention probabilities of each head: `[head, query, key]`, one sequence at a time.
    Pattern,
    /// What each head makes of the values, before the output weights: `[tokens, n_heads * head_dim]`.
    Z,
    /// What the attention adds to the residual stream: `[tokens, d_model]`.
    AttnOut,
    /// The normalized residual that the MLP reads, before the norm's gain: `[tokens, d_model]`.
    Ln2Normalized,
    /// What the MLP adds to the residual stream: `[tokens, d_model]`.
    MlpOut,
}

/// A place in the forward pass: a site of a block.
///
/// ```
/// # use saelake::model::Hook;
/// let hook: Hook = "resid_post.8".parse().unwrap();
/// assert_eq!(hook.to_string(), "blocks.8.hook_resid_post");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Hook {
    /// 0-based block.
    pub layer: usize,
    /// What is read there.
    pub site: Site,
}

impl Hook {
    /// The residual stream after block `layer`.
    #[must_use]
    pub const fn resid_post(layer: usize) -> Self {
        Self { layer, site: Site::ResidPost }
    }
}

/// Every site with its full name after `blocks.L.` and its short one.
const NAMES: [(Site, &str, &str); 7] = [
    (Site::ResidPost, "hook_resid_post", "resid_post"),
    (Site::Value, "attn.hook_v", "v"),
    (Site::Pattern, "attn.hook_pattern", "pattern"),
    (Site::Z, "attn.hook_z", "z"),
    (Site::AttnOut, "hook_attn_out", "attn_out"),
    (Site::Ln2Normalized, "ln2.hook_normalized", "ln2_normalized"),
    (Site::MlpOut, "hook_mlp_out", "mlp_out"),
];

impl Site {
    /// Its short name, such as `resid_post`.
    #[must_use]
    pub fn short_name(self) -> &'static str {
        NAMES.iter().find(|(site, ..)| *site == self).map_or("", |names| names.2)
    }

    /// The short names of all sites.
    pub fn short_names() -> impl Iterator<Item = &'static str> {
        NAMES.iter().map(|names| names.2)
    }
}

impl FromStr for Site {
    type Err = UnknownHook;

    /// Reads `resid_post` and `hook_resid_post`.
    fn from_str(name: &str) -> Result<Self, UnknownHook> {
        let found = NAMES.iter().find(|(_, full, short)| *full == name || *short == name);
        found.map(|names| names.0).ok_or_else(|| UnknownHook(name.to_owned()))
    }
}

impl fmt::Display for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = NAMES.iter().find(|(site, ..)| *site == self.site).map_or("", |names| names.1);
        write!(f, "blocks.{}.{name}", self.layer)
    }
}

/// A name that is no hook.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{0}` names no hook; hooks look like `blocks.8.hook_resid_post` or `resid_post.8`")]
pub struct UnknownHook(pub String);

impl FromStr for Hook {
    type Err = UnknownHook;

    /// Reads `blocks.8.hook_resid_post` and `resid_post.8`.
    fn from_str(name: &str) -> Result<Self, UnknownHook> {
        let unknown = || UnknownHook(name.to_owned());
        let (layer, site) = if let Some(rest) = name.strip_prefix("blocks.") {
            let (layer, full) = rest.split_once('.').ok_or_else(unknown)?;
            (layer, NAMES.iter().find(|names| names.1 == full))
        } else {
            let (short, layer) = name.rsplit_once('.').ok_or_else(unknown)?;
            (layer, NAMES.iter().find(|names| names.2 == short))
        };
        let layer = layer.parse().map_err(|_| unknown())?;
        Ok(Self { layer, site: site.ok_or_else(unknown)?.0 })
    }
}
