//! Sparse autoencoders: reading them, encoding with them, training them.

/// What can go wrong with a dictionary.
#[derive(Debug, thiserror::Error)]
pub enum DictionaryError {}
