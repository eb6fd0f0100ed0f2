//! Proposers: where proposals come from. All that they return is an ordinary document.

pub mod corpus;
pub mod mutate;
mod syntax;
