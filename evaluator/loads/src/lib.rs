//! Loads: reads what engines and people write about the loads of experts, and says what it is. Harness and judge use it.
//!
//! ```text
//! files ---first bytes---> kind ---reader---> part (windows of a file, or of files that belong together)
//!                                               \---topology, dense layers---> Recording
//! ```
//!
//! A file imports only from the files above it:
//!
//! * what is read: [`window`], [`error`], [`recording`], [`steps`]
//! * where it comes from: [`source`], [`kind`], [`number`], [`array`](mod@array)
//! * the formats: [`table`] (CSV), [`json`], [`slots`], [`lines`] (JSON Lines), [`npy`], [`archive`] (zip), [`pickle`],
//!   [`torch`], [`sglang`], [`tensorrt`]
//! * all together: [`read`](mod@read), [`summary`]
//! * for tests: `made`, `engines`, `fuzz`, `dumps`
//!
//! # What always holds
//!
//! * The first bytes of a file decide what it is; its name only decides where the bytes leave it open.
//! * A load is read where the file is clear about it, and refused with file and place where it is not. No load is
//!   repaired. What was left out or assumed is a [`recording::Note`].
//! * No file makes this crate run code, recurse, or take memory without limit: what a header claims is checked against
//!   what is there, arrays are read row by row, and windows are summed where they would be too many to hold.

pub mod window;
pub mod error;
pub mod recording;
mod steps;
pub mod source;
mod kind;
mod number;
mod array;
mod table;
mod json;
mod slots;
mod lines;
mod npy;
mod archive;
mod pickle;
mod torch;
mod sglang;
mod tensorrt;
pub mod read;
pub mod summary;
#[cfg(test)]
mod made;
#[cfg(test)]
mod engines;
#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod dumps;
