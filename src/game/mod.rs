//! Games and prompts: what the model is asked, and what its answer does.

/// What can go wrong with a game.
#[derive(Debug, thiserror::Error)]
pub enum GameError {}
