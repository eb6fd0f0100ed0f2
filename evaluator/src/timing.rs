//! Timing: the clocks that time a call. The judge never asks a child for the time.

use std::io;
use std::time::{Duration, Instant};

use nix::time::{ClockId, clock_getcpuclockid, clock_gettime};
use nix::unistd::Pid;

/// The clock of a child, read from outside.
#[derive(Clone, Copy, Debug)]
pub enum Clock {
    /// CPU time of all threads of a process. Other load on the machine does not affect it, and it includes work that a
    /// child does between calls.
    Cpu(ClockId),
    /// Wall time since a start, for GPUs, whose work takes no CPU time.
    Wall(Instant),
}

impl Clock {
    /// The CPU clock of process `pid` (POSIX `clock_getcpuclockid`).
    pub fn cpu(pid: Pid) -> io::Result<Self> {
        Ok(Self::Cpu(clock_getcpuclockid(pid)?))
    }

    /// Reads the clock. Fails for the CPU clock of a process that was reaped.
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
        // It sleeps once its clock has stopped.
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
