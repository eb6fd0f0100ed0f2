//! The harness's side of a judge process: one request, one reply. It does not care what starts the judge, or where.

use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use packevolve_contract::case::Case;
use packevolve_contract::duel::Duel;
use packevolve_contract::evaluation::Evaluation;
use packevolve_contract::planning::Planned;
use packevolve_contract::protocol::{
    ALIVE_SECONDS, DuelRequest, EvaluateRequest, PlanRequest, Ready, Reply, Request, Session, VERSION,
};
use packevolve_contract::topology::Topology;
use thiserror::Error;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::judge::last_words::{LastWords, cut, listen};
use crate::judge::loads::{self, Unreadable};
use crate::values::digest::Digest;
use crate::values::error_kind::{Classify, ErrorKind};
use crate::values::place::Place;
use crate::values::settings::EvaluationSettings;

/// The judge's program, beside the harness's own.
const PROGRAM: &str = "packevolve-judge";
/// What the system names when the judge does not find torch.
const LIBRARIES: &str = "libtorch";
/// How the first line of a judge begins. A program that starts it may have left a line before it unfinished.
const HELLO: &str = r#"{"reply":"hello""#;
/// The most bytes of a line before the judge speaks.
const LONGEST_PREAMBLE: u64 = 1 << 16;
/// The most bytes of a reply, far above any.
const LONGEST_REPLY: u64 = 1 << 28;
/// A judge at work that gives no sign of life for this long is gone, and what is between it and here does not say so.
const SILENCE: Duration = Duration::from_secs(12 * ALIVE_SECONDS);
/// How long a judge whose input has ended, or which was asked to end, may take before it is killed. One on another
/// machine hears of it later.
const GRACE: Duration = Duration::from_secs(5);

/// The judge or the channel to it broke; says nothing about a candidate.
#[derive(Debug, Error)]
pub enum JudgeError {
    #[error("{PROGRAM} is not beside {}", .0.display())]
    Missing(PathBuf),
    #[error("cannot start {}", path.display())]
    Start { path: PathBuf, source: io::Error },
    #[error("cannot read loads from {}", path.display())]
    Loads { path: PathBuf, source: io::Error },
    #[error("the judge has ended: {0}")]
    Ended(String),
    #[error("the judge gives no sign of life for {} s", SILENCE.as_secs())]
    Silent,
    #[error("the judge speaks version {theirs} of the protocol, this harness version {VERSION}")]
    Version { theirs: u32 },
    #[error("{error}")]
    Refused { error: String, hint: Option<String> },
    #[error("{error}")]
    Failed { error: String, hint: Option<String>, may_pass: bool },
    #[error("the judge answers out of turn: {0}")]
    Answer(String),
    #[error("cannot reach the judge")]
    Io(#[from] io::Error),
}

impl JudgeError {
    /// Whether another try, or another slot of the place, would fail in the same way.
    pub fn is_lasting(&self) -> bool {
        match self {
            Self::Start { source, .. } | Self::Loads { source, .. } => !is_shortage(source),
            Self::Missing(_) | Self::Version { .. } | Self::Refused { .. } => true,
            Self::Ended(_) | Self::Silent | Self::Failed { .. } | Self::Answer(_) | Self::Io(_) => false,
        }
    }
}

/// Whether this machine lacked descriptors, processes or memory at that moment.
fn is_shortage(error: &io::Error) -> bool {
    let errno = error.raw_os_error().map(Errno::from_raw);
    matches!(errno, Some(Errno::EMFILE | Errno::ENFILE | Errno::EAGAIN | Errno::ENOMEM))
}

impl Classify for JudgeError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Refused { .. } | Self::Loads { .. } | Self::Version { .. } => ErrorKind::Input,
            Self::Missing(_)
            | Self::Start { .. }
            | Self::Ended(_)
            | Self::Silent
            | Self::Failed { .. }
            | Self::Answer(_)
            | Self::Io(_) => ErrorKind::Failure,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Missing(_) => Some(
                "`pip install` of the wheel and `make install` put both there; in a checkout, `cargo build --release \
                 --workspace` makes both"
                    .to_owned(),
            ),
            Self::Ended(words) if words.contains(LIBRARIES) => Some(
                "the judge needs its torch in the environment that it is installed into: `pip install` the wheel there"
                    .to_owned(),
            ),
            Self::Version { .. } => Some("install the same version there".to_owned()),
            Self::Refused { hint, .. } | Self::Failed { hint, .. } => hint.clone(),
            _ => None,
        }
    }
}

