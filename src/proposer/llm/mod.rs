//! Language models as proposers: prompts, requests to any OpenAI-compatible endpoint, and what their replies propose.
//!
//! In the order of a request's life: [`context`] holds the data of a prompt, [`prompt`] renders it, [`request`] makes
//! the body and computes its maximum cost, [`client`] sends it, [`reply`] reads the response, and [`document`] turns
//! the answer into a proposal for [`mod@crate::run::derive`], like that of any other proposer. A failure goes back to
//! the model with its diagnosis. This module decides nothing about the run and judges nothing. Only [`key`] and
//! [`client`] see a key; nothing that they return contains it.
#![doc = include_str!("../../cli/help/models.md")]

pub(crate) mod retry_after;
pub(crate) mod body;
pub(crate) mod fault;
pub(crate) mod answer;
pub mod reply;
pub mod conversation;
pub mod request;
pub mod key;
pub mod client;
pub(crate) mod fence;
pub mod document;
mod said;
pub mod context;
pub mod prompt;
pub(crate) mod pool;
pub(crate) mod history;
pub(crate) mod prompt_data;
