//! The lake on disk: Parquet tables with a Delta log each.

/// What can go wrong with a lake.
#[derive(Debug, thiserror::Error)]
pub enum LakeError {}
