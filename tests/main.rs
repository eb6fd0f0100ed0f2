//! The tests that see PackEvolve from outside: one binary, one module for each part or command.
#![allow(clippy::unwrap_used, reason = "a helper of a test that panics fails the test, as it should")]

mod support;

mod apply;
mod archive;
mod blocks;
mod config;
mod doctor;
mod edits;
mod evaluate;
mod evolve;
mod fuzz;
mod glance;
mod golden;
mod inspect;
mod linking;
mod llm;
mod models;
mod programs;
mod readme;
mod replay;
mod resume;
mod tidy;
