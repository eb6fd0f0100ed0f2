//! Trail: what a run carries along beside the state of its search, folded from the same events: what its archive is to
//! keep, what prompts tell, how long harnesses were at work on it.

use serde::{Deserialize, Serialize};

use crate::archive::Kept;
use crate::proposer::llm::history::PromptHistory;
use crate::run::fold::{WorkTime, keep_named};
use crate::search::Search;
use crate::values::event::Event;

/// All of that.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CarriedState {
    /// What the archive is to keep.
    pub kept: Kept,
    /// What prompts tell.
    pub memory: PromptHistory,
    /// How long harnesses were at work.
    pub work: WorkTime,
}

impl CarriedState {
    /// Before the first event of a run whose commit times count from `epoch`.
    pub fn new(epoch: i64) -> Self {
        Self { kept: Kept::new(epoch), memory: PromptHistory::default(), work: WorkTime::default() }
    }

    /// Takes in what happened and when it was written; `search` is the state after it.
    pub fn add(&mut self, event: &Event, time: f64, search: &Search) {
        keep_named(&mut self.kept, event);
        self.memory.apply(event, search);
        self.work.add(event, time);
    }
}
