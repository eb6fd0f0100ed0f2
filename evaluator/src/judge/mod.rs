//! Judge: an evaluation from the request to the reply.

mod elsewhere;
mod session;
mod progress;
mod verify;
mod warm_up;
mod sample;
mod rebalance;
mod baseline;
mod question;
mod consistency;
mod evaluate;
mod duel;

pub use session::Judge;
