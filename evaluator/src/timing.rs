//! Timing: the clocks that a call is taken by. A child is never asked what time it is.

use std::io;
use std::time::{Duration, Instant};

use nix::time::{ClockId, clock_getcpuclockid, clock_gettime};
use nix::unistd::Pid;

/// The clock of a child, read from outside.
///
/// On `cpu` the CPU time of its whole process, all threads: it holds still while others use the machine, and it also
/// counts what a child computes between calls. On `cuda` wall time, because the GPU's work is nobody's CPU time.
#[derive(Clone, Copy, Debug)]
pub enum Clock {
    /// CPU time of a process.
    Cpu(ClockId),
    /// Wall time since a start.
    Wall(Instant),
}

impl Clock {
    /// The CPU clock of process `pid` (POSIX `clock_getcpuclockid`).
    pub fn cpu(pid: Pid) -> io::Result<Self> {
        Ok(Self::Cpu(clock_getcpuclockid(pid)?))
    }

    /// A wall clock.
    pub fn wall() -> Self {
        Self::Wall(Instant::now())
    }

    /// What it shows now. A CPU clock cannot be read any more once its process was reaped.
    pub fn now(&self) -> io::Result<Duration> {
        match self {
            Self::Cpu(id) => Ok(clock_gettime(*id)?.into()),
            Self::Wall(start) => Ok(start.elapsed()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    #[test]
    fn a_cpu_clock_stands_still_while_its_process_sleeps() {
        let mut sleeper = Command::new("sleep").arg("60").stdout(Stdio::null()).spawn().unwrap();
        let clock = Clock::cpu(Pid::from_raw(sleeper.id() as i32)).unwrap();
        // Wait until it has started to sleep: until its clock has stopped moving.
        let mut last = clock.now().unwrap();
        loop {
            std::thread::sleep(Duration::from_millis(5));
            let now = clock.now().unwrap();
            if now == last && now > Duration::ZERO {
                break;
            }
            last = now;
        }
        sleeper.kill().unwrap();
        sleeper.wait().unwrap();
        assert!(clock.now().is_err());
    }
}
