//! The tests that see PackEvolve from outside: one binary, one module for each part or command.

mod edits;
