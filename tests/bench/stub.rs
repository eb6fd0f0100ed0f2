//! Stub: a judge that computes nothing. It speaks the protocol and answers every program after the same short time with
//! measurements that are drawn from a digest of its text, so that what is left of a run is the harness.

use std::io::{self, BufRead, Write};
use std::ops::Range;
use std::thread;
use std::time::{Duration, Instant};

use packevolve::archive::blob_id;
use packevolve::values::candidate::BlobId;
use packevolve_contract::case::Case;
use packevolve_contract::chain::{ChainMeasurement, GpuLoads, PlannerStep, Step};
use packevolve_contract::duel::Duel;
use packevolve_contract::evaluation::{Calibration, CaseMeasurement, Evaluation, Measurement, NextLoads, Sample};
use packevolve_contract::protocol::{
    DuelRequest, Duelist, EvaluateRequest, JailStep, Ready, Reply, Request, Session, Threshold, VERSION,
};
use packevolve_contract::stream::{Purpose, Stream, stream};
use packevolve_contract::topology::Topology;
use rand::RngExt;

/// How long an evaluation takes.
pub const EVALUATION: Duration = Duration::from_millis(10);
/// Windows of the search, where the session leaves their number to the judge.
const WINDOWS: usize = 4;
/// What a call of the baseline takes, seconds.
const CALL: f64 = 0.02;
/// What a call of the reference program takes, seconds.
const REFERENCE: f64 = 0.01;
/// The largest gap that a program leaves.
const WORST_GAP: f64 = 0.2;
/// By how much the heaviest GPU of DeepSeek's planner exceeds the mean on the window that is served.
const PLANNERS_GAP: f64 = 0.15;
/// The share of the replicas that this planner moves.
const PLANNER_MOVES: f64 = 0.9;

/// A program to measure.
pub struct Asked<'a> {
    pub program: &'a str,
    /// The numbers of its windows, or of its chains.
    pub windows: Range<usize>,
    pub is_duel: bool,
    pub outclassed: Option<&'a Threshold>,
    pub rebalance: bool,
}

impl<'a> Asked<'a> {
    fn of_evaluation(session: &Session, request: &'a EvaluateRequest) -> Self {
        let EvaluateRequest { program, outclassed, rebalance, budget_seconds, .. } = request;
        // Without any time the first window remains.
        let windows = if *budget_seconds == Some(0.0) { 1 } else { windows(session) };
        let (windows, outclassed) = (0..windows, outclassed.as_ref());
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

/// When a judge is lost, as [`LOSE`] says it: a word and the number of a request, from 0, which opens the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// Before the judge has said anything.
    Silent,
    /// Once it has the request.
    Asked(usize),
    /// In the middle of the reply.
    Half(usize),
    /// Right after the reply.
    Answered(usize),
    /// It fails for lack of descriptors, in place of the reply.
    Lacking(usize),
    /// It fails for good, in place of the reply.
    Refused(usize),
}

impl Loss {
    fn from_environment() -> Option<Self> {
        let text = std::env::var(LOSE).ok()?;
        let (word, number) = text.split_once(' ').unwrap_or((&text, "0"));
        let number = number.parse().ok()?;
        match word {
            "silent" => Some(Self::Silent),
            "asked" => Some(Self::Asked(number)),
            "half" => Some(Self::Half(number)),
            "answered" => Some(Self::Answered(number)),
            "lacking" => Some(Self::Lacking(number)),
            "refused" => Some(Self::Refused(number)),
            _ => None,
        }
    }

    /// The failure that takes the place of a reply, if this is its moment.
    fn failure(self, number: usize) -> Option<Reply> {
        let failed = |error: &str, may_pass| Reply::Failed { error: error.to_owned(), hint: None, may_pass };
        match self {
            Self::Lacking(at) if at == number => Some(failed("Too many open files (os error 24)", true)),
            Self::Refused(at) if at == number => Some(failed("there is no device", false)),
            _ => None,
        }
    }

