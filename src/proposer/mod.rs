//! Proposers make proposals from a parent program and facts about the run. They never judge, read no clock, and draw
//! only from the stream that the caller passes.

mod change;
mod folder;
mod literal;
mod syntax;
pub mod corpus;
mod frame;
pub mod catalogue;
mod recipe;
pub mod compose;
pub mod parts;
mod dead_code;
pub(crate) mod cross;
mod structural;
mod compiled;
pub mod mutate;
pub(crate) mod prune;
pub mod llm;
pub(crate) mod draw;

pub use syntax::{normalised, size};
