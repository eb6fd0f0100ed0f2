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
use crate::sandbox::Jail;
use crate::shared::{SharedMemory, sealed_copy};

/// The programs of the nursery, handed over on its command line: there is no file that somebody could change.
const JAIL: &str = include_str!("jail.py");
const NURSERY: &str = include_str!("nursery.py");
/// Makes the first a module for the second.
const START: &str = "import sys, types
sys.modules['jail'] = types.ModuleType('jail')
exec(compile(sys.argv[1], 'jail.py', 'exec'), sys.modules['jail'].__dict__)
exec(compile(sys.argv[2], 'nursery.py', 'exec'))";
/// `import torch` takes 2 to 4 s, tens of seconds from a cold disk.
const START_LIMIT: Duration = Duration::from_secs(180);
/// A fork takes milliseconds, minutes never.
const REPLY_LIMIT: Duration = Duration::from_secs(60);

/// torch.compile alone writes a header of 123 MB.
const COMPILERS_SCRATCH: u64 = 512 << 20;

/// Our own machinery broke; says nothing about a candidate.
#[derive(Debug, Error)]
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
    #[error("a child ended before it was in its jail")]
    Unjailed,
    #[error("a child does not get ready for its device: {0}")]
    Unprepared(String),
    #[error(
        "the jail lacks {step}: {reason}\nhint: `sandbox: best-effort` judges without it, at the risk that this brings"
    )]
    Unavailable { step: String, reason: String },
    #[error("cannot reach a child")]
    Io(#[from] io::Error),
}

/// What a nursery says of itself when it is ready.
#[derive(Clone, Debug, Deserialize)]
pub struct Hello {
    /// Its process id as the judge sees it.
    pub pid: i32,
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
    /// The nursery itself, or its keeper outside of its pid namespace, which ends with it.
    process: Process,
    control: Channel,
    jail: Jail,
    /// The filters of system calls for children on a GPU and on the CPU.
    filters: [Option<String>; 2],
    /// What it said when it was ready.
    pub hello: Hello,
}

/// What a fork leaves the judge: our ends of what the child was given.
#[derive(Debug)]
pub struct Forked {
    /// What the nursery calls it.
    pub number: i32,
    /// Its process id, and that of its process group, as the judge sees it.
    pub pid: Pid,
    /// Requests and replies.
    pub channel: Channel,
    /// Inputs and outputs.
    pub memory: SharedMemory,
    /// What it prints, stdout and stderr.
    pub output: io::PipeReader,
    /// Whether it may start processes until it is sealed.
    pub may_start: bool,
}

impl Nursery {
    /// Starts `python` with nothing in its environment but what keeps it single-threaded and hermetic, and waits
    /// until it has torch. `jail` is what its children will be in.
    ///
    /// # Errors
    /// [`NurseryError::Unavailable`] if the machine cannot carry out a step of the jail; others if it is broken.
    pub fn start(python: &Path, jail: &Jail) -> Result<Self, NurseryError> {
        let (control, theirs) = Channel::pair()?;
        let (mut errors, errors_in) = io::pipe()?;
        let process = command(python, jail)
            .stdin(Stdio::from(theirs))
            .stdout(Stdio::null())
            .stderr(Stdio::from(errors_in))
            .spawn()
            .map_err(|source| NurseryError::Start { path: python.to_owned(), source })?;
        let hello = Hello { pid: 0, python: String::new(), torch: String::new(), cuda: Vec::new() };
        let filters = [false, true].map(|on_cpu| jail.filter(on_cpu).map(hex::encode));
        let mut nursery = Self { process, control, jail: jail.clone(), filters, hello };
        match answer(&nursery.control, START_LIMIT) {
            Ok(hello) => nursery.hello = parse(&hello)?,
            Err(NurseryError::Ended) => {
                return Err(NurseryError::NotReady { path: python.to_owned(), output: last_lines(&mut errors) });
            }
            Err(error) => return Err(error),
        }
        Ok(nursery)
    }

