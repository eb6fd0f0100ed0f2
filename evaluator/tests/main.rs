//! Tests of `packevolve-judge` over its protocol: the fates of hostile programs, the scores of cheats, and the server.

#![allow(clippy::unwrap_used)] // all code here is test code

mod chains;
mod cheats;
mod client;
mod compilers;
mod consistency;
mod cuda;
mod duel;
mod fates;
mod gpu_jail;
mod layers;
mod numba;
mod plans;
mod processes;
mod serving;
mod start_time;
mod users;
