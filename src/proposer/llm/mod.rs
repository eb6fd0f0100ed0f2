//! Language models as proposers: prompts, requests to any OpenAI-compatible endpoint, and what their replies propose.
//!
//! In the order of a request's life: [`context`] is what a model is told, [`prompt`] puts it into words, [`request`] is
//! the body that is sent and the most that it can cost, [`client`] sends it, [`reply`] reads what came back, and
//! [`document`] turns that into a proposal for [`mod@crate::run::derive`], as from any other proposer. What does not work goes
//! back to the model with its diagnosis. Decides nothing about the run and judges nothing. A key is seen by [`key`] and
//! [`client`] alone and is in nothing that they return.
//!
#![doc = include_str!("../../cli/help/models.md")]

pub mod reply;
pub mod conversation;
pub mod request;
pub mod key;
pub mod client;
pub mod fence;
pub mod document;
pub mod context;
pub mod prompt;
pub mod pool;
pub mod history;
pub mod prompt_data;