impl From<Unreadable> for JudgeError {
    fn from(Unreadable { path, source }: Unreadable) -> Self {
        Self::Loads { path, source }
    }
}

/// A running judge, or what starts one, and its session. Dropping it kills the process that was started here; only
/// [`Judge::close`] ends one elsewhere in good order.
#[derive(Debug)]
pub struct Judge {
    process: Child,
    /// `None` once it was closed.
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
    last_words: LastWords,
    listener: JoinHandle<()>,
    ready: Ready,
    /// Of the judge that replaces it.
    session: Option<Session>,
    place: Place,
    hidden: Vec<String>,
}

/// The session of `settings`, on the CPU at the place `cpu` among those that the judge may use.
///
/// # Errors
/// The loads cannot be read.
pub fn session(
    settings: &EvaluationSettings,
    cases: &[Case],
    rng_seed: u64,
    cpu: Option<usize>,
) -> Result<Session, JudgeError> {
    Ok(Session {
        version: VERSION,
        device: settings.device.clone(),
        cpu,
        python: settings.python.clone(),
        topology: settings.topology.clone(),
        cases: cases.to_vec(),
        chain_windows: settings.policy.map(|policy| policy.chain_windows),
        loads: loads::files(&settings.loads)?,
        loads_seed: settings.loads_seed,
        windows: settings.windows,
        held_out: settings.held_out_windows,
        rng_seed,
        limits: settings.limits.clone(),
        sandbox: settings.sandbox,
        allow_compile: settings.allow_compile,
    })
}

/// The session of a judge that is asked for plans alone, whose calls bring their own loads.
pub fn planning_session(settings: &EvaluationSettings, topology: &Topology, rng_seed: u64) -> Session {
    Session {
        version: VERSION,
        device: settings.device.clone(),
        cpu: None,
        python: settings.python.clone(),
        topology: topology.clone(),
        cases: Vec::new(),
        chain_windows: None,
        loads: None,
        loads_seed: settings.loads_seed,
        // There is none without any, and one takes no time.
        windows: Some(1),
        held_out: 0,
        rng_seed,
        limits: settings.limits.clone(),
        sandbox: settings.sandbox,
        allow_compile: settings.allow_compile,
    }
}

impl Judge {
    /// Starts a judge on this machine without the `hidden` environment variables, which hold keys, and opens its session.
    ///
    /// # Errors
    /// The judge, torch or the device is missing, or the loads cannot be read.
    pub async fn open(session: Session, hidden: &[String]) -> Result<Self, JudgeError> {
        let mut judge = Self::start(&Place::here(1), hidden)?;
        judge.greet(session).await?;
        Ok(judge)
    }

    /// Starts the process of a judge at `place`; [`Judge::greet`] waits for it. Its own process group protects it from
    /// Ctrl-C in the terminal, so that running evaluations can end.
    ///
    /// # Errors
    /// There is no such program.
    pub fn start(place: &Place, hidden: &[String]) -> Result<Self, JudgeError> {
        let judge = match &place.judge {
            Some(judge) => judge.clone(),
            None => program()?,
        };
        let (path, arguments) = match place.launch.split_first() {
            None => (judge, Vec::new()),
            Some((launcher, arguments)) => {
                (launcher.into(), arguments.iter().map(Into::into).chain([judge.into_os_string()]).collect())
            }
        };
        let mut command = Command::new(&path);
        for variable in hidden {
            command.env_remove(variable);
        }
        let mut process = command
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(|source| JudgeError::Start { path, source })?;
        let last_words = LastWords::default();
        let errors = process.stderr.take().expect("BUG: the judge's stderr is a pipe");
        Ok(Self {
            input: process.stdin.take(),
            output: BufReader::new(process.stdout.take().expect("BUG: the judge's stdout is a pipe")),
            listener: tokio::spawn(listen(errors, last_words.clone())),
            last_words,
            ready: Ready::default(),
            session: None,
            place: place.clone(),
            hidden: hidden.to_vec(),
            process,
        })
    }

