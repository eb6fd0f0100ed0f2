//! Now: what each slot of a run measures at this moment, in a file beside the journal for those who watch. Nothing is
//! decided from it, and a run without it is whole: the journal tells what was measured once that has ended.

use std::fs;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::run::folder::RunFolder;
use crate::values::task::Task;

/// What a slot measures.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Busy {
    pub slot: usize,
    pub task: Task,
    /// Since when, in seconds since 1970.
    pub since: f64,
}

/// Writes the file of a run.
#[derive(Debug)]
pub struct Now {
    path: PathBuf,
    busy: Vec<Busy>,
}

fn path(folder: &RunFolder) -> PathBuf {
    folder.path().join("now.json")
}

impl Now {
    pub fn of(folder: &RunFolder) -> Self {
        Self { path: path(folder), busy: Vec::new() }
    }

    /// Shows what is being measured, if that has changed. A file that cannot be written is not an error of the run.
    pub fn show(&mut self, in_flight: impl Iterator<Item = (Task, usize)>) {
        let is_known = |busy: &Busy, task: Task, slot: usize| busy.task == task && busy.slot == slot;
        let mut busy: Vec<Busy> = in_flight
            .map(|(task, slot)| {
                let known = self.busy.iter().find(|busy| is_known(busy, task, slot));
                known.copied().unwrap_or(Busy { slot, task, since: seconds() })
            })
            .collect();
        busy.sort_by_key(|busy| busy.slot);
        if busy != self.busy {
            self.busy = busy;
            let _ = fs::write(&self.path, serde_json::to_vec(&self.busy).expect("BUG: it is always JSON"));
        }
    }

    /// Nothing is measured any more.
    pub fn end(&self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// What the slots of a run measured when that changed last, if its driver still runs; `None` while the file is being
/// written.
pub fn read(folder: &RunFolder) -> Option<Vec<Busy>> {
    match fs::read(path(folder)) {
        Ok(bytes) => serde_json::from_slice(&bytes).ok(),
        Err(_) => Some(Vec::new()),
    }
}

fn seconds() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::values::candidate::CandidateId;

    #[test]
    fn what_lasts_keeps_its_beginning_and_what_has_ended_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let folder = RunFolder::new(folder.path().to_owned());
        assert_eq!(read(&folder), Some(Vec::new()));
        fs::create_dir_all(folder.path()).unwrap();
        let mut now = Now::of(&folder);
        let task = |number| Task::Evaluate(CandidateId(number));
        now.show([(task(7), 1), (Task::Baseline, 0)].into_iter());
        let first = read(&folder).unwrap();
        assert_eq!(first.iter().map(|busy| busy.slot).collect::<Vec<_>>(), [0, 1]);
        now.show([(task(8), 0), (task(7), 1)].into_iter());
        let second = read(&folder).unwrap();
        assert_eq!((second[0].task, second[1]), (task(8), first[1]));
        now.end();
        assert_eq!(read(&folder), Some(Vec::new()));
    }
}
