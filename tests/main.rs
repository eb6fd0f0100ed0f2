//! The tests that see PackEvolve from outside: one binary, one module for each part or command.
#![allow(clippy::unwrap_used, reason = "a helper of a test that panics fails the test, as it should")]

mod support;

mod apply;
mod archive;
mod blocks;
mod config;
mod consistency;
mod crash;
mod doctor;
mod duels;
mod edits;
mod evaluate;
mod evolve;
mod export;
mod fsck;
mod fuzz;
mod golden;
mod inspect;
mod json;
mod lineage;
mod linking;
mod llm;
mod log;
mod models;
mod output;
mod programs;
mod readme;
mod remeasured;
mod replay;
mod report;
mod resume;
mod tamper;
mod terminal;
mod tidy;
