//! Nursery: the Python process that imports torch once, and forks and reaps children for the judge.

use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child as Process, Command};
use std::thread;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;
use nix::unistd::Pid;
use packevolve_contract::protocol::Limits;
use serde::Deserialize;
use serde_json::{Value, json};
use thiserror::Error;

use crate::channel::{Channel, Received};
use crate::gpu::{GPUS, Gpu, no_gpu};
use crate::kernels::Kernels;
use crate::message::Message;
use crate::process;
use crate::sandbox::Jail;
use crate::shared::{SharedMemory, sealed_copy};

/// The text that the interpreter reads from standard input follows from these; no file could be edited or go missing.
const JAIL: &str = include_str!("jail.py");
const KERNELS: &str = include_str!("kernels.py");
const NURSERY: &str = include_str!("nursery.py");
/// Runs the list `sources`: the last three as modules, then the first one as the main program. Python before 3.11 looks for
/// modules in the current folder first.
const START: &str = "
import sys
sys.path[:] = filter(None, sys.path)
import types
for name in ('jail', 'gpus', 'kernels'):
    sys.modules[name] = types.ModuleType(name)
    exec(compile(sources.pop(), name + '.py', 'exec'), sys.modules[name].__dict__)
exec(compile(sources.pop(), 'nursery.py', 'exec'))
";

/// `import torch` takes 2 to 4 s, and tens of seconds from a cold disk.
const START_LIMIT: Duration = Duration::from_secs(180);
/// A fork takes milliseconds, never minutes.
const REPLY_LIMIT: Duration = Duration::from_secs(60);
/// A killed process ends within seconds, with its context on a GPU too, unless the kernel waits for a device that hangs.
const END_LIMIT: Duration = Duration::from_secs(30);
/// torch.compile alone writes a header of 123 MB.
const COMPILERS_SCRATCH: u64 = 512 << 20;

/// Single-threaded and hermetic: one thread is timed, and the threads of a pool do not survive a fork.
const ENVIRONMENT: [(&str, &str); 7] = [
    ("PYTHONHASHSEED", "0"),
    ("PYTHONSAFEPATH", "1"),
    ("OPENBLAS_NUM_THREADS", "1"),
    ("OMP_NUM_THREADS", "1"),
    ("MKL_NUM_THREADS", "1"),
    ("LANG", "C.UTF-8"),
    ("HOME", "/nonexistent"),
];

