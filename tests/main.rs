//! The tests that see PackEvolve from outside: one binary, one module for each part or command.
#![allow(clippy::unwrap_used, reason = "a helper of a test that panics fails the test, as it should")]

mod edits;
mod programs;
mod tidy;
