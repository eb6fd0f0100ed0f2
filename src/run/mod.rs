//! Runs: a folder, the fold of its journal, and the commands that work on a whole run.

pub mod folder;
pub mod work_time;
pub mod fold;
pub mod declined;
pub mod answered;
pub mod derive;
pub mod request;
pub mod resume;
pub mod restore;
pub mod inbox;
pub mod now;
pub mod following;
pub mod driver;
pub mod replay;
pub mod fsck;
