//! PackEvolve evolves the packing heuristic of mixture-of-experts inference. This crate is the harness: it asks for
//! edits, applies them, has judges measure the programs, keeps the best, and writes everything down.
//!
//! ```text
//!  proposer ---document---> derive ---program---> judge ---evaluation---+
//!     ^                                                                  |
//!     |                                                                  v
//!  search.next() <--- search.apply(event) <-------------------------- journal ---> archive (git)
//! ```
//!
//! # The folders
//!
//! An edit makes a candidate; the search decides, proposers propose, judges measure; journal and archive remember; a run
//! ties it together; views show it. A folder imports only from the folders above it, and inside a folder a file imports
//! only from the files that its `mod.rs` declares before it; `tests/tidy.rs` holds both against the code.
//!
//! * [`edit`]: SEARCH/REPLACE blocks, where they match, why they do not, and the resulting program
//! * [`values`]: candidates, events, settings, costs: plain data
//! * [`config`]: YAML to settings
//! * [`search`]: what to try next; pure
//! * [`journal`]: the events of a run as chained lines: the run itself
//! * [`archive`]: the candidates of a run, derived from its journal, and as git commits
//! * [`proposer`]: corpus, compose, cross, mutate, prune and language models
//! * [`judge`]: processes that measure
//! * [`run`]: a run's folder, its fold, and the commands that work on a whole run
//! * [`view`]: tables, diffs, plots and pages; programs as they leave a run, packages for engines included
//! * [`serve`]: the pages over HTTP, and figures for Prometheus
//! * [`cli`]: arguments, exit codes, dispatch
//!
//! # One proposal, hop by hop
//!
//! [`run::driver`] asks [`search::Search::next`] what to try and records the answer as [`values::event::Event::Selected`].
//! [`proposer::draw`] draws a document; a language model's comes later, through [`proposer::llm`]. [`run::derive`] applies
//! the document to its parent's program, which [`archive::programs`] reads from the journal, and turns it away if the
//! program was seen before. What is left is a candidate: its [`values::event::CandidateCreated`] goes through
//! [`journal::Journal::append`] and [`search::Search::apply`], and [`archive::Writer`] makes it a commit later.
//! [`judge::pool`] has a judge measure it, a given proposal on one window of each case first, and in full later
//! ([`values::task::Task::Complete`]); the evaluation is the next event, by which [`search`] admits the candidate to
//! its island and the Pareto front, or not. One that looks better than the best meets it in a duel
//! ([`values::event::Event::DuelStarted`]), on windows that are made for it; what the judge measures there
//! ([`values::event::Event::DuelEnded`]) decides who is the best.
//!
//! # What always holds
//!
//! * The harness never runs candidate code and does not link torch: everything but measuring works without it.
//! * State changes only through [`search::Search::apply`], which checks an event and applies it. Live runs, `resume` and
//!   `replay` call it on the same events, and every command that reads a run goes through [`run::fold`].
//! * [`search`] has no IO, clock, thread or global random generator, and cannot fail.
//! * A bad candidate is data ([`packevolve_contract::rejection::Rejection`], [`values::event::Declined`]); an `Err` means
//!   that our own machinery broke. A rejected candidate has no score at all.
//! * Every program is made by [`archive::programs::derive`] from its parent and a document as received, byte for byte.
//! * The journal is the truth, and the only one: only what is in it happened. The archive is made from it, and made again
//!   by `resume` and `fsck --repair` with the same commit ids.
//! * A judge can be lost at any moment, wherever it is. What it measured is measured again, and the loss is an event.
//! * [`journal::exchanges`] keeps what a language model was sent and what it answered, on the disk before the journal names
//!   it. A key is in one header and nowhere else, and in no judge's environment.
//! * `resume` continues correctly no matter when a process or the machine died: `tests/crash.rs` stops the harness after
//!   every system call that changes a run.

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
pub mod serve;
pub mod cli;
