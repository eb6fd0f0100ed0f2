//! Judge: an evaluation from the request to the reply.

mod device;
mod elsewhere;
mod session;
mod progress;
mod verify;
mod warm_up;
mod sample;
mod rebalance;
mod baseline;
mod question;
mod switches;
mod consistency;
mod evaluate;
mod plans;
mod chain;
mod duel;

pub use session::Judge;
