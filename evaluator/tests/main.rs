//! Tests of `packevolve-judge` over its protocol: the fates of hostile programs, the scores of cheats, and the server.

#![allow(clippy::unwrap_used)] // all code here is test code

mod cheats;
mod client;
mod compilers;
mod consistency;
mod cuda;
mod duel;
mod fates;
mod layers;
mod processes;
mod serving;
mod start_time;
mod users;