    /// Ends the judge, if this is the moment.
    fn strike(self, now: Self) {
        if self == now {
            std::process::exit(9);
        }
    }
}

/// The variable that says when the judge is lost.
pub const LOSE: &str = "PACKEVOLVE_LOSE";
/// The variable that names the model of the judge's device, which is three times as fast as the usual one.
pub const MODEL: &str = "PACKEVOLVE_MODEL";
/// The variable by which no step of the jail is in force.
pub const WEAK: &str = "PACKEVOLVE_WEAK";
/// The variable that has the judge take this many milliseconds for an evaluation.
pub const TAKES: &str = "PACKEVOLVE_TAKES";

/// Answers requests on standard input until it ends.
pub fn serve(judge: impl Fn(&Session, &Asked<'_>) -> Evaluation) -> anyhow::Result<()> {
    let loss = Loss::from_environment();
    let strike = |now: Loss| loss.into_iter().for_each(|loss| loss.strike(now));
    let takes = std::env::var(TAKES).ok().and_then(|takes| takes.parse().ok()).map(Duration::from_millis);
    strike(Loss::Silent);
    let mut session = None;
    send(&line(&Reply::Hello { version: VERSION })?)?;
    for (number, request) in io::stdin().lock().lines().enumerate() {
        strike(Loss::Asked(number));
        let began = Instant::now();
        let reply = match serde_json::from_str(&request?)? {
            Request::Open(opened) => {
                let ready = Reply::Ready(Box::new(ready(&opened)));
                session = Some(opened);
                ready
            }
            Request::Chunk(_) => anyhow::bail!("the stub asks for no loads"),
            Request::Evaluate(request) => {
                let session = session.as_ref().ok_or_else(|| anyhow::anyhow!("evaluate comes after open"))?;
                Reply::Evaluated(Box::new(judge(session, &Asked::of_evaluation(session, &request))))
            }
            Request::Duel(request) => {
                let session = session.as_ref().ok_or_else(|| anyhow::anyhow!("duel comes after open"))?;
                Reply::Dueled(Box::new(duel(session, &request, &judge)))
            }
            Request::Plan(_) => anyhow::bail!("the stub makes no plans"),
        };
        let reply = loss.and_then(|loss| loss.failure(number)).unwrap_or(reply);
        let takes = takes.filter(|_| number > 0).unwrap_or(EVALUATION);
        thread::sleep(takes.saturating_sub(began.elapsed()));
        let line = line(&reply)?;
        if loss == Some(Loss::Half(number)) {
            send(&line[..line.len() / 2])?;
            strike(Loss::Half(number));
        }
        send(&line)?;
        strike(Loss::Answered(number));
    }
    Ok(())
}

fn line(reply: &Reply) -> anyhow::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(reply)?;
    line.push(b'\n');
    Ok(line)
}

fn send(bytes: &[u8]) -> anyhow::Result<()> {
    let mut output = io::stdout().lock();
    output.write_all(bytes)?;
    Ok(output.flush()?)
}

fn windows(session: &Session) -> usize {
    session.windows.unwrap_or(WINDOWS)
}

fn ready(session: &Session) -> Ready {
    Ready {
        version: VERSION,
        target: "stub".to_owned(),
        device: "cpu".to_owned(),
        device_name: std::env::var(MODEL).unwrap_or_else(|_| "none".to_owned()),
        python: "none".to_owned(),
        torch: "none".to_owned(),
        // The blocks of policies are compiled.
        numba: session.chain_windows.map(|_| "none".to_owned()),
        torch_threads: 1,
        windows: windows(session),
        real_windows: windows(session),
        held_out_windows: session.held_out,
        loads_digest: "stub".to_owned(),
        jail: vec![JailStep {
            step: "seccomp".to_owned(),
            in_force: std::env::var(WEAK).is_err(),
            reason: String::new(),
        }],
        ..Ready::default()
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
    let (gap, seconds) = (WORST_GAP * worth.random::<f64>(), CALL * 10f64.powf(-2.0 * worth.random::<f64>()));
    let seconds = if std::env::var(MODEL).is_ok() { seconds / 3.0 } else { seconds };
    // A better balance costs moves.
    let moved = 0.8 * (1.0 - gap / WORST_GAP) + 0.2 * worth.random::<f64>();
    let mut noise = stream(key, 1 + asked.windows.start as u64, Purpose::Loads);
    let case = |case: &Case| CaseMeasurement {
        case: case.to_string(),
        samples: asked.windows.clone().map(|window| sample(window, gap, seconds, &mut noise)).collect(),
    };
    let cases = session.cases.iter().map(case).collect();
    let mut steps =
        |windows| (2..windows).map(|_| step(&session.topology, [gap, moved, seconds], &mut noise)).collect();
    let chains = match session.chain_windows {
        // Those of a duel are counted from 0, too.
        Some(windows) => {
            (0..asked.windows.len()).map(|chain| ChainMeasurement { chain, steps: steps(windows) }).collect()
        }
        None => Vec::new(),
    };
    let times = vec![REFERENCE; 5];
    Measurement {
        cases,
        chains,
        calibration: Calibration { before: times.clone(), after: times, ..Calibration::default() },
        peak_memory_bytes: 50 << 20,
        evaluation_seconds: EVALUATION.as_secs_f64(),
        ..Measurement::default()
    }
}

fn to_the(parts: f64, value: f64) -> f64 {
    (value * parts).round() / parts
}

/// Loads are sums of shares of tokens.
fn tokens(value: f64) -> f64 {
    to_the(1024.0, value)
}

/// Times are counted in nanoseconds.
fn time(value: f64) -> f64 {
    to_the(1e9, value)
}

/// Numbers with as many digits as a judge's.
fn sample(window: usize, gap: f64, seconds: f64, noise: &mut Stream) -> Sample {
    let mut about = |value: f64| value * (0.995 + 0.01 * noise.random::<f64>());
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

/// The same of a step in which a policy leaves that `gap` and moves that share of the replicas.
fn step(topology: &Topology, [gap, moved, seconds]: [f64; 3], noise: &mut Stream) -> Step {
    let mut about = |value: f64| value * (0.995 + 0.01 * noise.random::<f64>());
    let replicas = topology.layers * topology.replicas;
    let (mean, gap, seconds) = (tokens(about(1e6)), about(gap), about(seconds));
    let loads = |gap: f64| GpuLoads { mean, max: tokens(mean * (1.0 + gap)) };
    let of_busiest = |moved: f64| (moved * replicas as f64 / topology.gpus as f64).round() as u64;
    let served = loads(gap);
    Step {
        now: loads(gap / 2.0),
        served,
        floor: mean,
        planner: PlannerStep { served: loads(about(PLANNERS_GAP)), busiest_gpu: of_busiest(PLANNER_MOVES) },
        worst_layer: served.balancedness() / 1.1,
        p90_layer: served.balancedness() / 1.05,
        moved: (moved * replicas as f64).round() as u64,
        busiest_gpu: of_busiest(moved),
        cross_node: (moved * replicas as f64 / 2.0).round() as u64,
        doubles: 0,
        replicas: replicas as u64,
        gpus: topology.gpus as u64,
        seconds: time(seconds),
        wall_seconds: time(about(1.02 * seconds)),
        reference_seconds: time(about(REFERENCE)),
    }
}
