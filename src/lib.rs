//! PackEvolve evolves the packing heuristic of mixture-of-experts inference. This crate is the harness: it asks for
//! edits, applies them, has judges measure the programs, keeps the best, and writes everything down.
//!
//! ```text
//!  proposer ---document---> derive ---program---> judge ---evaluation---+
//!     ^                       |                                         |
//!     |                    archive (git)                                v
//!  search.next() <--- search.apply(event) <------------------------- journal
//! ```
//!
//! # The folders
//!
//! An edit makes a candidate; the search decides, proposers propose, judges measure; journal and archive remember; a run
//! ties it together; views show it. A folder imports only from the folders above it, and inside a folder a file imports
//! only from the files that its `mod.rs` declares before it; `tests/tidy.rs` holds both against the code.
//!
//! * [`edit`]: SEARCH/REPLACE blocks, where they match, why they do not, and the program that comes of them
//! * [`values`]: candidates, events, settings, costs: plain data
//! * [`config`]: YAML to settings
//! * [`search`]: what to try next; pure
//! * [`journal`]: the events of a run as chained lines
//! * [`archive`]: the candidates of a run as git commits
//! * [`proposer`]: corpus, compose, cross, mutate, prune and language models
//! * [`judge`]: processes that measure
//! * [`run`]: a run's folder, its fold, and the commands that work on a whole run
//! * [`view`]: tables, diffs, plots and pages
//! * [`cli`]: arguments, exit codes, dispatch
//!
//! # What always holds
//!
//! * The harness never runs candidate code and does not link torch: everything but measuring works without it.
//! * State changes only through [`search::Search::apply`]; live runs, `resume` and `replay` call it on the same events.
//! * [`search`] has no IO, clock, thread or global random generator, and cannot fail.
//! * A bad candidate is data ([`packevolve_contract::rejection::Rejection`], [`values::event::Declined`]); an `Err` means
//!   that our own machinery broke. A rejected candidate has no score at all.
//! * Every candidate is made by [`run::derive::derive`] from its parent and a document as received, byte for byte.
//! * What a language model is asked and answers is in the archive as it was sent; its key is in one header and nowhere
//!   else, and in no judge's environment. Only the journal tells [`search`] that time has passed for a model.
//! * The journal is the truth. An index and a snapshot beside it are views: each is used only where the journal has the line
//!   that it names, with the digest of all lines before it, and a run is whole without them.
//! * Objects are in the archive before the journal names them, and what the journal does not hold did not happen. Whatever
//!   moment a process or the machine dies at, `resume` goes on as if it had not: `tests/crash.rs` has the harness stopped
//!   after every system call that changes a run.

pub mod edit;
pub mod values;
pub mod config;
pub mod search;
pub mod journal;
pub mod archive;
pub mod proposer;
pub mod judge;
pub mod run;
pub mod view;
pub mod cli;
