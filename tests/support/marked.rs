//! Processes that belong to a test wherever they were started, found by a mark in their environment.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

/// The variable whose value is the mark.
pub const MARK: &str = "PACKEVOLVE_TEST_MARK";

/// Pids and commands of the processes with this mark.
pub fn marked(mark: &str) -> Vec<(i32, String)> {
    let wanted = format!("{MARK}={mark}");
    let has_mark = |pid: &i32| {
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|variable| variable == wanted.as_bytes())
    };
    let pids = fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let command =
        |pid: i32| (pid, fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default().trim().to_owned());
    pids.filter(has_mark).map(command).collect()
}

/// Waits until none is left.
#[track_caller]
pub fn all_have_ended(mark: &str) {
    until("no process is left", || marked(mark).is_empty());
}

/// Waits for something that happens soon.
#[track_caller]
pub fn until(what: &str, happened: impl Fn() -> bool) {
    let began = Instant::now();
    while !happened() {
        assert!(began.elapsed() < Duration::from_secs(90), "waited in vain: {what}");
        thread::sleep(Duration::from_millis(50));
    }
}
