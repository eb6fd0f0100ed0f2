//! Process: reads and controls the processes below the judge, through the kernel's own interfaces.

use std::fs;
use std::io;
use std::time::{Duration, Instant};

use nix::sched::{CpuSet, sched_setaffinity};
use nix::sys::prctl;
use nix::sys::signal::{Signal, kill, killpg};
use nix::sys::wait::WaitStatus;
use nix::unistd::Pid;

/// How long killed processes may take to disappear.
const KILL_LIMIT: Duration = Duration::from_secs(5);

/// Pins the calling process, and the processes that it starts later, to one CPU.
pub fn pin_to(cpu: usize) -> io::Result<()> {
    let mut set = CpuSet::new();
    set.set(cpu)?;
    Ok(sched_setaffinity(Pid::from_raw(0), &set)?)
}

/// Kills the calling process when its parent dies, so that no judge outlives a killed harness.
pub fn die_with_parent() -> io::Result<()> {
    Ok(prctl::set_pdeathsig(Signal::SIGKILL)?)
}

/// Signals a process and its process group. Ignores errors: the process may have exited.
pub fn signal_group(leader: Pid, signal: Signal) {
    let _ = killpg(leader, signal);
    let _ = kill(leader, signal);
}

/// Whether a process has exited; it may not have been reaped yet.
pub fn is_zombie(pid: Pid) -> bool {
    // The state follows the command in parentheses, which may itself hold parentheses.
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_none_or(|(_, rest)| rest.starts_with(['Z', 'X']))
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Memory in use, bytes: resident anonymous and shared pages and their page tables. Mapped memory does not count,
    /// because torch maps far more than it uses.
    pub memory: u64,
    pub threads: u32,
}

pub fn usage_with_descendants(ancestor: Pid) -> Usage {
    let all = descendants(ancestor).into_iter().chain([ancestor]).map(usage);
    all.fold(Usage::default(), |sum, one| Usage {
        memory: sum.memory + one.memory,
        threads: sum.threads.saturating_add(one.threads),
    })
}

/// The usage of a process; zero once it has exited.
pub fn usage(pid: Pid) -> Usage {
    let status = status(&format!("/proc/{pid}"));
    // If the first thread has exited, the other threads still report the memory of the process.
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let others = threads.filter_map(|thread| resident_kib(&self::status(&thread.path().to_string_lossy())));
    let memory = resident_kib(&status).into_iter().chain(others).next().unwrap_or(0) * 1024;
    Usage { memory, threads: u32::try_from(field(&status, "Threads:").unwrap_or(0)).unwrap_or(u32::MAX) }
}

/// The status file of a process or thread; empty once it has exited.
fn status(folder: &str) -> String {
    fs::read_to_string(format!("{folder}/status")).unwrap_or_default()
}

fn field(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().trim_end_matches(" kB").parse().ok()
}

fn resident_kib(status: &str) -> Option<u64> {
    Some(field(status, "RssAnon:")? + field(status, "RssShmem:")? + field(status, "VmPTE:")?)
}

/// The running descendants of a process, without zombies.
fn descendants(ancestor: Pid) -> Vec<Pid> {
    let (mut found, mut parents) = (Vec::new(), vec![ancestor]);
    while let Some(parent) = parents.pop() {
        let children: Vec<Pid> = children(parent).into_iter().filter(|pid| !found.contains(pid)).collect();
        parents.extend_from_slice(&children);
        found.extend(children);
    }
    found.retain(|pid| !is_zombie(*pid));
    found
}

/// Kills the descendants of a process that is pid 1 of its namespace, so that they cannot be adopted above it. False if
/// new ones keep appearing.
pub fn kill_below(ancestor: Pid) -> bool {
    let until = Instant::now() + KILL_LIMIT;
    // A fork that was just allowed may still be about to happen, so one empty look is not enough.
    let mut empty_looks = 0;
    while empty_looks < 2 {
        let all = descendants(ancestor);
        for pid in &all {
            let _ = kill(*pid, Signal::SIGKILL);
        }
        empty_looks = if all.is_empty() { empty_looks + 1 } else { 0 };
        if Instant::now() > until {
            return false;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    true
}

fn children(parent: Pid) -> Vec<Pid> {
    let threads = fs::read_dir(format!("/proc/{parent}/task")).into_iter().flatten().flatten();
    let lists = threads.filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    lists
        .flat_map(|list| list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>())
        .map(Pid::from_raw)
        .collect()
}

/// A wait status as text: `signal SIGSEGV` or `exit status 1`.
pub fn describe_status(pid: Pid, status: i32) -> String {
    match WaitStatus::from_raw(pid, status) {
        Ok(WaitStatus::Exited(_, code)) => format!("exit status {code}"),
        Ok(WaitStatus::Signaled(_, signal, _)) => format!("signal {signal}"),
        _ => format!("wait status {status:#x}"),
    }
}

pub fn cpu_name() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let line = info.lines().find(|line| line.starts_with("model name"));
    line.and_then(|line| line.split_once(": ")).map_or("unknown", |(_, name)| name).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_described() {
        let pid = Pid::from_raw(1);
        assert_eq!(describe_status(pid, 0x0300), "exit status 3");
        assert_eq!(describe_status(pid, 11), "signal SIGSEGV");
    }

    #[test]
    fn used_memory_counts_and_a_missing_process_uses_none() {
        let me = Pid::this();
        let before = usage(me).memory;
        let block = vec![1u8; 64 << 20];
        assert!(usage(me).memory > before + (48 << 20), "{} bytes are held", block.len());
        assert!(usage(me).threads >= 1);
        assert_eq!(usage(Pid::from_raw(i32::MAX)), Usage { memory: 0, threads: 0 });
        assert!(!is_zombie(me));
    }
}
