//! Process: what the judge reads of and does to the processes below it, by the kernel's own interfaces.

use std::fs;
use std::io;
use std::time::{Duration, Instant};

use nix::sched::{CpuSet, sched_getcpu, sched_setaffinity};
use nix::sys::prctl;
use nix::sys::signal::{Signal, kill, killpg};
use nix::sys::wait::WaitStatus;
use nix::unistd::Pid;

/// How long what is killed may take to be gone.
const PATIENCE: Duration = Duration::from_secs(5);

/// Pins the calling process, and all that it starts from now on, to one CPU: the slot.
pub fn pin_to(cpu: usize) -> io::Result<()> {
    let mut set = CpuSet::new();
    set.set(cpu)?;
    Ok(sched_setaffinity(Pid::from_raw(0), &set)?)
}

/// The CPU that the calling thread is on, if the kernel tells.
pub fn current_cpu() -> Option<usize> {
    sched_getcpu().ok()
}

/// Lets the calling process die with its parent, so that no judge outlives a harness that was killed.
pub fn die_with_parent() -> io::Result<()> {
    Ok(prctl::set_pdeathsig(Signal::SIGKILL)?)
}

/// Kills a process with its whole process group. One that is gone already is fine.
pub fn kill_group(leader: Pid) {
    let _ = killpg(leader, Signal::SIGKILL);
    let _ = kill(leader, Signal::SIGKILL);
}

/// Stops a child with its group, so that it computes nothing while another one is timed.
pub fn stop(leader: Pid) {
    let _ = killpg(leader, Signal::SIGSTOP);
    let _ = kill(leader, Signal::SIGSTOP);
}

/// Lets a stopped child go on.
pub fn go_on(leader: Pid) {
    let _ = killpg(leader, Signal::SIGCONT);
    let _ = kill(leader, Signal::SIGCONT);
}

/// Whether a child has ended and waits to be reaped.
pub fn is_zombie(pid: Pid) -> bool {
    // The state follows the command in parentheses, which may itself hold parentheses.
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_none_or(|(_, rest)| rest.starts_with(['Z', 'X']))
}

/// What a process uses at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Bytes of memory that it really uses: anonymous and shared pages present and the tables that they stand in, not
    /// what it mapped (torch maps far more than it uses).
    pub memory: u64,
    /// Threads.
    pub threads: u32,
}

/// What a process and all below it use now.
pub fn usage_with_all_below(ancestor: Pid) -> Usage {
    let all = below(ancestor).into_iter().chain([ancestor]).map(usage);
    all.fold(Usage { memory: 0, threads: 0 }, |sum, one| Usage {
        memory: sum.memory + one.memory,
        threads: sum.threads.saturating_add(one.threads),
    })
}

/// What a process uses now; nothing once it has ended.
pub fn usage(pid: Pid) -> Usage {
    let status = Status::of(&format!("/proc/{pid}"));
    // A process whose first thread has ended lives on in the others, which tell what it uses.
    let mut living = status.memory().into_iter().chain(thread_statuses(pid).filter_map(|status| status.memory()));
    let memory = living.next().unwrap_or(0) * 1024;
    Usage { memory, threads: u32::try_from(status.field("Threads:").unwrap_or(0)).unwrap_or(u32::MAX) }
}

/// Of all threads of a process; read one by one.
fn thread_statuses(pid: Pid) -> impl Iterator<Item = Status> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    threads.map(|thread| Status::of(&thread.path().to_string_lossy()))
}

/// What the kernel tells of a process or a thread.
struct Status(String);

impl Status {
    fn of(folder: &str) -> Self {
        Self(fs::read_to_string(format!("{folder}/status")).unwrap_or_default())
    }

    fn field(&self, name: &str) -> Option<u64> {
        let line = self.0.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim().trim_end_matches(" kB").parse().ok()
    }

    /// Pages that are its own and the tables that they stand in, KiB; `None` of what has ended.
    fn memory(&self) -> Option<u64> {
        Some(self.field("RssAnon:")? + self.field("RssShmem:")? + self.field("VmPTE:")?)
    }
}

/// The living processes below a process; a zombie is none of them.
pub fn below(ancestor: Pid) -> Vec<Pid> {
    let (mut found, mut parents) = (Vec::new(), vec![ancestor]);
    while let Some(parent) = parents.pop() {
        let children: Vec<Pid> = children(parent).into_iter().filter(|pid| !found.contains(pid)).collect();
        parents.extend_from_slice(&children);
        found.extend(children);
    }
    found.retain(|pid| !is_zombie(*pid));
    found
}

/// Kills everything below a process that is pid 1 of its namespace, so that nothing escapes to above it. False if there
/// is always more of it.
pub fn kill_below(ancestor: Pid) -> bool {
    let until = Instant::now() + PATIENCE;
    // A call that was let through just now may still come to start something, so one look is not enough.
    let mut nothing_seen = 0;
    while nothing_seen < 2 {
        let all = below(ancestor);
        for pid in &all {
            let _ = kill(*pid, Signal::SIGKILL);
        }
        nothing_seen = if all.is_empty() { nothing_seen + 1 } else { 0 };
        if Instant::now() > until {
            return false;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    true
}

/// Children of all threads of a process.
fn children(parent: Pid) -> Vec<Pid> {
    let Ok(threads) = fs::read_dir(format!("/proc/{parent}/task")) else { return Vec::new() };
    let lists = threads.flatten().filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    lists
        .flat_map(|list| list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>())
        .map(Pid::from_raw)
        .collect()
}

/// A wait status in words: `signal SIGSEGV` or `exit status 1`.
pub fn describe_status(pid: Pid, status: i32) -> String {
    match WaitStatus::from_raw(pid, status) {
        Ok(WaitStatus::Exited(_, code)) => format!("exit status {code}"),
        Ok(WaitStatus::Signaled(_, signal, _)) => format!("signal {signal}"),
        _ => format!("wait status {status:#x}"),
    }
}

/// The name of the machine's processor.
pub fn cpu_name() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let line = info.lines().find(|line| line.starts_with("model name"));
    line.and_then(|line| line.split_once(": ")).map_or("unknown", |(_, name)| name).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_told_in_words() {
        let pid = Pid::from_raw(1);
        assert_eq!(describe_status(pid, 0x0300), "exit status 3");
        assert_eq!(describe_status(pid, 11), "signal SIGSEGV");
    }

    #[test]
    fn memory_is_what_is_used_and_nothing_is_used_by_nobody() {
        let me = Pid::this();
        let before = usage(me).memory;
        let block = vec![1u8; 64 << 20];
        assert!(usage(me).memory > before + (48 << 20), "{} bytes are held", block.len());
        assert!(usage(me).threads >= 1);
        assert_eq!(usage(Pid::from_raw(i32::MAX)), Usage { memory: 0, threads: 0 });
        assert!(!is_zombie(me));
    }
}
