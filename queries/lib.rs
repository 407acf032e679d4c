//! The questions a lake answers.

/// What can go wrong with a question.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {}
