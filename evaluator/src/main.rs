//! `packevolve-judge`: serves one harness over standard input and output, and ends with its input, no matter what it does
//! then.
//!
//! Only the protocol goes to the descriptor that standard output was; descriptor 1 is made a second standard error,
//! because libraries print there. Standard error carries the log.

use std::fs::File;
use std::io::{BufRead, Write};
use std::os::fd::AsFd;
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context, bail};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::dup2_stdout;
use packevolve_contract::protocol::{ALIVE_SECONDS, Reply, Request, Session, VERSION};
use packevolve_evaluator::delivery::Delivery;
use packevolve_evaluator::error::JudgeError;
use packevolve_evaluator::judge::Judge;
use packevolve_evaluator::process;

fn main() -> ExitCode {
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_target(false).init();
    match serve() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("packevolve-judge: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Answers requests until the harness closes the input.
fn serve() -> anyhow::Result<()> {
    process::die_with_parent()?;
    // A descriptor that children do not inherit.
    let replies = Replies::new(File::from(std::io::stdout().as_fd().try_clone_to_owned()?));
    dup2_stdout(std::io::stderr())?;
    replies.send(&Reply::Hello { version: VERSION })?;
    let requests = Requests::read(&replies);
    replies.show_life(Arc::clone(&requests.open));
    let mut server = Server::default();
    while let Some(line) = requests.next()? {
        let reply = server.answer(&line).unwrap_or_else(|error| {
            let known = error.downcast_ref::<JudgeError>();
            let hint = known.and_then(JudgeError::hint).map(str::to_owned);
            let may_pass = known.is_some_and(|error| error.lacking().is_some());
            Reply::Failed { error: format!("{error:#}"), hint, may_pass }
        });
        // Before the reply, after which the harness may close the input at once.
        requests.answered();
        replies.send(&reply)?;
    }
    Ok(())
}

/// The descriptor of the protocol, a line at a time.
#[derive(Clone)]
struct Replies(Arc<Mutex<File>>);

impl Replies {
    fn new(file: File) -> Self {
        Self(Arc::new(Mutex::new(file)))
    }

    fn send(&self, reply: &Reply) -> std::io::Result<()> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).write_all(&line_of(reply))
    }

    /// Gives a sign of life unless that would have to wait: the harness may read only once its request is written.
    fn show_life_now(&self) {
        // Who holds the lock writes.
        let Ok(file) = self.0.try_lock() else { return };
        let mut room = [PollFd::new(file.as_fd(), PollFlags::POLLOUT)];
        if poll(&mut room, PollTimeout::ZERO).is_ok_and(|ready| ready > 0) {
            // If the harness is gone, the input ends.
            let _ = (&*file).write_all(&line_of(&Reply::Alive));
        }
    }

    /// Says every few seconds that the judge is alive, as long as a request is `open`.
    fn show_life(&self, open: Arc<AtomicUsize>) {
        let replies = self.clone();
        thread::spawn(move || {
            loop {
                thread::sleep(Duration::from_secs(ALIVE_SECONDS));
                if open.load(Ordering::SeqCst) > 0 && replies.send(&Reply::Alive).is_err() {
                    return;
                }
            }
        });
    }
}

fn line_of(reply: &Reply) -> Vec<u8> {
    let mut line = serde_json::to_vec(reply).expect("BUG: a reply is always JSON");
    line.push(b'\n');
    line
}

/// Lines of standard input. A thread reads them, so that the end of the input ends a judge that measures: its harness is
/// gone, and nothing else may tell it, if programs between the two pass no signal on.
struct Requests {
    lines: mpsc::Receiver<std::io::Result<String>>,
    /// Requests without a reply.
    open: Arc<AtomicUsize>,
}

impl Requests {
    fn read(replies: &Replies) -> Self {
        let replies = replies.clone();
        let (sender, lines) = mpsc::channel();
        let requests = Self { lines, open: Arc::default() };
        let open = Arc::clone(&requests.open);
        thread::spawn(move || {
            let mut input = std::io::stdin().lock();
            while let Some(line) = next_line(&mut input, &replies).transpose() {
                open.fetch_add(1, Ordering::SeqCst);
                if sender.send(line).is_err() {
                    return;
                }
            }
            if open.load(Ordering::SeqCst) > 0 {
                process::kill_self();
            }
        });
        requests
    }

    fn next(&self) -> std::io::Result<Option<String>> {
        self.lines.recv().ok().transpose()
    }

    fn answered(&self) {
        self.open.fetch_sub(1, Ordering::SeqCst);
    }
}

/// The next line; `None` at the end of the input. A part of a line is answered with a sign of life: `srun` sends a request
/// in parts, and holds one back until the part before is acknowledged, which takes 40 ms unless something goes back.
fn next_line(input: &mut impl BufRead, replies: &Replies) -> std::io::Result<Option<String>> {
    let mut line = Vec::new();
    loop {
        let part = input.fill_buf()?;
        let (length, is_end) = match part.iter().position(|byte| *byte == b'\n') {
            Some(end) => (end + 1, true),
            None => (part.len(), part.is_empty()),
        };
        line.extend_from_slice(&part[..length]);
        input.consume(length);
        if is_end {
            break;
        }
        replies.show_life_now();
    }
    if line.is_empty() {
        return Ok(None);
    }
    let text = String::from_utf8(line).map_err(|error| std::io::Error::new(std::io::ErrorKind::InvalidData, error))?;
    Ok(Some(text.trim_end_matches(['\n', '\r']).to_owned()))
}

/// What a judge does between two requests.
#[derive(Default)]
struct Server {
    /// The session to open once its loads are here.
    opening: Option<(Session, Delivery)>,
    judge: Option<Judge>,
}

impl Server {
    fn answer(&mut self, line: &str) -> anyhow::Result<Reply> {
        match serde_json::from_str(line).context("not a request")? {
            Request::Open(session) => {
                let delivery = Delivery::new(session.loads.clone().unwrap_or_default());
                self.opening = Some((*session, delivery));
                self.open()
            }
            Request::Chunk(chunk) => {
                let Some((_, delivery)) = &mut self.opening else { bail!("no session is being opened") };
                delivery.take(&chunk).map_err(JudgeError::from)?;
                self.open()
            }
            Request::Evaluate(request) => Ok(Reply::Evaluated(Box::new(self.judge()?.evaluate(&request)?))),
            Request::Duel(request) => Ok(Reply::Dueled(Box::new(self.judge()?.duel(&request)?))),
            Request::Plan(request) => Ok(Reply::Planned(Box::new(self.judge()?.plan(&request)?))),
        }
    }

    /// Asks for what is missing of the loads, or opens the session.
    fn open(&mut self) -> anyhow::Result<Reply> {
        let (_, delivery) = self.opening.as_mut().expect("BUG: a session is being opened");
        if let Some((digest, offset)) = delivery.missing().map_err(JudgeError::from)? {
            return Ok(Reply::Wants { digest, offset });
        }
        let (session, delivery) = self.opening.take().expect("BUG: a session is being opened");
        let files = session.loads.is_some().then(|| delivery.into_files());
        let judge = self.judge.insert(Judge::open(session, files.as_deref())?);
        Ok(Reply::Ready(Box::new(judge.ready())))
    }

    fn judge(&mut self) -> anyhow::Result<&mut Judge> {
        self.judge.as_mut().context("no session is open")
    }
}
