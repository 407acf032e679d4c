//! Tests of the dictionary.

mod bad_input;
mod coupling;
mod formats;
mod gate;
mod goldens;
mod raw;
mod slopes;
mod sparse;
mod threshold;
mod train;
