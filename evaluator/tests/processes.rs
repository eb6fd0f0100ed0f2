//! Descendants of a process, found through `/proc`. Pid and start time identify a process, because pids are reused.

use std::collections::BTreeSet;
use std::fs;
use std::time::{Duration, Instant};

/// How long killed processes may take to disappear.
const PATIENCE: Duration = Duration::from_secs(10);

/// A process of this machine.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Running {
    pub pid: u32,
    started: u64,
    parent: u32,
}

impl Running {
    /// `None` once it is gone.
    fn read(pid: u32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The command in parentheses may itself hold blanks and parentheses; after it come state, parent ...
        let fields: Vec<&str> = stat.rsplit_once(") ")?.1.split(' ').collect();
        Some(Self { pid, parent: fields[1].parse().ok()?, started: fields[19].parse().ok()? })
    }

    /// A zombie counts as left behind.
    fn is_there(&self) -> bool {
        Self::read(self.pid).is_some_and(|now| now.started == self.started)
    }
}

/// All descendants of `ancestor`.
pub fn descendants(ancestor: u32) -> BTreeSet<Running> {
    let all: Vec<Running> = fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter_map(Running::read)
        .collect();
    let mut below = BTreeSet::new();
    let mut parents = vec![ancestor];
    while let Some(parent) = parents.pop() {
        for process in all.iter().filter(|process| process.parent == parent) {
            parents.push(process.pid);
            below.insert(process.clone());
        }
    }
    below
}

/// Waits until the processes are gone, and returns those that stay.
pub fn left_of(processes: &BTreeSet<Running>) -> Vec<Running> {
    let until = Instant::now() + PATIENCE;
    loop {
        let left: Vec<Running> = processes.iter().filter(|process| process.is_there()).cloned().collect();
        if left.is_empty() || Instant::now() > until {
            return left;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}
