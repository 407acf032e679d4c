//! Every test of the program, in one binary so that it is linked once.

mod support;

mod dictionary;
mod game;
mod lake;
mod model;
mod queries;
mod tidy;
mod tokens;
