//! Nursery: the Python process that imports torch once, and forks and reaps children for the judge.

use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child as Process, Command};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;
use nix::unistd::Pid;
use packevolve_contract::protocol::Limits;
use serde::Deserialize;
use serde_json::{Value, json};
use thiserror::Error;

use crate::channel::{Channel, Received};
use crate::message::Message;
use crate::process;
use crate::sandbox::Jail;
use crate::shared::{SharedMemory, sealed_copy};

/// The text that the interpreter reads from standard input follows from these; no file could be edited or go missing.
const JAIL: &str = include_str!("jail.py");
const NURSERY: &str = include_str!("nursery.py");
/// Runs the list `sources`: the last one as the module `jail`, then the first one as the main program. Python before 3.11
/// looks for modules in the current folder first.
const START: &str = "
import sys
sys.path[:] = filter(None, sys.path)
import types
sys.modules['jail'] = types.ModuleType('jail')
exec(compile(sources.pop(), 'jail.py', 'exec'), sys.modules['jail'].__dict__)
exec(compile(sources.pop(), 'nursery.py', 'exec'))
";

/// `import torch` takes 2 to 4 s, and tens of seconds from a cold disk.
const START_LIMIT: Duration = Duration::from_secs(180);
/// A fork takes milliseconds, never minutes.
const REPLY_LIMIT: Duration = Duration::from_secs(60);
/// torch.compile alone writes a header of 123 MB.
const COMPILERS_SCRATCH: u64 = 512 << 20;

/// Single-threaded and hermetic: one thread is timed, and the threads of a pool do not survive a fork. NVML lets torch
/// count GPUs without initialising CUDA.
const ENVIRONMENT: [(&str, &str); 9] = [
    ("PYTHONHASHSEED", "0"),
    ("PYTHONSAFEPATH", "1"),
    ("OPENBLAS_NUM_THREADS", "1"),
    ("OMP_NUM_THREADS", "1"),
    ("MKL_NUM_THREADS", "1"),
    ("PYTORCH_NVML_BASED_CUDA_CHECK", "1"),
    ("CUDA_DEVICE_ORDER", "PCI_BUS_ID"),
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
    #[error("the nursery exited")]
    Exited,
    #[error("the nursery sent an unexpected reply: {0}")]
    Unexpected(String),
    #[error("a child exited before it was in its jail")]
    Unjailed,
    #[error("a child cannot prepare its device: {0}")]
    Unprepared(String),
    #[error("the jail lacks {step}: {reason}")]
    Unavailable { step: String, reason: String },
    #[error("cannot communicate with a child")]
    Io(#[from] io::Error),
}

#[derive(Debug, Default)]
pub struct Interpreter {
    pub python: String,
    pub torch: String,
    /// The vector instructions of this CPU that NumPy uses and could do without, by its own names.
    pub numpy_vectors: Vec<String>,
    /// Names of the CUDA devices.
    pub cuda: Vec<String>,
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
    /// The seccomp filters for children on a GPU and on the CPU.
    filters: [Option<String>; 2],
    pub interpreter: Interpreter,
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
        let settings = json!({"steps": jail.wanted(), "allow_compile": jail.allow_compile}).to_string();
        // A JSON array of strings is also a Python list of strings.
        let program = format!("sources = {}{START}", json!([NURSERY, JAIL]));
        let process = Command::new(python)
            // Not isolated (-I), because Python would ignore PYTHONHASHSEED. No other variable comes from outside.
            .args(["-s", "-B", "-u", "-", &settings])
            .env_clear()
            .envs(ENVIRONMENT)
            .envs(variables.iter().map(|(name, value)| (name, value)))
            .current_dir("/")
            .process_group(0)
            .stdin(sealed_copy(program.as_bytes())?)
            .stdout(theirs)
            .stderr(errors_in)
            .spawn()
            .map_err(|source| NurseryError::Start { path: python.to_owned(), source })?;
        let filters = [false, true].map(|on_cpu| jail.filter(on_cpu).map(hex::encode));
        let interpreter = Interpreter::default();
        let mut nursery = Self { process, pid: None, control, jail: jail.clone(), filters, interpreter };
        match receive(&nursery.control, START_LIMIT) {
            Ok(Message::Ready { pid, python, torch, numpy_vectors, cuda }) => {
                nursery.pid = Some(Pid::from_raw(pid));
                nursery.interpreter = Interpreter { python, torch, numpy_vectors, cuda };
                Ok(nursery)
            }
            Ok(other) => Err(unexpected(&other)),
            Err(NurseryError::Exited) => {
                Err(NurseryError::NotReady { path: python.to_owned(), output: last_lines(&mut errors) })
            }
            Err(error) => Err(error),
        }
    }

    /// Forks a child with `program` and `bytes` of memory for its calls; waits until it is in its jail.
    pub fn fork(&mut self, program: &str, bytes: u64, limits: &Limits, on_cpu: bool) -> Result<Forked, NurseryError> {
        let (channel, theirs) = Channel::pair()?;
        channel.tell_senders()?;
        let memory = SharedMemory::new(bytes)?;
        let program = sealed_copy(program.as_bytes())?;
        let (output, output_in) = io::pipe()?;
        let may_start = self.jail.allow_compile;
        // CUDA maps far more address space than it uses, so on a GPU only the judge's own checks limit memory.
        let data_limit = on_cpu.then_some(limits.memory_bytes);
        let request = json!({
            "op": "fork",
            "memory_bytes": data_limit,
            "threads": limits.threads,
            "scratch_bytes": limits.scratch_bytes.max(if may_start { COMPILERS_SCRATCH } else { 0 }),
            "scratch_files": limits.scratch_files,
            "on_cpu": on_cpu,
            "filter": self.filters[usize::from(on_cpu)],
            "supervised": self.jail.supervised().map(hex::encode),
        });
        self.control.send(&request, &[theirs.as_fd(), memory.file.as_fd(), program.as_fd(), output_in.as_fd()])?;
        drop(theirs);
        let number = match receive(&self.control, REPLY_LIMIT)? {
            Message::Forked { pid } => pid,
            other => return Err(unexpected(&other)),
        };
        wait(&channel, REPLY_LIMIT);
        let sender = channel.sender()?;
        match receive(&channel, REPLY_LIMIT) {
            Ok(Message::Jailed {}) => {
                let pid = sender.ok_or(NurseryError::Unjailed)?;
                channel.tell_no_senders()?;
                Ok(Forked { number, pid, channel, memory, output, may_start })
            }
            Ok(other) => Err(unexpected(&other)),
            Err(NurseryError::Exited) => Err(NurseryError::Unjailed),
            Err(error) => Err(error),
        }
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
        let status = process::wait_status(child.pid);
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
        // The nursery first: its keeper exits once every process below it has.
        match self.pid {
            Some(pid) => process::signal_group(pid, Signal::SIGKILL),
            None => drop(self.process.kill()),
        }
        let _ = self.process.wait();
    }
}

/// Waits for a message of the nursery, or of a child that has no program yet.
fn receive(channel: &Channel, limit: Duration) -> Result<Message, NurseryError> {
    let until = Instant::now() + limit;
    loop {
        match channel.receive()? {
            Received::Message(message) => {
                return match Message::deserialize(&message) {
                    Ok(Message::Unavailable { step, reason }) => Err(NurseryError::Unavailable { step, reason }),
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
