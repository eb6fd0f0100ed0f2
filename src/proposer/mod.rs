//! Proposers: where proposals come from. A proposer turns a parent, and what it is told of the run, into a proposal;
//! it never judges one, and never looks at a clock or a random number that it was not given.

pub(crate) mod cache;
mod name;
mod random;
mod literal;
mod syntax;
pub mod corpus;
pub mod catalogue;
mod recipe;
pub mod compose;
mod dead;
pub mod cross;
mod alter;
pub mod mutate;
pub mod prune;
pub mod llm;
pub mod draw;

pub use syntax::{normalised, size};
