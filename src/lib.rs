//! PackEvolve evolves the packing heuristic of mixture-of-experts inference. This crate is the harness: it asks for
//! edits, applies them, has judges measure the programs, keeps the best, and writes everything down.
//!
//! ```text
//!  proposer ---document---> derive ---program---> judge ---evaluation---+
//!     ^                       |                                         |
//!     |                   repository (git)                              v
//!  search.next() <--- search.apply(event) <------------------------- journal
//! ```
//!
//! # The layers
//!
//! A file imports only from the files above it; `tests/tidy.rs` holds this list against the code.
//!
//! * values: [`candidate`], `recent`, `line`, [`region`], [`nearest`], [`mismatch`], `site`, `block`, [`edit`], `rewrite`,
//!   [`patch`], [`mod@blame`], `merge`, [`proposal`], [`settings`], [`charge`], [`llm_error`],
//!   [`operator`], [`event`]
//! * decisions, pure: [`search`]
//! * edges, one dependency behind each: [`config`] (YAML), [`journal`], [`repository`] (git2), [`proposer`] (corpus;
//!   compose, cross, mutate and prune, with tree-sitter; language models, with HTTP and templates), [`mod@propose`],
//!   [`mod@derive`], [`judge`] and [`slots`] (processes), [`requests`] (language models at work)
//! * runs: [`run`], [`mod@index`], [`glance`], [`memory`], [`trail`], [`snapshot`] (MessagePack), [`resumption`], [`briefing`],
//!   [`note`], [`leaders`], [`driver`], [`replay`], [`fsck`]
//! * views: [`output`], [`terminal`], [`table`], [`plot`] (plotters), `figures`, [`gain`], [`export`],
//!   [`inspect`], [`progress`], [`report`] (templates), [`log`]
//! * shell: [`exit`], [`cli`]
//!
//! # What always holds
//!
//! * The harness never runs candidate code and does not link torch: everything but measuring works without it.
//! * State changes only through [`search::Search::apply`]; live runs, `resume` and `replay` call it on the same events.
//! * [`search`] has no IO, clock, thread or global random generator, and cannot fail.
//! * A bad candidate is data ([`packevolve_contract::rejection::Rejection`], [`event::Declined`]); an `Err` means that
//!   our own machinery broke. A rejected candidate has no score at all.
//! * Every candidate is made by [`derive::derive`] from its parent and a document as received, byte for byte.
//! * What a language model is asked and answers is in the archive as it was sent; its key is in one header and nowhere
//!   else, and in no judge's environment. Only the journal tells [`search`] that time has passed for a model.
//! * The journal is the truth. An index and a snapshot beside it are views: each is used only where the journal has the line
//!   that it names, with the digest of all lines before it, and a run is whole without them.
//! * Objects are in the archive before the journal names them, and what the journal does not hold did not happen. Whatever
//!   moment a process or the machine dies at, `resume` goes on as if it had not: `tests/crash.rs` has the harness stopped
//!   after every system call that changes a run.

pub mod candidate;

mod recent;

mod line;

pub mod region;

pub mod nearest;

pub mod mismatch;

mod site;

mod block;

pub mod edit;

mod rewrite;

pub mod patch;

pub mod blame;

mod merge;

pub mod proposal;

pub mod settings;

pub mod charge;

pub mod llm_error;

pub mod operator;

pub mod event;

pub mod search;

pub mod config;

pub mod journal;

pub mod repository;

pub mod proposer;

pub mod propose;

pub mod derive;

pub mod judge;

pub mod slots;

pub mod requests;

pub mod run;

pub mod index;

pub mod glance;

pub mod memory;

pub mod trail;

pub mod snapshot;

pub mod resumption;

pub mod briefing;

pub mod note;

pub mod leaders;

pub mod driver;

pub mod replay;

pub mod fsck;

pub mod output;

pub mod terminal;

pub mod table;

pub mod plot;

mod figures;

pub mod gain;

pub mod export;

pub mod inspect;

pub mod progress;

pub mod report;

pub mod log;

pub mod exit;

pub mod cli;
