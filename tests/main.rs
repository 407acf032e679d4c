//! Every test of the program, in one binary so that it is linked once.

#![cfg(test)]

mod support;

mod capture;
mod cli;
mod dictionary;
mod exchange;
mod fuzz;
mod game;
mod intervene;
mod lake;
mod model;
mod pipeline;
mod queries;
mod quickstart;
mod report;
mod resume;
mod seed_errors;
mod shards;
mod tidy;
mod tokens;
