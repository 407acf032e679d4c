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
mod columns;
mod commit;
mod compatible;
mod contents;
mod disk;
mod error;
mod file;
mod formats;
mod info;
mod layout;
mod lease;
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
mod statistics;
mod step;
mod store;
mod validate;
mod writer;

pub use analysis::Analysis;
pub use append::{Receipt, Stage};
pub use batch::{Batch, Captured};
pub use error::{BatchError, LakeError};
pub use file::{ROWS_PER_GROUP, ROWS_PER_PAGE};
pub use formats::Format;
pub use info::{Info, TableInfo};
pub use layout::{Folders, GAMES_PER_BLOCK};
pub use log::DataFile;
pub use open::Lake;
pub use rollup::{Counted, roll_up};
pub use room::{check_room, free_bytes};
pub use rounding::{ACTIVATION_BITS, rounded};
pub use step::Step;
pub use store::{check_local, check_place};
