//! Stub: a judge that computes nothing. It speaks the protocol and answers every program after the same short time with
//! measurements that are drawn from a digest of its text, so that what is left of a run is the harness.

use std::io::{self, BufRead, BufReader, Write};
use std::ops::Range;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::{Duration, Instant};

use packevolve::archive::blob_id;
use packevolve::values::candidate::BlobId;
use packevolve_contract::case::Case;
use packevolve_contract::duel::Duel;
use packevolve_contract::evaluation::{Calibration, CaseMeasurement, Evaluation, Measurement, NextLoads, Sample};
use packevolve_contract::protocol::{
    DuelRequest, Duelist, EvaluateRequest, JailStep, Ready, Reply, Request, Session, Threshold, VERSION,
};
use packevolve_contract::stream::{Purpose, Stream, stream};
use rand::RngExt;

/// How long an evaluation takes.
pub const EVALUATION: Duration = Duration::from_millis(10);
/// Windows of the search, where the session leaves their number to the judge.
const WINDOWS: usize = 4;
/// What a call of the baseline takes, seconds.
const CALL: f64 = 0.02;
/// What a call of the reference program takes, seconds.
const REFERENCE: f64 = 0.01;

/// A program to measure.
pub struct Asked<'a> {
    pub program: &'a str,
    /// The numbers of its windows.
    pub windows: Range<usize>,
    pub is_duel: bool,
    pub outclassed: Option<&'a Threshold>,
    pub rebalance: bool,
}

impl<'a> Asked<'a> {
    fn of_evaluation(session: &Session, request: &'a EvaluateRequest) -> Self {
        let EvaluateRequest { program, outclassed, rebalance, .. } = request;
        let (windows, outclassed) = (0..windows(session), outclassed.as_ref());
        Self { program, windows, is_duel: false, outclassed, rebalance: *rebalance }
    }

    /// What a program is worth in a duel does not depend on its seed, so that runs come out the same.
    fn of_duelist(session: &Session, duelist: &'a Duelist, rounds: usize, rebalance: bool) -> Self {
        let first = windows(session) + session.held_out;
        let windows = first..first + rounds;
        Self { program: &duelist.program, windows, is_duel: true, outclassed: None, rebalance }
    }
}

fn duel(session: &Session, request: &DuelRequest, judge: &impl Fn(&Session, &Asked<'_>) -> Evaluation) -> Duel {
    let DuelRequest { contender, best, least_rounds: rounds, rebalance, .. } = request;
    let contender = judge(session, &Asked::of_duelist(session, contender, *rounds, *rebalance));
    Duel { contender, best: judge(session, &Asked::of_duelist(session, best, *rounds, false)) }
}

/// Answers requests on standard input, a stream that goes both ways, until it ends.
pub fn serve(judge: impl Fn(&Session, &Asked<'_>) -> Evaluation) -> anyhow::Result<()> {
    let stream = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    let mut answers = stream.try_clone()?;
    let mut session = None;
    for line in BufReader::new(stream).lines() {
        let began = Instant::now();
        let reply = match serde_json::from_str(&line?)? {
            Request::Open(opened) => {
                let ready = Reply::Ready(Box::new(ready(&opened)));
                session = Some(opened);
                ready
            }
            Request::Evaluate(request) => {
                let session = session.as_ref().ok_or_else(|| anyhow::anyhow!("evaluate comes after open"))?;
                Reply::Evaluated(Box::new(judge(session, &Asked::of_evaluation(session, &request))))
            }
            Request::Duel(request) => {
                let session = session.as_ref().ok_or_else(|| anyhow::anyhow!("duel comes after open"))?;
                Reply::Dueled(Box::new(duel(session, &request, &judge)))
            }
        };
        let mut line = serde_json::to_vec(&reply)?;
        line.push(b'\n');
        thread::sleep(EVALUATION.saturating_sub(began.elapsed()));
        answers.write_all(&line)?;
    }
    Ok(())
}

fn windows(session: &Session) -> usize {
    session.windows.unwrap_or(WINDOWS)
}

fn ready(session: &Session) -> Ready {
    Ready {
        version: VERSION,
        device: "cpu".to_owned(),
        device_name: "none".to_owned(),
        python: "none".to_owned(),
        torch: "none".to_owned(),
        torch_threads: 1,
        windows: windows(session),
        real_windows: windows(session),
        held_out_windows: session.held_out,
        loads_digest: "stub".to_owned(),
        jail: vec![JailStep { step: "seccomp".to_owned(), in_force: true, reason: String::new() }],
    }
}

/// A number that stands for the text of a program.
pub fn key(program: &str) -> u64 {
    let digest: BlobId = blob_id(program.as_bytes());
    u64::from_be_bytes(digest.0[..8].try_into().expect("BUG: an id has 20 bytes"))
}

/// A measurement with as many numbers as a judge's, so that it takes as much room in a journal.
pub fn measurement(session: &Session, asked: &Asked<'_>) -> Measurement {
    let key = key(asked.program);
    // What a program is worth is the same on all windows; they differ a little.
    let mut worth = stream(key, 0, Purpose::Loads);
    let (gap, seconds) = (0.2 * worth.random::<f64>(), CALL * 10f64.powf(-2.0 * worth.random::<f64>()));
    let mut noise = stream(key, 1 + asked.windows.start as u64, Purpose::Loads);
    let case = |case: &Case| CaseMeasurement {
        case: case.to_string(),
        samples: asked.windows.clone().map(|window| sample(window, gap, seconds, &mut noise)).collect(),
    };
    let cases = session.cases.iter().map(case).collect();
    let times = vec![REFERENCE; 5];
    Measurement {
        cases,
        calibration: Calibration { before: times.clone(), after: times, ..Calibration::default() },
        peak_memory_bytes: 50 << 20,
        evaluation_seconds: EVALUATION.as_secs_f64(),
        ..Measurement::default()
    }
}

/// Numbers with as many digits as a judge's: loads are sums of shares of tokens, times are counted in nanoseconds.
fn sample(window: usize, gap: f64, seconds: f64, noise: &mut Stream) -> Sample {
    let mut about = |value: f64| value * (0.995 + 0.01 * noise.random::<f64>());
    let to_the = |parts: f64, value: f64| (value * parts).round() / parts;
    let (tokens, time) = (|value| to_the(1024.0, value), |value| to_the(1e9, value));
    let (bound, gap, seconds) = (tokens(about(1e6)), about(gap), about(seconds));
    let max_load = tokens(bound * (1.0 + gap));
    Sample {
        window,
        mean_load: bound,
        max_load,
        bound,
        worst_row_gap: about(1.5 * gap),
        next: Some(NextLoads { mean_load: bound, max_load: tokens(about(1.1 * max_load)) }),
        seconds: time(seconds),
        wall_seconds: time(about(1.02 * seconds)),
        reference_seconds: time(about(REFERENCE)),
    }
}
