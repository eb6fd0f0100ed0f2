//! Facts about a Python program, read from its syntax tree.
//!
//! Only these files use tree-sitter. Time is linear in the size of the program, and deep nesting uses no stack.

mod tree;
mod sound;
mod function;
mod name;
mod normal;
mod number;
mod statement;
mod token;

pub(crate) use function::{Function, assignments, functions, functions_in, holds, imports};
pub(crate) use name::unbound;
pub use normal::{normalised, size};
pub(crate) use number::{Number, Role, numbers};
pub(crate) use sound::is_sound;
pub(crate) use statement::{Mask, Statement, masks, statements};
pub(crate) use token::{Token, tokens};
