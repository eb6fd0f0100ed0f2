//! `packevolve-judge`: serves one harness over its standard input, a Unix socket, and exits when that closes.
//!
//! Standard output is unused, because libraries print there. Standard error carries the log.

use std::io::{BufRead, BufReader, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::process::ExitCode;

use anyhow::{Context, bail};
use packevolve_contract::protocol::{Reply, Request};
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

/// Answers requests until the harness closes the stream.
fn serve() -> anyhow::Result<()> {
    process::die_with_parent()?;
    // The copy is a descriptor that children do not inherit.
    let mut replies = UnixStream::from(std::io::stdin().as_fd().try_clone_to_owned()?);
    replies.peer_addr().context("standard input is not a socket: `packevolve` starts this program")?;
    let requests = BufReader::new(replies.try_clone()?);
    let mut judge = None;
    for line in requests.lines() {
        let reply = answer(&mut judge, &line?).unwrap_or_else(|error| {
            let hint = error.downcast_ref::<JudgeError>().and_then(JudgeError::hint);
            Reply::Failed { error: format!("{error:#}"), hint: hint.map(str::to_owned) }
        });
        let mut line = serde_json::to_vec(&reply)?;
        line.push(b'\n');
        replies.write_all(&line)?;
    }
    Ok(())
}

fn answer(judge: &mut Option<Judge>, line: &str) -> anyhow::Result<Reply> {
    match serde_json::from_str(line).context("not a request")? {
        Request::Open(session) => {
            let opened = judge.insert(Judge::open(*session)?);
            Ok(Reply::Ready(Box::new(opened.ready())))
        }
        Request::Evaluate(request) => {
            let Some(judge) = judge else { bail!("no session is open") };
            Ok(Reply::Evaluated(Box::new(judge.evaluate(&request)?)))
        }
        Request::Duel(request) => {
            let Some(judge) = judge else { bail!("no session is open") };
            Ok(Reply::Dueled(Box::new(judge.duel(&request)?)))
        }
    }
}
