//! The harness's side of a judge process: one request, one reply. It does not care what is behind the stream.

use std::collections::VecDeque;
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};

use packevolve_contract::case::Case;
use packevolve_contract::duel::Duel;
use packevolve_contract::evaluation::Evaluation;
use packevolve_contract::protocol::{DuelRequest, EvaluateRequest, Ready, Reply, Request, Session, VERSION};
use thiserror::Error;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::process::{Child, ChildStderr, Command};

use crate::values::error_kind::{Classify, ErrorKind};
use crate::values::settings::EvaluationSettings;

/// The judge's program, beside the harness's own.
const PROGRAM: &str = "packevolve-judge";
/// The last lines of a judge's stderr in the error about its end.
const LAST_WORDS: usize = 40;

/// The judge or the channel to it broke; says nothing about a candidate.
#[derive(Debug, Error)]
pub enum JudgeError {
    #[error("{PROGRAM} is not beside {}", .0.display())]
    Missing(PathBuf),
    #[error("cannot start {}", path.display())]
    Start { path: PathBuf, source: io::Error },
    #[error("the judge has ended: {0}")]
    Ended(String),
    #[error("{error}")]
    Refused { error: String, hint: Option<String> },
    #[error("{error}")]
    Failed { error: String, hint: Option<String> },
    #[error("the judge answers out of turn: {0}")]
    Answer(String),
    #[error("cannot reach the judge")]
    Io(#[from] io::Error),
}

impl Classify for JudgeError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Refused { .. } => ErrorKind::Input,
            Self::Missing(_)
            | Self::Start { .. }
            | Self::Ended(_)
            | Self::Failed { .. }
            | Self::Answer(_)
            | Self::Io(_) => ErrorKind::Failure,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Missing(_) => Some("`cargo build --release --workspace` makes both".to_owned()),
            Self::Refused { hint, .. } | Self::Failed { hint, .. } => hint.clone(),
            _ => None,
        }
    }
}

/// A running judge with its session. Dropping it ends the process.
#[derive(Debug)]
pub struct Judge {
    process: Child,
    stream: BufReader<UnixStream>,
    last_words: Arc<Mutex<VecDeque<String>>>,
    ready: Ready,
    session: Session,
    hidden: Vec<String>,
}

/// The session of `settings`, on the CPU `cpu`.
pub fn session(settings: &EvaluationSettings, cases: &[Case], rng_seed: u64, cpu: Option<usize>) -> Session {
    Session {
        version: VERSION,
        device: settings.device.clone(),
        cpu,
        python: settings.python.clone(),
        topology: settings.topology.clone(),
        cases: cases.to_vec(),
        loads: settings.loads.clone(),
        loads_seed: settings.loads_seed,
        windows: settings.windows,
        held_out: settings.held_out_windows,
        rng_seed,
        limits: settings.limits.clone(),
        sandbox: settings.sandbox,
        allow_compile: settings.allow_compile,
    }
}

impl Judge {
    /// Starts a judge without the `hidden` environment variables, which hold keys, and opens its session: loads windows
    /// and imports torch, which takes some seconds.
    ///
    /// # Errors
    /// The judge, torch or the device is missing, or the loads cannot be read.
    pub async fn open(session: Session, hidden: &[String]) -> Result<Self, JudgeError> {
        let (mut process, stream) = start(hidden)?;
        let last_words = Arc::default();
        let errors = process.stderr.take().expect("BUG: the judge's stderr is a pipe");
        tokio::spawn(listen(errors, Arc::clone(&last_words)));
        let mut judge = Self {
            process,
            stream: BufReader::new(stream),
            last_words,
            ready: Ready::default(),
            session: session.clone(),
            hidden: hidden.to_vec(),
        };
        match judge.ask(&Request::Open(Box::new(session))).await {
            Ok(Reply::Ready(ready)) => judge.ready = *ready,
            Ok(other) => return Err(JudgeError::Answer(format!("{other:?}"))),
            // A person named the loads, the device and the python of a session.
            Err(JudgeError::Failed { error, hint }) => return Err(JudgeError::Refused { error, hint }),
            Err(error) => return Err(error),
        }
        Ok(judge)
    }

