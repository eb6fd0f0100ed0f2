//! Nursery: the Python process that has imported torch once, and forks and reaps children for the judge.

use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child as Process, Command, Stdio};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::Pid;
use packevolve_contract::protocol::Limits;
use serde::Deserialize;
use serde_json::{Value, json};
use thiserror::Error;

use crate::channel::{Channel, Received};
use crate::process;
use crate::shared::{SharedMemory, sealed_copy};

/// The program of the nursery, handed over on its command line: there is no file that somebody could change.
const PROGRAM: &str = include_str!("nursery.py");
/// `import torch` takes 2 to 4 s, tens of seconds from a cold disk.
const START_LIMIT: Duration = Duration::from_secs(180);
/// A fork takes milliseconds, minutes never.
const REPLY_LIMIT: Duration = Duration::from_secs(60);
/// Largest file that a child may write.
const FILE_BYTES: u64 = 16 << 20;

/// Our own machinery broke; says nothing about a candidate.
#[derive(Debug, Error)]
#[allow(missing_docs)] // the messages say it
pub enum NurseryError {
    #[error("cannot start python {path}\nhint: set `python` in config.yaml to an interpreter that has torch")]
    Start { path: PathBuf, source: io::Error },
    #[error(
        "python {path} ended while it got ready: {output}\nhint: it needs torch and numpy; `make` sets up .venv with both"
    )]
    NotReady { path: PathBuf, output: String },
    #[error("the nursery does not answer within {} s", .0.as_secs())]
    Silent(Duration),
    #[error("the nursery has ended")]
    Ended,
    #[error("the nursery answers {0} where another answer was due")]
    Answer(String),
    #[error("cannot reach a child")]
    Io(#[from] io::Error),
}

/// What a nursery says of itself when it is ready.
#[derive(Clone, Debug, Deserialize)]
pub struct Hello {
    /// Version of the interpreter.
    pub python: String,
    /// Version of torch.
    pub torch: String,
    /// Names of the CUDA devices.
    pub cuda: Vec<String>,
}

/// A running nursery. It is killed when this value is dropped, its children with it.
#[derive(Debug)]
pub struct Nursery {
    process: Process,
    control: Channel,
    /// What it said when it was ready.
    pub hello: Hello,
}

/// What a fork leaves the judge: the child's pid and our ends of what it was given.
#[derive(Debug)]
pub struct Forked {
    /// Its process id, and that of its process group.
    pub pid: Pid,
    /// Requests and replies.
    pub channel: Channel,
    /// Inputs and outputs.
    pub memory: SharedMemory,
    /// What it prints, stdout and stderr.
    pub output: io::PipeReader,
}

impl Nursery {
    /// Starts `python` with nothing in its environment but what keeps it single-threaded and hermetic, and waits
    /// until it has torch.
    pub fn start(python: &Path) -> Result<Self, NurseryError> {
        let (control, theirs) = Channel::pair()?;
        let (mut errors, errors_in) = io::pipe()?;
        let process = command(python)
            .stdin(Stdio::from(theirs))
            .stdout(Stdio::null())
            .stderr(Stdio::from(errors_in))
            .spawn()
            .map_err(|source| NurseryError::Start { path: python.to_owned(), source })?;
        let mut nursery =
            Self { process, control, hello: Hello { python: String::new(), torch: String::new(), cuda: Vec::new() } };
        match nursery.answer(START_LIMIT) {
            Ok(hello) => nursery.hello = parse(&hello)?,
            Err(NurseryError::Ended) => {
                return Err(NurseryError::NotReady { path: python.to_owned(), output: last_lines(&mut errors) });
            }
            Err(error) => return Err(error),
        }
        Ok(nursery)
    }

    /// Forks a child with `program` in its hands and memory for calls of up to `items` items.
    pub fn fork(&mut self, program: &str, items: usize, limits: &Limits, on_cpu: bool) -> Result<Forked, NurseryError> {
        let (channel, theirs) = Channel::pair()?;
        let memory = SharedMemory::new(items)?;
        let program = sealed_copy(program.as_bytes())?;
        let (output, output_in) = io::pipe()?;
        // CUDA maps far more address space than it uses; there the judge's watch is the only limit.
        let data_limit = on_cpu.then_some(limits.memory_bytes);
        let request = json!({"op": "fork", "memory_bytes": data_limit, "file_bytes": FILE_BYTES});
        let descriptors = [theirs.as_fd(), memory.as_fd(), program.as_fd(), output_in.as_fd()];
        self.control.send(&request, &descriptors)?;
        let Pids { pid } = parse(&self.answer(REPLY_LIMIT)?)?;
        Ok(Forked { pid: Pid::from_raw(pid), channel, memory, output })
    }

    /// Kills a child with its group and all that it left behind, and says how it had ended.
    pub fn end(&mut self, pid: Pid) -> Result<String, NurseryError> {
        process::kill_group(pid);
        self.control.send(&json!({"op": "reap", "pid": pid.as_raw()}), &[])?;
        let Status { status } = parse(&self.answer(REPLY_LIMIT)?)?;
        Ok(process::describe_status(pid, status))
    }

    fn answer(&self, limit: Duration) -> Result<Value, NurseryError> {
        let until = Instant::now() + limit;
        loop {
            match self.control.receive()? {
                Received::Message(message) => return Ok(message),
                Received::Garbage(text) => return Err(NurseryError::Answer(text)),
                Received::Closed => return Err(NurseryError::Ended),
                Received::Nothing if Instant::now() > until => return Err(NurseryError::Silent(limit)),
                Received::Nothing => {
                    let mut descriptors = [PollFd::new(self.control.as_fd(), PollFlags::POLLIN)];
                    let _ = poll(&mut descriptors, PollTimeout::from(100u8));
                }
            }
        }
    }
}

impl Drop for Nursery {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[derive(Deserialize)]
struct Pids {
    pid: i32,
}

#[derive(Deserialize)]
struct Status {
    status: i32,
}

fn command(python: &Path) -> Command {
    let mut command = Command::new(python);
    command.args(["-I", "-B", "-u", "-c", PROGRAM]).env_clear().current_dir("/").process_group(0);
    // numpy's and torch's thread pools are off: one thread is what is timed, and a pool's threads do not survive a
    // fork. NVML lets torch count GPUs without initialising CUDA.
    for (name, value) in [
        ("OPENBLAS_NUM_THREADS", "1"),
        ("OMP_NUM_THREADS", "1"),
        ("MKL_NUM_THREADS", "1"),
        ("PYTORCH_NVML_BASED_CUDA_CHECK", "1"),
        ("CUDA_DEVICE_ORDER", "PCI_BUS_ID"),
        ("LANG", "C.UTF-8"),
        ("HOME", "/nonexistent"),
    ] {
        command.env(name, value);
    }
    command
}

fn parse<T: for<'de> Deserialize<'de>>(message: &Value) -> Result<T, NurseryError> {
    T::deserialize(message).map_err(|_| NurseryError::Answer(message.to_string()))
}

fn last_lines(errors: &mut impl Read) -> String {
    let mut text = String::new();
    let _ = errors.take(1 << 16).read_to_string(&mut text);
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    lines[lines.len().saturating_sub(3)..].join("; ")
}
