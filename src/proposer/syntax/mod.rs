//! Syntax: what the proposers know of a Python program, read off its syntax tree.
//!
//! The only files that know tree-sitter. Time is linear in the program, and the depth of its nesting costs no stack.

mod tree;
mod sound;
mod function;
mod name;
mod normal;
mod number;
mod statement;
mod token;

pub(crate) use function::{Function, assigned, functions, functions_in, holds, imports};
pub(crate) use name::unbound;
pub use normal::{normalised, size};
pub(crate) use number::{Number, Role, numbers};
pub(crate) use sound::is_sound;
pub(crate) use statement::{Mask, Statement, masks, statements};
pub(crate) use token::{Token, tokens};
