//! Cost: CPU time of this process and all below it, and how much of it was computing that was asked for.

use std::collections::BTreeMap;
use std::fs;
use std::ops::Range;

use packevolve_contract::evaluation::Measurement;

/// Linux counts the time of processes in these, independent of the kernel's own clock.
const TICKS_A_SECOND: f64 = 100.0;
/// CPU time so far, seconds, by who spent it.
#[derive(Clone, Copy)]
pub struct Spent {
    /// This process: proposals, edits, journal, commits.
    pub harness: f64,
    /// The judge: loads, verification, scores.
    pub judge: f64,
    /// Everything below the judge, ended or not: the nursery, the reference and the candidates.
    pub nursery: f64,
}

impl Spent {
    /// Until now.
    pub fn now() -> Self {
        let all = processes();
        let mut wanted = vec![(std::process::id(), 0)];
        let mut ticks = [0; 3];
        while let Some((pid, depth)) = wanted.pop() {
            let (_, own, ended) = all.get(&pid).copied().unwrap_or_default();
            ticks[depth.min(2)] += own;
            ticks[(depth + 1).min(2)] += ended;
            wanted.extend(all.iter().filter(|(_, (parent, ..))| *parent == pid).map(|(pid, _)| (*pid, depth + 1)));
        }
        let [harness, judge, nursery] = ticks.map(|ticks| ticks as f64 / TICKS_A_SECOND);
        Self { harness, judge, nursery }
    }

    /// What was spent since.
    pub fn since(self, before: Self) -> Self {
        Self {
            harness: self.harness - before.harness,
            judge: self.judge - before.judge,
            nursery: self.nursery - before.nursery,
        }
    }

    /// By all of them.
    pub fn total(self) -> f64 {
        self.harness + self.judge + self.nursery
    }
}

/// Parent of every process, its ticks, and those of what it waited for.
fn processes() -> BTreeMap<u32, (u32, u64, u64)> {
    let pids = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter_map(|pid| Some((pid, parent_and_ticks(pid)?))).collect()
}

fn parent_and_ticks(pid: u32) -> Option<(u32, u64, u64)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The command in parentheses may itself hold blanks and parentheses; after it come state, parent ...
    let fields: Vec<&str> = stat.rsplit_once(") ")?.1.split(' ').collect();
    let ticks =
        |range: Range<usize>| -> Option<u64> { fields.get(range)?.iter().map(|field| field.parse::<u64>().ok()).sum() };
    Some((fields[1].parse().ok()?, ticks(11..13)?, ticks(13..15)?))
}

/// Time of all calls of the candidate: those that count, the void ones, and the trials, seconds.
pub fn candidate_seconds(measurement: &Measurement) -> f64 {
    let scored = measurement.cases.iter().flat_map(|case| &case.samples);
    let voided = measurement.calibration.voided.iter().map(|voided| &voided.sample);
    measurement.trial_seconds + scored.chain(voided).map(|sample| sample.seconds).sum::<f64>()
}

/// Time of the reference program's calls, seconds. Before those that are timed in a row, one alone or those of a
/// calibration, comes one that is not.
pub fn reference_seconds(measurement: &Measurement) -> f64 {
    let scored = measurement.cases.iter().flat_map(|case| &case.samples);
    let voided = measurement.calibration.voided.iter().map(|voided| &voided.sample);
    let alone = scored.chain(voided).map(|sample| vec![sample.reference_seconds]);
    let calibrations = [measurement.calibration.before.clone(), measurement.calibration.after.clone()];
    let rows = alone.chain(calibrations).filter(|row| !row.is_empty());
    rows.map(|row| row.iter().sum::<f64>() * (row.len() + 1) as f64 / row.len() as f64).sum()
}