    pub fn ready(&self) -> &Ready {
        &self.ready
    }

    /// Evaluates a program. Replaces a broken judge once; fails if the judge breaks twice on the same program.
    pub async fn evaluate(&mut self, request: EvaluateRequest) -> Result<Evaluation, JudgeError> {
        let candidate = request.candidate;
        let request = Request::Evaluate(Box::new(request));
        let reply = match self.ask(&request).await {
            Ok(reply) => reply,
            Err(error) => {
                tracing::warn!(candidate, %error, "replacing the judge");
                self.replace().await?;
                self.ask(&request).await?
            }
        };
        match reply {
            Reply::Evaluated(evaluation) => Ok(*evaluation),
            other => Err(JudgeError::Answer(format!("{other:?}"))),
        }
    }

    /// Measures two programs in a duel. Replaces a broken judge, but fails: a process may have seen the windows of the
    /// duel, so it takes another seed to try again.
    pub async fn duel(&mut self, request: DuelRequest) -> Result<Duel, JudgeError> {
        let contender = request.contender.candidate;
        match self.ask(&Request::Duel(Box::new(request))).await {
            Ok(Reply::Dueled(duel)) => Ok(*duel),
            Ok(other) => Err(JudgeError::Answer(format!("{other:?}"))),
            Err(error) => {
                tracing::warn!(contender, %error, "replacing the judge");
                self.replace().await?;
                Err(error)
            }
        }
    }

    async fn replace(&mut self) -> Result<(), JudgeError> {
        *self = Box::pin(Self::open(self.session.clone(), &self.hidden)).await?;
        Ok(())
    }

    async fn ask(&mut self, request: &Request) -> Result<Reply, JudgeError> {
        let mut line = serde_json::to_vec(request).expect("BUG: a request is always JSON");
        line.push(b'\n');
        let mut reply = String::new();
        let asked = self.stream.get_mut().write_all(&line).await;
        if asked.is_err() || self.stream.read_line(&mut reply).await.unwrap_or(0) == 0 {
            return Err(self.ended().await);
        }
        match serde_json::from_str(&reply) {
            Ok(Reply::Failed { error, hint }) => Err(JudgeError::Failed { error, hint }),
            Ok(reply) => Ok(reply),
            Err(_) => Err(JudgeError::Answer(reply)),
        }
    }

    async fn ended(&mut self) -> JudgeError {
        let _ = self.process.start_kill();
        let status = self.process.wait().await.map_or_else(|error| error.to_string(), |status| status.to_string());
        let words = self.last_words.lock().unwrap_or_else(PoisonError::into_inner);
        let words = words.iter().map(String::as_str).collect::<Vec<_>>().join("; ");
        JudgeError::Ended(if words.is_empty() { status } else { format!("{status}: {words}") })
    }
}

/// The judge's program: beside this one, or one folder up, where cargo puts it for tests.
fn program() -> Result<PathBuf, JudgeError> {
    let ours = std::env::current_exe()?;
    let beside = ours.ancestors().skip(1).take(2).map(|folder| folder.join(PROGRAM));
    beside.into_iter().find(|path| path.is_file()).ok_or(JudgeError::Missing(ours))
}

/// Starts the process with the stream, in both directions, as its standard input. Its own process group protects it
/// from Ctrl-C in the terminal, so that running evaluations can end.
fn start(hidden: &[String]) -> Result<(Child, UnixStream), JudgeError> {
    let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
    ours.set_nonblocking(true)?;
    let path = program()?;
    let mut command = Command::new(&path);
    for variable in hidden {
        command.env_remove(variable);
    }
    let process = command
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map_err(|source| JudgeError::Start { path, source })?;
    Ok((process, UnixStream::from_std(ours)?))
}

/// Copies a judge's stderr to the log and keeps its last lines.
async fn listen(errors: ChildStderr, last_words: Arc<Mutex<VecDeque<String>>>) {
    let mut lines = BufReader::new(errors).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        tracing::info!(target: "judge", "{line}");
        let mut words = last_words.lock().unwrap_or_else(PoisonError::into_inner);
        words.push_back(line);
        let excess = words.len().saturating_sub(LAST_WORDS);
        words.drain(..excess);
    }
}