    /// Opens a session, which takes some seconds: the judge imports torch, and gets the loads that it does not find.
    ///
    /// # Errors
    /// The judge ends, is of another version, or cannot serve the session.
    pub async fn greet(&mut self, session: Session) -> Result<(), JudgeError> {
        self.hear_hello().await?;
        let files = session.loads.clone().unwrap_or_default();
        self.session = Some(session.clone());
        let mut request = Request::Open(Box::new(session));
        loop {
            request = match self.ask(&request).await {
                Ok(Reply::Ready(ready)) => {
                    self.ready = *ready;
                    return Ok(());
                }
                Ok(Reply::Wants { digest, offset }) => {
                    let file = files.iter().find(|file| file.digest == digest);
                    let file = file.ok_or_else(|| JudgeError::Answer(format!("it wants loads {digest}")))?;
                    Request::Chunk(loads::chunk(file, offset)?)
                }
                Ok(other) => return Err(JudgeError::Answer(format!("{other:?}"))),
                // A person named the loads, the device and the python of a session. What the machine lacks may be there later.
                Err(JudgeError::Failed { error, hint, may_pass: false }) => {
                    return Err(JudgeError::Refused { error, hint });
                }
                Err(error) => return Err(error),
            };
        }
    }

    /// Waits for the first line of the judge. What comes before that is from what started it, and kept as evidence.
    async fn hear_hello(&mut self) -> Result<(), JudgeError> {
        loop {
            let line = line(&mut self.output, LONGEST_PREAMBLE).await;
            if line.is_empty() {
                return Err(self.ended().await);
            }
            let (before, hello) = line.split_at(line.find(HELLO).unwrap_or(line.len()));
            if !before.trim().is_empty() {
                self.last_words.add(before.trim_end());
            }
            match serde_json::from_str(hello) {
                Ok(Reply::Hello { version: VERSION }) => return Ok(()),
                Ok(Reply::Hello { version: theirs }) => return Err(JudgeError::Version { theirs }),
                _ => {}
            }
        }
    }

    pub fn ready(&self) -> &Ready {
        &self.ready
    }

    /// Of its session, which is open.
    pub fn loads_seed(&self) -> u64 {
        self.session.as_ref().map_or(0, |session| session.loads_seed)
    }

    /// Evaluates a program. Replaces a broken judge once; fails if the judge breaks twice on the same program.
    ///
    /// # Errors
    /// The judge broke.
    pub async fn evaluate(&mut self, request: EvaluateRequest) -> Result<Evaluation, JudgeError> {
        match self.evaluate_once(request.clone()).await {
            Ok(evaluation) => Ok(evaluation),
            Err(error) => {
                tracing::warn!(candidate = request.candidate, %error, "replacing the judge");
                self.replace().await?;
                self.evaluate_once(request).await
            }
        }
    }

    /// Evaluates a program.
    ///
    /// # Errors
    /// The judge broke.
    pub async fn evaluate_once(&mut self, request: EvaluateRequest) -> Result<Evaluation, JudgeError> {
        match self.ask(&Request::Evaluate(Box::new(request))).await? {
            Reply::Evaluated(evaluation) => Ok(*evaluation),
            other => Err(JudgeError::Answer(format!("{other:?}"))),
        }
    }

    /// Measures two programs in a duel. It takes another seed to try again: a process may have seen the windows.
    ///
    /// # Errors
    /// The judge broke.
    pub async fn duel(&mut self, request: DuelRequest) -> Result<Duel, JudgeError> {
        match self.ask(&Request::Duel(Box::new(request))).await? {
            Reply::Dueled(duel) => Ok(*duel),
            other => Err(JudgeError::Answer(format!("{other:?}"))),
        }
    }

    /// Has a program make plans. Replaces a broken judge once.
    ///
    /// # Errors
    /// The judge broke, or no program can be asked for such plans.
    pub async fn plan(&mut self, request: PlanRequest) -> Result<Planned, JudgeError> {
        match self.plan_once(request.clone()).await {
            Err(error) if !error.is_lasting() => {
                tracing::warn!(%error, "replacing the judge");
                self.replace().await?;
                self.plan_once(request).await
            }
            planned => planned,
        }
    }

    async fn plan_once(&mut self, request: PlanRequest) -> Result<Planned, JudgeError> {
        match self.ask(&Request::Plan(Box::new(request))).await? {
            Reply::Planned(planned) => Ok(*planned),
            other => Err(JudgeError::Answer(format!("{other:?}"))),
        }
    }

    async fn replace(&mut self) -> Result<(), JudgeError> {
        let session = self.session.clone().expect("BUG: a judge is replaced after it was greeted");
        let mut judge = Self::start(&self.place, &self.hidden)?;
        judge.greet(session).await?;
        *self = judge;
        Ok(())
    }

