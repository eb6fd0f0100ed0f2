//! The driver carries out the decisions of the search: it asks proposers, applies edits, dispatches evaluations and
//! writes events. It decides nothing itself.
//!
//! Every step appends its event to the journal before it changes the state. The journal is synced once for all events
//! that come together, before the driver waits for anything: from then on they have happened.

mod error;
mod record;
mod standing;
mod models;
mod slots;
mod run;
mod start;

pub use error::DriverError;
pub use record::{Observer, RunUpdate};
pub use run::Driver;
pub use start::Start;