    /// Forks a child with `program` in its hands and memory for calls of up to `items` items, and waits until it is
    /// in its jail.
    pub fn fork(&mut self, program: &str, items: usize, limits: &Limits, on_cpu: bool) -> Result<Forked, NurseryError> {
        let (channel, theirs) = Channel::pair()?;
        let memory = SharedMemory::new(items)?;
        let program = sealed_copy(program.as_bytes())?;
        let (output, output_in) = io::pipe()?;
        // CUDA maps far more address space than it uses; there the judge's watch is the only limit.
        let data_limit = on_cpu.then_some(limits.memory_bytes);
        let request = json!({
            "op": "fork",
            "memory_bytes": data_limit,
            "threads": limits.threads,
            "scratch_bytes": limits.scratch_bytes.max(if self.jail.allows_compilers() { COMPILERS_SCRATCH } else { 0 }),
            "scratch_files": limits.scratch_files,
            "filter": self.filters[usize::from(on_cpu)],
            "supervised": self.jail.supervised().map(hex::encode),
        });
        let descriptors = [theirs.as_fd(), memory.as_fd(), program.as_fd(), output_in.as_fd()];
        self.control.send(&request, &descriptors)?;
        drop(theirs);
        let Pids { pid: number } = parse(&answer(&self.control, REPLY_LIMIT)?)?;
        let Pids { pid } = match answer(&channel, REPLY_LIMIT) {
            Err(NurseryError::Ended) => return Err(NurseryError::Unjailed),
            first => parse(&first?)?,
        };
        let may_start = self.jail.allows_compilers();
        Ok(Forked { number, pid: Pid::from_raw(pid), channel, memory, output, may_start })
    }

    /// From now on a child can start no process; those that it has started are killed. False if they cannot be.
    pub fn seal(&mut self, child: &Forked) -> Result<bool, NurseryError> {
        self.control.send(&json!({"op": "seal", "pid": child.number}), &[])?;
        let Sealed { .. } = parse(&answer(&self.control, REPLY_LIMIT)?)?;
        Ok(process::kill_below(child.pid))
    }

    /// Kills a child with its group and all that it left behind, and says how it had ended.
    pub fn end(&mut self, child: &Forked) -> Result<String, NurseryError> {
        process::kill_group(child.pid);
        self.control.send(&json!({"op": "reap", "pid": child.number}), &[])?;
        let Status { status } = parse(&answer(&self.control, REPLY_LIMIT)?)?;
        Ok(process::describe_status(child.pid, status))
    }
}

/// Waits for what the nursery, or a child that has no program yet, says.
fn answer(channel: &Channel, limit: Duration) -> Result<Value, NurseryError> {
    let until = Instant::now() + limit;
    loop {
        match channel.receive()? {
            Received::Message(message) => return Ok(message),
            Received::Garbage(text) => return Err(NurseryError::Answer(text)),
            Received::Closed => return Err(NurseryError::Ended),
            Received::Nothing if Instant::now() > until => return Err(NurseryError::Silent(limit)),
            Received::Nothing => {
                let mut descriptors = [PollFd::new(channel.as_fd(), PollFlags::POLLIN)];
                let _ = poll(&mut descriptors, PollTimeout::from(100u8));
            }
        }
    }
}

impl Drop for Nursery {
    fn drop(&mut self) {
        // The nursery first: its keeper ends once all below it have.
        match self.hello.pid {
            0 => drop(self.process.kill()),
            pid => process::kill_group(Pid::from_raw(pid)),
        }
        let _ = self.process.wait();
    }
}

#[derive(Deserialize)]
struct Unavailable {
    unavailable: String,
    reason: String,
}

#[derive(Deserialize)]
struct Pids {
    pid: i32,
}

#[derive(Deserialize)]
struct Sealed {
    #[allow(dead_code)] // it is what tells this answer from others
    sealed: bool,
}

#[derive(Deserialize)]
struct Status {
    status: i32,
}

fn command(python: &Path, jail: &Jail) -> Command {
    let mut command = Command::new(python);
    let settings = json!({"steps": jail.wanted(), "allow_compile": jail.allows_compilers()}).to_string();
    command.args(["-I", "-B", "-u", "-c", START, JAIL, NURSERY, &settings]);
    command.env_clear().current_dir("/").process_group(0);
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
    if let Ok(Unavailable { unavailable: step, reason }) = Unavailable::deserialize(message) {
        return Err(NurseryError::Unavailable { step, reason });
    }
    T::deserialize(message).map_err(|_| NurseryError::Answer(message.to_string()))
}

fn last_lines(errors: &mut impl Read) -> String {
    let mut text = String::new();
    let _ = errors.take(1 << 16).read_to_string(&mut text);
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    lines[lines.len().saturating_sub(3)..].join("; ")
}