    async fn ask(&mut self, request: &Request) -> Result<Reply, JudgeError> {
        let mut line = serde_json::to_vec(request).expect("BUG: a request is always JSON");
        line.push(b'\n');
        let Some(input) = &mut self.input else { return Err(self.ended().await) };
        let asked = async { input.write_all(&line).await.map_err(|_| Unanswered::Ended) };
        // At once: a judge that reads a long request gives signs of life, and one that stops reading gives none.
        match tokio::try_join!(asked, reply(&mut self.output)) {
            Ok(((), Reply::Failed { error, hint, may_pass })) => Err(JudgeError::Failed { error, hint, may_pass }),
            Ok(((), reply)) => Ok(reply),
            Err(Unanswered::Ended) => Err(self.ended().await),
            Err(Unanswered::Silent) => Err(JudgeError::Silent),
            Err(Unanswered::Nonsense(line)) => Err(JudgeError::Answer(line)),
        }
    }

    async fn ended(&mut self) -> JudgeError {
        let status = self.end().await;
        // What it wrote last may still be on its way.
        let _ = timeout(Duration::from_millis(200), &mut self.listener).await;
        let words = self.last_words.text();
        JudgeError::Ended(if words.is_empty() { status } else { format!("{status}: {words}") })
    }

    /// Ends the judge, wherever it is: by the end of its input, which also ends it while it measures, then by a signal to
    /// what started it.
    pub async fn close(mut self) {
        self.end().await;
    }

    async fn end(&mut self) -> String {
        drop(self.input.take());
        // What has started no judge yet, such as a scheduler's queue, may not care for its input.
        let heeds_input = if self.session.is_some() { GRACE } else { GRACE / 10 };
        for (grace, signal) in [(heeds_input, Signal::SIGTERM), (GRACE, Signal::SIGKILL)] {
            if let Ok(status) = timeout(grace, self.process.wait()).await {
                return status.map_or_else(|error| error.to_string(), |status| status.to_string());
            }
            if let Some(leader) = self.process.id() {
                let _ = killpg(Pid::from_raw(leader.try_into().expect("BUG: a pid is positive")), signal);
            }
        }
        self.process.wait().await.map_or_else(|error| error.to_string(), |status| status.to_string())
    }
}

/// Why no reply came.
enum Unanswered {
    Ended,
    Silent,
    Nonsense(String),
}

/// The next reply that is more than a sign of life.
async fn reply(output: &mut BufReader<ChildStdout>) -> Result<Reply, Unanswered> {
    loop {
        let line = timeout(SILENCE, line(output, LONGEST_REPLY)).await.map_err(|_| Unanswered::Silent)?;
        // A line that is cut off ends with the judge.
        if !line.ends_with('\n') {
            return Err(Unanswered::Ended);
        }
        match serde_json::from_str(&line) {
            Ok(Reply::Alive) => {}
            Ok(reply) => return Ok(reply),
            Err(_) => return Err(Unanswered::Nonsense(cut(&line).to_owned())),
        }
    }
}

/// The next line with its end, or its first bytes if it is too long; empty if there is none.
async fn line(output: &mut BufReader<ChildStdout>, longest: u64) -> String {
    let mut line = Vec::new();
    // What was read before an error is evidence.
    let _ = output.take(longest).read_until(b'\n', &mut line).await;
    String::from_utf8_lossy(&line).into_owned()
}

/// The digest of the judge's program.
///
/// # Errors
/// It is missing or cannot be read.
pub fn program_digest() -> Result<Digest, JudgeError> {
    Ok(Digest::of_all(File::open(program()?)?)?.0)
}

/// The judge's program: beside this one, or one folder up, where cargo puts it for tests.
fn program() -> Result<PathBuf, JudgeError> {
    let ours = std::env::current_exe()?;
    let beside = ours.ancestors().skip(1).take(2).map(|folder| folder.join(PROGRAM));
    beside.into_iter().find(|path| path.is_file()).ok_or(JudgeError::Missing(ours))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_this_machine_lacks_may_be_there_for_the_next_judge() {
        let start = |errno: Errno| JudgeError::Start { path: "judge".into(), source: io::Error::from(errno) };
        for errno in [Errno::EMFILE, Errno::ENFILE, Errno::EAGAIN, Errno::ENOMEM] {
            assert!(!start(errno).is_lasting(), "{errno}");
        }
        for errno in [Errno::ENOENT, Errno::EACCES, Errno::ENOEXEC] {
            assert!(start(errno).is_lasting(), "{errno}");
        }
        let loads = |errno: Errno| JudgeError::Loads { path: "loads".into(), source: io::Error::from(errno) };
        assert!(!loads(Errno::EMFILE).is_lasting() && loads(Errno::ENOENT).is_lasting());
    }
}
