//! Proposers: where proposals come from. A proposer turns a parent, and what it is told of the run, into a proposal;
//! it never judges one, and never looks at a clock or a random number that it was not given.

use crate::proposal::NAME_LENGTH;

pub mod corpus;

mod draw;

mod literal;

mod syntax;

pub use syntax::{normalised, size};

pub mod catalogue;

mod recipe;

pub mod compose;

mod dead;

pub mod cross;

mod alter;

pub mod mutate;

pub mod prune;

pub mod llm;

/// A name cut to the length that a name may have.
fn fitted(name: &str) -> String {
    // What git would take off an author's end must not stand there after the cut.
    name.chars().take(NAME_LENGTH).collect::<String>().trim_end_matches(['.', '-', '_']).to_owned()
}
