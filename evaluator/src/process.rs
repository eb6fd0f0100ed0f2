//! Process: reads and controls the processes below the judge, through the kernel's own interfaces.

use std::fs;
use std::io;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sched::{CpuSet, sched_getaffinity, sched_getcpu, sched_setaffinity};
use nix::sys::prctl;
use nix::sys::signal::{Signal, kill, killpg};
use nix::sys::wait::WaitStatus;
use nix::unistd::Pid;

/// How long killed processes may take to disappear.
const KILL_LIMIT: Duration = Duration::from_secs(5);
/// How long a process may take to stop; a busy machine lets its threads wait for the CPU.
const STOP_LIMIT: Duration = Duration::from_secs(5);

/// The CPU at a place among those that the calling process may use, counted round; without a place the one on which it
/// runs.
pub fn own_cpu(place: Option<usize>) -> Option<usize> {
    let Some(place) = place else { return sched_getcpu().ok() };
    let set = sched_getaffinity(Pid::from_raw(0)).ok()?;
    let allowed: Vec<usize> = (0..CpuSet::count()).filter(|cpu| set.is_set(*cpu).unwrap_or(false)).collect();
    allowed.get(place.checked_rem(allowed.len())?).copied()
}

/// Kills the calling process at once, with all that ends with it.
pub fn kill_self() {
    let _ = kill(Pid::this(), Signal::SIGKILL);
}

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

/// Whether all threads of a process have ended; it may not have been reaped yet. If only the first one has, the process
/// looks ended and runs on.
pub fn has_ended(pid: Pid) -> bool {
    // What cannot be read, for lack of descriptors, may run on.
    states(pid).is_ok_and(|states| states.into_iter().all(|state| matches!(state, 'Z' | 'X')))
}

/// Waits until no thread of a stopped process runs. Returns how many keep running: none if the process obeys.
pub fn running_after_stop(pid: Pid) -> usize {
    let until = Instant::now() + STOP_LIMIT;
    loop {
        let states = states(pid).unwrap_or_default();
        let running = states.into_iter().filter(|state| !matches!(state, 'T' | 't' | 'Z' | 'X')).count();
        if running == 0 || Instant::now() > until {
            return running;
        }
        // They need the CPU of this process to get there.
        std::thread::sleep(Duration::from_micros(50));
    }
}

/// The states of the threads of a process, as proc(5) names them; none if there is no such process.
///
/// # Errors
/// They cannot be read.
fn states(pid: Pid) -> io::Result<Vec<char>> {
    let Some(threads) = unless_gone(fs::read_dir(format!("/proc/{pid}/task")))? else { return Ok(Vec::new()) };
    let mut states = Vec::new();
    for thread in threads {
        let Some(thread) = unless_gone(thread)? else { continue };
        let Some(stat) = unless_gone(fs::read_to_string(thread.path().join("stat")))? else { continue };
        // The state follows the command in parentheses, which may itself hold parentheses.
        states.extend(stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next()));
    }
    Ok(states)
}

/// `None` if a process or thread has disappeared.
fn unless_gone<T>(read: io::Result<T>) -> io::Result<Option<T>> {
    match read {
        Err(error) if error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(Errno::ESRCH as i32) => {
            Ok(None)
        }
        read => read.map(Some),
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Memory in use, bytes: anonymous pages, resident or swapped out, shared pages and page tables. Mapped memory does
    /// not count, because torch maps far more than it uses.
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
    let resident = field(status, "RssAnon:")? + field(status, "RssShmem:")? + field(status, "VmPTE:")?;
    Some(resident + field(status, "VmSwap:").unwrap_or(0))
}

/// The running descendants of a process.
fn descendants(ancestor: Pid) -> Vec<Pid> {
    let (mut found, mut parents) = (Vec::new(), vec![ancestor]);
    while let Some(parent) = parents.pop() {
        let children: Vec<Pid> = children(parent).into_iter().filter(|pid| !found.contains(pid)).collect();
        parents.extend_from_slice(&children);
        found.extend(children);
    }
    found.retain(|pid| !has_ended(*pid));
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

/// Waits for a killed process to end, and returns its status as waitpid(2) reports it; `None` if it does not end.
///
/// # Errors
/// The status cannot be read.
pub fn wait_status(pid: Pid) -> io::Result<Option<i32>> {
    let until = Instant::now() + KILL_LIMIT;
    while !has_ended(pid) {
        if Instant::now() > until {
            return Ok(None);
        }
        std::thread::sleep(Duration::from_micros(200));
    }
    let stat = unless_gone(fs::read_to_string(format!("/proc/{pid}/stat")))?.unwrap_or_default();
    Ok(stat.split_whitespace().last().and_then(|status| status.parse().ok()))
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
    use std::io::{BufRead, BufReader};
    use std::process::{Command, Stdio};

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
        assert!(!has_ended(me) && has_ended(Pid::from_raw(i32::MAX)));
    }

    /// Runs `act` on a process that `program` of Python runs in.
    fn on_python(program: &str, act: impl FnOnce(Pid)) {
        let mut process =
            Command::new(env!("PACKEVOLVE_PYTHON")).args(["-c", program]).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        act(Pid::from_raw(process.id() as i32));
        process.kill().unwrap();
        process.wait().unwrap();
    }

    #[test]
    fn the_status_of_an_ended_process_is_known_before_it_is_reaped() {
        on_python("import os; print(1, flush=True); os._exit(3)", |pid| {
            assert_eq!(wait_status(pid).unwrap(), Some(0x300));
        });
        on_python("print(1, flush=True); import time; time.sleep(60)", |pid| {
            signal_group(pid, Signal::SIGKILL);
            assert_eq!(wait_status(pid).unwrap(), Some(9));
        });
    }

    #[test]
    fn a_process_has_not_ended_while_one_of_its_threads_runs() {
        const ENDS_FIRST: &str = "
import ctypes, threading, time
def stay():
    time.sleep(0.1)
    print('ended', flush=True)
    time.sleep(60)
threading.Thread(target=stay).start()
ctypes.CDLL(None).syscall(ctypes.c_long(EXIT), 0)";
        let program = ENDS_FIRST.replace("EXIT", &nix::libc::SYS_exit.to_string());
        on_python(&program, |pid| {
            assert_eq!(states(pid).unwrap().len(), 2);
            assert!(states(pid).unwrap().contains(&'Z') && !has_ended(pid));
            signal_group(pid, Signal::SIGKILL);
            let until = Instant::now() + KILL_LIMIT;
            while !has_ended(pid) {
                assert!(Instant::now() < until);
                std::thread::sleep(Duration::from_millis(1));
            }
        });
    }

    #[test]
    fn a_stopped_process_is_stopped_once_all_of_its_threads_are() {
        const THREADS: &str = "
import threading, time
for _ in range(3):
    threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
print('ready', flush=True)
time.sleep(60)";
        on_python(THREADS, |pid| {
            signal_group(pid, Signal::SIGSTOP);
            assert_eq!(running_after_stop(pid), 0);
            assert_eq!(states(pid).unwrap(), ['T'; 4]);
        });
    }
}
