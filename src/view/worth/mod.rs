//! Worth: whether rebalancing is worth it on recorded traffic, and what of it matters. Plans are made on a window and
//! serve the next one; what they do there is compared, put into words and shown.
//!
//! Nothing here makes a plan, starts a judge or reads a file.

mod traffic;
mod option;
mod figures;
mod verdict;
mod document;
mod text;
mod page;

pub use self::document::{WorthJson, worth};
pub use self::figures::{Compared, Figures, Tried};
pub use self::option::{Choice, Planner};
pub use self::page::html;
pub use self::text::text;
pub use self::traffic::Traffic;
pub use self::verdict::{StepTime, Verdict};
