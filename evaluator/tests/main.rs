//! Tests of `packevolve-judge` from outside, over its protocol: what becomes of hostile programs, what cheats are
//! worth, and how it serves.

#![allow(clippy::unwrap_used)] // here everything is a test

mod cheats;
mod client;
mod compilers;
mod cuda;
mod fates;
mod layers;
mod processes;
mod serving;
mod start_time;
mod users;
