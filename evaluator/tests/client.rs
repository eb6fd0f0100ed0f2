//! A client of one judge process, in place of the harness.

use std::io::{BufRead, BufReader, Write};
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use packevolve_contract::case::{Case, GlobalShape, cases};
use packevolve_contract::evaluation::{Evaluation, Measurement};
use packevolve_contract::protocol::{EvaluateRequest, Limits, Ready, Reply, Request, Sandbox, Session, VERSION};
use packevolve_contract::topology::Topology;

#[path = "../../tests/support/skip.rs"]
pub mod skip;

/// A judge that takes longer to read a request or to reply hangs.
const REPLY_LIMIT: Duration = Duration::from_secs(900);

/// A judge process; killed when dropped.
pub struct Client {
    pub process: Child,
    stream: BufReader<UnixStream>,
}

impl Client {
    /// Starts a judge.
    pub fn start() -> Self {
        Self::start_as(Command::new(judge_program()))
    }

    /// Starts a judge by `command`, which must run [`judge_program`].
    pub fn start_as(mut command: Command) -> Self {
        let (ours, theirs) = UnixStream::pair().unwrap();
        ours.set_read_timeout(Some(REPLY_LIMIT)).unwrap();
        ours.set_write_timeout(Some(REPLY_LIMIT)).unwrap();
        let replies = theirs.try_clone().unwrap();
        command.stdin(Stdio::from(OwnedFd::from(theirs))).stdout(Stdio::from(OwnedFd::from(replies)));
        let process = command.spawn().unwrap();
        // The command holds the judge's end of the stream; while it is open, the stream does not end with the judge.
        drop(command);
        let mut client = Self { process, stream: BufReader::new(ours) };
        assert_eq!(client.reply(), Reply::Hello { version: VERSION });
        client
    }

    /// Starts a judge with [`session`] open.
    pub fn open() -> (Self, Ready) {
        let mut client = Self::start();
        let ready = client.ready(session());
        (client, ready)
    }

    /// Opens `session`.
    pub fn ready(&mut self, session: Session) -> Ready {
        match self.ask(&Request::Open(Box::new(session))) {
            Reply::Ready(ready) => *ready,
            other => panic!("no session: {other:?}"),
        }
    }

    pub fn ask(&mut self, request: &Request) -> Reply {
        self.ask_line(&serde_json::to_string(request).unwrap())
    }

    /// Sends any line and returns the reply to it.
    pub fn ask_line(&mut self, line: &str) -> Reply {
        self.send_line(line);
        self.reply()
    }

    pub fn send_line(&mut self, line: &str) {
        self.stream.get_mut().write_all(format!("{line}\n").as_bytes()).unwrap();
    }

    pub fn reply(&mut self) -> Reply {
        let mut line = String::new();
        self.stream.read_line(&mut line).expect("the judge answers in time");
        match serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}")) {
            Reply::Alive => self.reply(),
            reply => reply,
        }
    }

    /// Closes the stream and waits for the judge to exit.
    pub fn hang_up(&mut self) -> ExitStatus {
        self.stream.get_ref().shutdown(Shutdown::Both).unwrap();
        self.process.wait().unwrap()
    }

    /// Evaluates a program in full.
    pub fn evaluate(&mut self, program: &str) -> Evaluation {
        match self.ask(&evaluate_request(program)) {
            Reply::Evaluated(evaluation) => *evaluation,
            other => panic!("no evaluation: {other:?}"),
        }
    }

    /// Evaluates a program, which must be measured.
    pub fn measure(&mut self, program: &str) -> Measurement {
        match self.evaluate(program) {
            Evaluation::Measured { measurement } => measurement,
            other => panic!("not measured: {other:?}"),
        }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The place of something that the tests need: as they were built, unless a variable names another one, as where they
/// run that cannot build.
fn place(variable: &str, built: &str) -> PathBuf {
    std::env::var_os(variable).map_or_else(|| built.into(), PathBuf::from)
}

pub fn judge_program() -> PathBuf {
    place("PACKEVOLVE_TEST_JUDGE", env!("CARGO_BIN_EXE_packevolve-judge"))
}

/// The interpreter with torch.
pub fn python() -> PathBuf {
    place("PACKEVOLVE_TEST_PYTHON", env!("PACKEVOLVE_PYTHON"))
}

/// The folder of test data.
pub fn testdata() -> PathBuf {
    place("PACKEVOLVE_TEST_DATA", concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/testdata"))
}

pub fn evaluate_request(program: &str) -> Request {
    Request::Evaluate(Box::new(EvaluateRequest {
        candidate: 7,
        file_name: "eplb.py".to_owned(),
        program: program.to_owned(),
        budget_seconds: None,
        limits: None,
        outclassed: None,
        measures_inconsistent: true,
        is_baseline: false,
        rebalance: true,
        is_of_blocks: false,
    }))
}

/// The variable that names the device of the tests; `make gpu-check` sets it.
pub const DEVICE: &str = "PACKEVOLVE_TEST_DEVICE";

/// A session of small cases and short limits on the device of the tests.
pub fn session() -> Session {
    session_on(&std::env::var(DEVICE).unwrap_or_else(|_| "cpu".to_owned()))
}

/// The factor of time limits on `device`: on a GPU every child creates a context first.
pub fn patience(device: &str) -> u32 {
    if device == "cpu" { 1 } else { 10 }
}

/// A session of small cases and short limits.
pub fn session_on(device: &str) -> Session {
    let patience = patience(device);
    Session {
        version: VERSION,
        device: device.to_owned(),
        cpu: None,
        python: Some(python()),
        topology: topology(),
        cases: small_cases(),
        chain_windows: None,
        loads: None,
        loads_seed: 1,
        windows: Some(3),
        held_out: 0,
        rng_seed: 1,
        limits: Limits {
            call_seconds: Some(2.0),
            evaluation_seconds: Some(60.0 * f64::from(patience)),
            load_seconds: 3.0 * f64::from(patience),
            compile_seconds: 60.0,
            // The kernels of a GPU take some.
            memory_bytes: if device == "cpu" { 128 << 20 } else { 1 << 30 },
            output_bytes: 4 << 20,
            threads: 16,
            scratch_bytes: 8 << 20,
            scratch_files: 50,
        },
        sandbox: Sandbox::Required,
        allow_compile: false,
    }
}

fn topology() -> Topology {
    Topology { layers: 4, experts: 16, groups: 4, nodes: 2, gpus: 4, replicas: 20 }
}

fn small_cases() -> Vec<Case> {
    // Two cases have the same rows: what a child learns in one must not help it in the other.
    cases(&topology(), &[4, 8].map(|gpus| GlobalShape { replicas: 16, gpus }), 0, 1).unwrap()
}

/// The folder of hostile programs; its subfolders name their fates.
pub fn fates() -> PathBuf {
    testdata().join("fates")
}

/// The text of a program, such as `measured/honest.py`.
pub fn program(name: &str) -> String {
    let path = fates().join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
