//! Serve: pages and figures of runs over HTTP, for those who know the token. It only reads, loads nothing from elsewhere,
//! and works on live runs and on those that are over.
//!
//! A thread ([`runs`]) follows the journals, so that requests find them read; [`site`] answers requests.

mod error;
mod token;
mod watched;
mod runs;
mod metrics;
mod site;

pub use error::ServeError;
pub use runs::{Runs, Where};
pub use site::{Server, bind};
pub use token::Token;
