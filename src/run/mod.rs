//! Runs: a folder, the fold of its journal, and the commands that work on a whole run.

pub mod folder;
pub mod fold;
pub mod derive;
pub mod index;
pub mod lookup;
pub mod carried;
pub mod snapshot;
pub mod resume;
pub mod driver;
pub mod replay;
pub mod fsck;
