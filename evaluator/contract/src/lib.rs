//! The types that the harness and the judge share: topologies and cases, loads, measurements, rejections, objectives
//! and the protocol between the two processes.
//!
//! Plain values and pure functions. This crate does no IO, reads no clock and does not link torch, because the harness
//! must run on machines without torch.
//!
//! A file imports only from the files above it:
//! [`stream`] (keyed random numbers), [`statistic`], [`topology`], [`case`], [`loads`], [`rejection`], [`clock`],
//! [`rebalance`], [`inconsistency`], [`evaluation`], [`objective`], [`comparison`], [`duel`], [`adrs`], [`protocol`].

pub mod stream;
pub mod statistic;
pub mod topology;
pub mod case;
pub mod loads;
pub mod rejection;
pub mod clock;
pub mod rebalance;
pub mod inconsistency;
pub mod evaluation;
pub mod objective;
pub mod comparison;
pub mod duel;
pub mod adrs;
pub mod protocol;
