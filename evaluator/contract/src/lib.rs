//! What the harness and the judge agree on: topologies and cases, loads, measurements, rejections, objectives and the
//! protocol between the two processes.
//!
//! Plain values and pure functions. This crate never does IO, reads a clock or links torch: the harness depends on it
//! and must run on machines that have no torch.
//!
//! A file imports only from the files above it:
//! [`stream`] (keyed random numbers), [`statistic`], [`topology`], [`case`], [`loads`], [`rejection`], [`clock`],
//! [`rebalance`], [`tagged`], [`evaluation`], [`objective`], [`comparison`], [`adrs`], [`protocol`].

pub mod stream;
pub mod statistic;
pub mod topology;
pub mod case;
pub mod loads;
pub mod rejection;
pub mod clock;
pub mod rebalance;
pub mod tagged;
pub mod evaluation;
pub mod objective;
pub mod comparison;
pub mod adrs;
pub mod protocol;
