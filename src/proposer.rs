//! Proposers: where proposals come from. A proposer turns a parent, and what it is told of the run, into a proposal;
//! it never judges one, and never looks at a clock or a random number that it was not given.

pub mod corpus;

mod literal;

mod syntax;

pub mod mutate;

/// placeholder
pub fn normalised(program: &str) -> String {
    program.to_owned()
}
