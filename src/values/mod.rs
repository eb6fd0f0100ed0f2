//! Values: what happens in a run and what it is about, as plain data. No IO and no decisions.
//!
#![doc = include_str!("../cli/help/words.md")]

pub mod error_kind;
pub mod digest;
pub(crate) mod memo;
pub mod raw_text;
pub mod shipped;
pub(crate) mod figure;
pub mod candidate;
pub mod task;
pub mod place;
pub mod settings;
pub mod cost;
pub mod llm_error;
pub mod operator;
pub mod event;