/// Names and values of environment variables.
pub type Variables = Vec<(&'static str, String)>;

/// The judge's own machinery broke; no candidate is to blame.
#[derive(Debug, Error)]
pub enum NurseryError {
    #[error("cannot start python {path}")]
    Start { path: PathBuf, source: io::Error },
    #[error("python {path} exited before it was ready: {output}")]
    NotReady { path: PathBuf, output: String },
    #[error("the nursery does not answer within {} s", .0.as_secs())]
    Silent(Duration),
    #[error("the nursery or a child does not end within {} s of its kill: its device may hang", .0.as_secs())]
    Stuck(Duration),
    #[error("the nursery exited")]
    Exited,
    #[error("the nursery sent an unexpected reply: {0}")]
    Unexpected(String),
    #[error("the nursery cannot do its work: {0}")]
    Failed(String),
    #[error("a child exited before it was in its jail: {0}")]
    Unjailed(String),
    #[error("a child cannot prepare its device: {0}")]
    Unprepared(String),
    #[error("the jail lacks {step}: {reason}")]
    Unavailable { step: String, reason: String },
    #[error("cannot communicate with a child")]
    Io(#[from] io::Error),
}

/// What a message of the system or of Python says that a process lacks, and where that may be limited.
const LACKING: [(&str, &str); 6] = [
    ("Too many open files", "open files are limited: `ulimit -n`"),
    ("Resource temporarily unavailable", "processes are limited: `ulimit -u`, or the limit of a container"),
    ("Cannot allocate memory", "memory is lacking: see `free`, `ulimit -v` and the limit of a container"),
    ("failed to map segment", "memory is limited: `ulimit -v`, or the limit of a container"),
    ("No space left on device", "a disk or its quota is full: see `df`"),
    ("File too large", "the size of files is limited: `ulimit -f`"),
];

impl NurseryError {
    /// What the machine lacks, if that is the reason.
    pub fn lacking(&self) -> Option<&'static str> {
        let reason = match self {
            Self::Start { source, .. } => source.to_string(),
            Self::Io(source) => source.to_string(),
            other => other.to_string(),
        };
        LACKING.iter().find(|(said, _)| reason.contains(said)).map(|(_, hint)| *hint)
    }
}

#[derive(Debug, Default)]
pub struct Interpreter {
    pub python: String,
    pub torch: String,
    pub numpy: String,
    /// The version of Numba, if there is one.
    pub numba: Option<String>,
    /// The vector instructions of this CPU that NumPy uses and could do without, by its own names.
    pub numpy_vectors: Vec<String>,
}

/// A running nursery. Dropping it kills the nursery and its children.
#[derive(Debug)]
pub struct Nursery {
    /// The nursery, or its keeper outside the pid namespace, which exits with it.
    process: Process,
    /// The nursery's own pid, once it is ready.
    pid: Option<Pid>,
    control: Channel,
    jail: Jail,
    /// The seccomp filter of children.
    filter: Option<String>,
    pub interpreter: Interpreter,
    /// Whether it has imported Numba, if Python has it.
    has_numba: bool,
}

/// A forked child, with the judge's ends of its descriptors.
#[derive(Debug)]
pub struct Forked {
    /// The child's pid in the nursery's namespace.
    pub number: i32,
    /// The child's pid and process group in the judge's namespace.
    pub pid: Pid,
    pub channel: Channel,
    pub memory: SharedMemory,
    /// The child's stdout and stderr.
    pub output: io::PipeReader,
    /// Whether the child may start processes until it is sealed.
    pub may_start: bool,
}

impl Nursery {
    /// Starts `python` and waits until it has imported torch. Children run in `jail`, with these `variables` in their
    /// environment beside those that all have, or in place of them.
    pub fn start(python: &Path, jail: &Jail, variables: &Variables) -> Result<Self, NurseryError> {
        let (control, theirs) = Channel::pair()?;
        let (mut errors, errors_in) = io::pipe()?;
        let gpu = jail.gpu.as_ref().map(|gpu| json!({"files": gpu.files, "folders": gpu.folders}));
        let settings = json!({"steps": jail.wanted(), "allow_compile": jail.allow_compile, "gpu": gpu}).to_string();
        let of_device = jail.gpu.as_ref().map_or_else(|| no_gpu().to_vec(), Gpu::variables);
        // A JSON array of strings is also a Python list of strings.
        let program = format!("sources = {}{START}", json!([NURSERY, KERNELS, GPUS, JAIL]));
        let process = Command::new(python)
            // Not isolated (-I), because Python would ignore PYTHONHASHSEED. No other variable comes from outside.
            .args(["-s", "-B", "-u", "-", &settings])
            .env_clear()
            .envs(ENVIRONMENT)
            .envs(of_device)
            .envs(variables.iter().map(|(name, value)| (name, value)))
            .current_dir("/")
            .process_group(0)
            .stdin(sealed_copy(program.as_bytes())?)
            .stdout(theirs)
            .stderr(errors_in)
            .spawn()
            .map_err(|source| NurseryError::Start { path: python.to_owned(), source })?;
        let filter = jail.filter().map(hex::encode);
        let interpreter = Interpreter::default();
        let mut nursery =
            Self { process, pid: None, control, jail: jail.clone(), filter, interpreter, has_numba: false };
        match receive(&nursery.control, START_LIMIT) {
            Ok(Message::Ready { pid, python, torch, numpy, numba, numpy_vectors }) => {
                nursery.pid = Some(Pid::from_raw(pid));
                nursery.interpreter = Interpreter { python, torch, numpy, numba, numpy_vectors };
                Ok(nursery)
            }
            Ok(other) => Err(unexpected(&other)),
            Err(NurseryError::Exited) => {
                Err(NurseryError::NotReady { path: python.to_owned(), output: last_lines(&mut errors) })
            }
            Err(error) => Err(error),
        }
    }

    /// Forks a child with `program`, its `kernels` and `bytes` of memory for its calls; waits until it is in its jail.
    pub fn fork(
        &mut self,
        program: &str,
        kernels: &Kernels,
        bytes: u64,
        limits: &Limits,
    ) -> Result<Forked, NurseryError> {
        if kernels.may_compile && !self.has_numba {
            self.import_numba()?;
        }
        let (channel, theirs) = Channel::pair()?;
        channel.tell_senders()?;
        let memory = SharedMemory::new(bytes)?;
        let program = sealed_copy(program.as_bytes())?;
        let (mut output, output_in) = io::pipe()?;
        let may_start = self.jail.allow_compile;
        let scratch_bytes = limits.scratch_bytes.max(if may_start { COMPILERS_SCRATCH } else { 0 });
        // CUDA maps far more address space than it uses, so on a GPU only the judge's own checks limit memory. Its driver
        // keeps memory in files without a name, which the limit of a file's size holds for, too.
        let (data_bytes, file_bytes) = match self.jail.gpu {
            None => (Some(limits.memory_bytes), scratch_bytes),
            Some(_) => (None, scratch_bytes.max(limits.memory_bytes)),
        };
        let request = json!({
            "op": "fork",
            "data_bytes": data_bytes,
            "file_bytes": file_bytes,
            "scratch_bytes": scratch_bytes,
            "scratch_files": limits.scratch_files,
            "filter": self.filter,
            "supervised": self.jail.supervised().map(hex::encode),
        });
        self.control.send(
            &request,
            &[theirs.as_fd(), memory.file.as_fd(), program.as_fd(), kernels.as_fd(), output_in.as_fd()],
        )?;
        // The child alone holds the other ends, so that their closing shows its end.
        drop((theirs, output_in));
        let number = match receive(&self.control, REPLY_LIMIT)? {
            Message::Forked { pid } => pid,
            other => return Err(unexpected(&other)),
        };
        wait(&channel, REPLY_LIMIT);
        let sender = channel.sender()?;
        match receive(&channel, REPLY_LIMIT) {
            Ok(Message::Jailed {}) => {
                let pid = sender.ok_or_else(|| NurseryError::Unjailed("its message has no sender".to_owned()))?;
                channel.tell_no_senders()?;
                Ok(Forked { number, pid, channel, memory, output, may_start })
            }
            Ok(other) => Err(unexpected(&other)),
            Err(NurseryError::Exited) => Err(NurseryError::Unjailed(last_lines(&mut output))),
            Err(error) => Err(error),
        }
    }

    /// Imports Numba for later children, which takes seconds.
    fn import_numba(&mut self) -> Result<(), NurseryError> {
        self.control.send(&json!({"op": "import-numba"}), &[])?;
        match receive(&self.control, START_LIMIT)? {
            Message::Imported {} => {
                self.has_numba = true;
                Ok(())
            }
            other => Err(unexpected(&other)),
        }
    }

    pub fn is_on_gpu(&self) -> bool {
        self.jail.gpu.is_some()
    }

    /// Forbids a child to start more processes and kills those that it started. False if they cannot all be killed.
    pub fn seal(&mut self, child: &Forked) -> Result<bool, NurseryError> {
        match self.ask(&json!({"op": "seal", "pid": child.number}))? {
            Message::Sealed {} => {}
            other => return Err(unexpected(&other)),
        }
        // A fork that was allowed may wait long for the CPU. Once all threads are stopped, none is under way: it has
        // happened, or is denied when the child continues. A thread may stop only once what it started has ended.
        process::signal_group(child.pid, Signal::SIGSTOP);
        let is_alone = process::kill_below(child.pid)
            && process::running_after_stop(child.pid) == 0
            && process::kill_below(child.pid);
        process::signal_group(child.pid, Signal::SIGCONT);
        Ok(is_alone)
    }

    /// Kills a child with its process group and everything that it left behind; returns how the child had ended.
    pub fn end(&mut self, child: &Forked) -> Result<String, NurseryError> {
        process::signal_group(child.pid, Signal::SIGKILL);
        let status = process::wait_status(child.pid)?;
        match self.ask(&json!({"op": "reap", "pid": child.number}))? {
            Message::Reaped {} => Ok(process::describe_status(child.pid, status.unwrap_or(Signal::SIGKILL as i32))),
            other => Err(unexpected(&other)),
        }
    }

    fn ask(&self, request: &Value) -> Result<Message, NurseryError> {
        self.control.send(request, &[])?;
        receive(&self.control, REPLY_LIMIT)
    }
}

impl Drop for Nursery {
    fn drop(&mut self) {
        if let Err(error) = self.shut_down() {
            tracing::warn!(%error);
        }
    }
}

impl Nursery {
    /// Kills the nursery and its children, and waits until they are gone.
    ///
    /// # Errors
    /// They are still there: a judge that waited on would show life without ever answering.
    pub fn shut_down(&mut self) -> Result<(), NurseryError> {
        // The nursery first: its keeper exits once every process below it has.
        match self.pid {
            Some(pid) => process::signal_group(pid, Signal::SIGKILL),
            None => drop(self.process.kill()),
        }
        if ends_within(&mut self.process, END_LIMIT) { Ok(()) } else { Err(NurseryError::Stuck(END_LIMIT)) }
    }
}

/// Waits for a process to end, but no longer than `limit`. Whether it has.
fn ends_within(process: &mut Process, limit: Duration) -> bool {
    let until = Instant::now() + limit;
    // What cannot be waited for has ended.
    while let Ok(None) = process.try_wait() {
        if Instant::now() > until {
            return false;
        }
        thread::sleep(Duration::from_millis(1));
    }
    true
}

/// Waits for a message of the nursery, or of a child that has no program yet.
fn receive(channel: &Channel, limit: Duration) -> Result<Message, NurseryError> {
    let until = Instant::now() + limit;
    loop {
        match channel.receive()? {
            Received::Message(message) => {
                return match Message::deserialize(&message) {
                    Ok(Message::Unavailable { step, reason }) => Err(NurseryError::Unavailable { step, reason }),
                    Ok(Message::Failed { reason }) => Err(NurseryError::Failed(reason)),
                    Ok(message) => Ok(message),
                    Err(_) => Err(NurseryError::Unexpected(message.to_string())),
                };
            }
            Received::Garbage(text) => return Err(NurseryError::Unexpected(text)),
            Received::Closed => return Err(NurseryError::Exited),
            Received::Nothing if Instant::now() > until => return Err(NurseryError::Silent(limit)),
            Received::Nothing => wait(channel, Duration::from_millis(100)),
        }
    }
}

/// Waits until a channel has a message, or is closed.
fn wait(channel: &Channel, limit: Duration) {
    let mut descriptors = [PollFd::new(channel.socket.as_fd(), PollFlags::POLLIN)];
    let limit = PollTimeout::try_from(limit).unwrap_or(PollTimeout::MAX);
    let _ = poll(&mut descriptors, limit);
}

fn unexpected(message: &Message) -> NurseryError {
    NurseryError::Unexpected(format!("{message:?}"))
}

fn last_lines(errors: &mut impl Read) -> String {
    let mut text = String::new();
    let _ = errors.take(1 << 16).read_to_string(&mut text);
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    lines[lines.len().saturating_sub(3)..].join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_for_a_process_that_does_not_end_is_bounded() {
        let mut process = Command::new("sleep").arg("600").spawn().unwrap();
        assert!(!ends_within(&mut process, Duration::from_millis(20)));
        process.kill().unwrap();
        assert!(ends_within(&mut process, END_LIMIT));
        assert!(ends_within(&mut process, Duration::ZERO), "it has ended before");
    }

    #[test]
    fn what_the_machine_lacks_is_named() {
        for (error, wanted) in [
            (NurseryError::Io(io::Error::from_raw_os_error(24)), "ulimit -n"),
            (NurseryError::Start { path: "python".into(), source: io::Error::from_raw_os_error(11) }, "ulimit -u"),
            (NurseryError::Failed("[Errno 12] Cannot allocate memory".to_owned()), "ulimit -v"),
            (NurseryError::Unjailed("OSError: [Errno 28] No space left on device".to_owned()), "df"),
        ] {
            assert!(error.lacking().is_some_and(|hint| hint.contains(wanted)), "{error}");
        }
        assert_eq!(NurseryError::Exited.lacking(), None);
    }
}
