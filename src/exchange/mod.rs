//! Lakes in the layouts of other tools, and back.
//!
//! An export hands every game of a lake to one of the [`Layout`]s below, which writes as it goes into a folder beside
//! the target; the folder gets its name when all is written and read back. `data-layout.md` describes each layout.

mod coo;
mod delphi;
mod delphi_split;
mod error;
mod export;
mod game_layer_position;
mod import;
mod import_arrays;
mod import_games;
mod import_layer;
mod import_rows;
mod layout;
mod matrix_rows;
mod npz;
mod npz_coo;
mod output;
mod parquet_file;
mod places;
mod saelens;
mod spool;

pub use error::ExchangeError;
pub use export::{Exported, Options, export};
pub use import::{Imported, Origin, import};
pub use layout::{Kind, MatrixRows};
