//! Tracer: runs a program and stops it at every system call with which its main thread changes files, to look at what
//! it has left so far or to let the call fail. The program itself knows nothing of it: what is seen is what is shipped.
//!
//! Only the main thread is looked at, or that of a test: it alone writes the record of a run.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use nix::errno::Errno;
use nix::libc;
use nix::sys::ptrace;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use super::Output;

/// What a call does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Opens a file that is there to write to it.
    Open,
    /// Makes or empties a file.
    Create,
    /// Writes to one.
    Write,
    /// Cuts one off.
    Truncate,
    /// Makes, moves or removes a name.
    Name,
    /// Waits until a file or folder is on the disk.
    Sync,
    /// Waits until the whole file system is.
    SyncAll,
}

/// A call that changes a file, and which.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    pub kind: Kind,
    /// Of a move, where from.
    pub path: PathBuf,
}

/// Looks at the calls.
pub trait Watcher {
    /// What is to become of a call that is about to be made: `None` lets it be made.
    fn fault(&mut self, _call: &Call) -> Option<Errno> {
        None
    }

    /// A call was made, and the program stands still.
    fn made(&mut self, _call: &Call) {}
}

/// Runs a command to its end, under the eyes of `watcher`, which hears of calls that change something in `folder`.
#[allow(clippy::zombie_processes, reason = "it is waited for by its number")]
pub fn trace(command: &Command, folder: &Path, watcher: &mut dyn Watcher) -> Output {
    // The shell waits to be seized, and then becomes the program.
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", r#"kill -STOP $$; exec "$0" "$@""#]).arg(command.get_program()).args(command.get_args());
    shell.env_clear().envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let here = command.get_current_dir().expect("a folder to run in").to_owned();
    shell.current_dir(&here).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut process = shell.spawn().unwrap();
    let pid = Pid::from_raw(process.id().try_into().unwrap());
    let traced = Traced { pid, here, folder: folder.to_owned(), under_way: None };
    waitpid(pid, Some(WaitPidFlag::WUNTRACED)).unwrap();
    traced.seize();
    let status = traced.follow(watcher);
    let text = |stream: &mut dyn Read| {
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        text
    };
    let stdout = text(&mut process.stdout.take().unwrap());
    let stderr = text(&mut process.stderr.take().unwrap());
    Output { code: status.code(), stdout, stderr }
}

struct Traced {
    pid: Pid,
    here: PathBuf,
    folder: PathBuf,
    /// The call that was begun and has not ended; what to answer for it.
    under_way: Option<(Option<Call>, Option<Errno>)>,
}

impl Traced {
    /// The process stands still, and continues under this tracer.
    fn seize(&self) {
        ptrace::seize(self.pid, ptrace::Options::PTRACE_O_TRACESYSGOOD | ptrace::Options::PTRACE_O_EXITKILL).unwrap();
        kill(self.pid, Signal::SIGCONT).unwrap();
    }

    fn follow(mut self, watcher: &mut dyn Watcher) -> ExitStatus {
        loop {
            let signal = match waitpid(self.pid, Some(WaitPidFlag::__WALL)).unwrap() {
                WaitStatus::Exited(_, code) => return ExitStatus::from_raw(code << 8),
                WaitStatus::Signaled(_, signal, _) => return ExitStatus::from_raw(signal as i32),
                WaitStatus::PtraceSyscall(_) => {
                    self.stopped(watcher);
                    None
                }
                WaitStatus::Stopped(_, signal) => Some(signal),
                _ => None,
            };
            // It may have been killed meanwhile; then the next wait tells.
            let _ = ptrace::syscall(self.pid, signal);
        }
    }

    fn stopped(&mut self, watcher: &mut dyn Watcher) {
        match self.under_way.take() {
            None => {
                let call = self.call().filter(|call| call.path.starts_with(&self.folder));
                let fault = call.as_ref().and_then(|call| watcher.fault(call));
                if fault.is_some() {
                    self.change(|registers| registers.orig_rax = u64::MAX);
                }
                self.under_way = Some((call, fault));
            }
            Some((_, Some(fault))) => self.change(|registers| registers.rax = -(fault as i64) as u64),
            Some((Some(call), None)) if self.registers().rax as i64 >= 0 => watcher.made(&call),
            Some(_) => {}
        }
    }

    fn registers(&self) -> libc::user_regs_struct {
        ptrace::getregs(self.pid).unwrap()
    }

    fn change(&self, change: impl FnOnce(&mut libc::user_regs_struct)) {
        let mut registers = self.registers();
        change(&mut registers);
        ptrace::setregs(self.pid, registers).unwrap();
    }

    /// The call that is about to be made, if it changes a file.
    fn call(&self) -> Option<Call> {
        let registers = self.registers();
        let of = |kind, path| Some(Call { kind, path });
        let opens = |flags: u64, path: u64| match flags as i32 {
            flags if flags & (libc::O_CREAT | libc::O_TRUNC) != 0 => of(Kind::Create, self.named(path)),
            flags if flags & libc::O_ACCMODE != libc::O_RDONLY => of(Kind::Open, self.named(path)),
            _ => None,
        };
        match registers.orig_rax as i64 {
            libc::SYS_write | libc::SYS_pwrite64 | libc::SYS_writev | libc::SYS_pwritev | libc::SYS_fallocate => {
                of(Kind::Write, self.open_file(registers.rdi)?)
            }
            libc::SYS_copy_file_range => of(Kind::Write, self.open_file(registers.rdx)?),
            libc::SYS_ftruncate => of(Kind::Truncate, self.open_file(registers.rdi)?),
            libc::SYS_fsync | libc::SYS_fdatasync => of(Kind::Sync, self.open_file(registers.rdi)?),
            libc::SYS_syncfs => of(Kind::SyncAll, self.open_file(registers.rdi)?),
            libc::SYS_open => opens(registers.rsi, registers.rdi),
            libc::SYS_openat => opens(registers.rdx, registers.rsi),
            libc::SYS_mkdir | libc::SYS_rename | libc::SYS_link | libc::SYS_unlink | libc::SYS_rmdir => {
                of(Kind::Name, self.named(registers.rdi))
            }
            libc::SYS_mkdirat
            | libc::SYS_renameat
            | libc::SYS_renameat2
            | libc::SYS_linkat
            | libc::SYS_unlinkat
            | libc::SYS_symlinkat => of(Kind::Name, self.named(registers.rsi)),
            _ => None,
        }
    }

    /// What a descriptor stands for.
    fn open_file(&self, descriptor: u64) -> Option<PathBuf> {
        fs::read_link(format!("/proc/{}/fd/{descriptor}", self.pid)).ok()
    }

    /// The path at an address of the program's memory.
    fn named(&self, address: u64) -> PathBuf {
        let mut memory = File::open(format!("/proc/{}/mem", self.pid)).unwrap();
        memory.seek(SeekFrom::Start(address)).unwrap();
        let mut bytes = Vec::new();
        for byte in std::io::BufReader::with_capacity(256, memory).bytes() {
            match byte.unwrap() {
                0 => break,
                byte => bytes.push(byte),
            }
        }
        self.here.join(String::from_utf8(bytes).unwrap())
    }
}
