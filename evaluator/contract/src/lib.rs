//! The types that the harness and the judge share: topologies and cases, loads, plans, measurements, rejections,
//! objectives and the protocol between the two processes.
//!
//! Plain values and pure functions. This crate does no IO, reads no clock and does not link torch, because the harness
//! must run on machines without torch.
//!
//! A file imports only from the files above it:
//! [`stream`] (keyed random numbers), [`statistic`], [`topology`], [`model`], [`deployment`], [`case`], [`loads`],
//! [`rejection`], [`clock`], [`rebalance`], [`plan`], [`maps`], [`moves`], [`parting`], [`inconsistency`], [`planning`],
//! [`serving`], [`chain`], [`evaluation`], [`policy`], [`objective`], [`comparison`], [`duel`], [`adrs`], [`protocol`].

pub mod stream;
pub mod statistic;
pub mod topology;
pub mod model;
pub mod deployment;
pub mod case;
pub mod loads;
pub mod rejection;
pub mod clock;
pub mod rebalance;
pub mod plan;
pub mod maps;
pub mod moves;
pub mod parting;
pub mod inconsistency;
pub mod planning;
pub mod serving;
pub mod chain;
pub mod evaluation;
pub mod policy;
pub mod objective;
pub mod comparison;
pub mod duel;
pub mod adrs;
pub mod protocol;
