//! The lake, in a local folder or in an object store: Parquet tables with a Delta log each.
//!
//! ```text
//! root/
//!   _staging/                                   files being written, and the writers' lock
//!   runs/ dictionaries/ games/ steps/ tokens/ spans/ prefixes/
//!     _delta_log/                               which files are the table's
//!     part-<run>-<lowest game>-<highest game>.parquet
//!   features/ feature_rollup/ positions/ attention/ attention_rows/
//!     _delta_log/
//!     game_block=0/layer=8/part-….parquet
//!   interventions/ effects/ edges/              from the first analysis on
//!     _delta_log/
//!     part-<analysis>.parquet
//! ```
//!
//! A batch of games is written to `_staging`, moved into the tables, and committed table by table,
//! `games` last. A game exists if and only if it is in `games`: what a crash leaves in the other tables
//! belongs to no game, does not count, and is cleared away by the next append.
//! `data-layout.md` is the contract.

mod analysis;
mod append;
mod at_once;
mod batch;
mod bucket;
mod checkpoint;
mod checksum;
pub(crate) mod columns;
mod commit;
mod compact;
mod compact_keep;
mod compact_merge;
mod compact_order;
mod compact_read;
mod compact_rewrite;
mod compact_write;
mod compatible;
mod contents;
mod disk;
mod drop;
mod drop_causal;
mod drop_runs;
mod error;
mod file;
mod formats;
mod info;
mod layout;
mod lease;
mod listed;
mod lock;
mod log;
mod objects;
mod open;
mod order;
mod repair;
mod rollup;
mod room;
mod rounding;
mod scratch;
mod shared_rows;
mod spill;
mod statistics;
mod step;
mod store;
mod upgrade;
mod upgrade_rollup;
mod vacuum;
mod validate;
mod verify;
mod verify_causal;
mod verify_cells;
mod verify_file;
mod verify_finding;
mod verify_index;
mod verify_large;
mod verify_log;
mod verify_names;
mod verify_quarantine;
mod verify_repair;
mod verify_rollup;
mod verify_sound;
mod verify_tokens;
mod verify_twice;
mod whole;
mod writer;

pub use analysis::Analysis;
pub use append::{Receipt, Stage};
pub use batch::{Batch, Captured};
pub use compact::{Compacted, Compaction, Rewriting};
pub use compact_order::Order;
pub use drop::Dropped;
pub use error::{BatchError, LakeError};
pub use file::{ROWS_PER_GROUP, ROWS_PER_PAGE};
pub use formats::Format;
pub use info::{Info, TableInfo};
pub use layout::{Folders, GAMES_PER_BLOCK};
pub use listed::listed;
pub use log::DataFile;
pub use open::Lake;
pub use rollup::{Counted, roll_up};
pub use room::{check_room, free_bytes};
pub use rounding::{ACTIVATION_BITS, rounded};
pub use step::Step;
pub use store::{check_place, is_url};
pub use vacuum::{Vacuum, Vacuumed};
pub use verify::{Verified, verify, verify_watched};
pub use verify_finding::Finding;
pub use verify_repair::{Repaired, repair as repair_lake, repair_watched as repair_lake_watched};
pub use whole::{Wanted, Whole};
