//! Script: what the scripted judge says of a program. It depends on the text of the program alone, so a run is the same
//! on every machine; all that can become of a program becomes of some of them.

use std::fs::File;
use std::thread;
use std::time::Duration;

use packevolve_contract::chain::Step;
use packevolve_contract::evaluation::{Evaluation, Measurement, Sample};
use packevolve_contract::inconsistency::{Inconsistency, Switch};
use packevolve_contract::objective::{Pairing, Yardstick, score_at_best};
use packevolve_contract::protocol::{Session, Threshold};
use packevolve_contract::rebalance::{PlanLoads, Policy, RebalanceSample};
use packevolve_contract::rejection::{Evidence, Rejection};

use super::scripted::stub::{Asked, key, measurement};

/// How long a program takes that calls `time.sleep`: a test sees it at work.
const SLEEP: Duration = Duration::from_millis(300);
/// One of this many programs raises.
const RAISES: u64 = 6;
/// One of this many programs is worse in duels than on the windows of the search.
const OVERFITS: u64 = 3;

/// Begins a comment by which a program chooses its fate; without one, the fate depends on its text.
const DIRECTIVE: &str = "# script: ";
/// A program with this comment is better than any other.
pub const GOOD: &str = "# script: good";
/// A program with this comment is measured.
pub const MEASURED: &str = "# script: measured";

/// A program with this comment answers differently in another process.
pub const INCONSISTENT: &str = "# script: inconsistent";
/// A program with this comment is measured while the machine is disturbed.
pub const DOUBTFUL: &str = "# script: doubtful";

/// The judge dies in the first duel of a program with this comment.
pub const DIES: &str = "# script: dies";

/// Judges a program.
pub fn answer(session: &Session, asked: &Asked<'_>) -> Evaluation {
    let (program, key) = (asked.program, key(asked.program));
    if program.contains("time.sleep(") {
        thread::sleep(SLEEP);
    }
    if asked.is_duel && program.contains(DIES) && File::create_new("died").is_ok() {
        std::process::exit(9);
    }
    if let Some(message) = raised(program) {
        return raises(message);
    }
    let is_free = !program.contains(DIRECTIVE);
    if is_free && key % RAISES == 4 {
        return raises("RuntimeError: the script rejects it");
    }
    let mut measured = measurement(session, asked);
    if program.contains(DOUBTFUL) {
        measured.calibration.doubtful = vec![measured.names().remove(0)];
    }
    if program.contains(GOOD) {
        samples(&mut measured)
            .for_each(|sample| (sample.max_load, sample.seconds) = (sample.bound, sample.seconds / 1e4));
        steps(&mut measured).for_each(|step| (step.served.max, step.busiest_gpu) = (step.floor, 0));
    }
    if let Some(at_best) = asked.outclassed.and_then(|threshold| stopped(&mut measured, threshold)) {
        return Evaluation::Outclassed { measurement: measured, at_best };
    }
    if is_free && asked.is_duel && key % OVERFITS == 1 {
        samples(&mut measured)
            .for_each(|sample| sample.max_load = sample.bound * (sample.max_load / sample.bound).powi(4));
        steps(&mut measured).for_each(|step| step.served.max = step.floor * (step.served.max / step.floor).powi(4));
    }
    if asked.rebalance && session.chain_windows.is_none() {
        measured.rebalance = rebalances(session, &measured);
    }
    if program.contains(INCONSISTENT) && !asked.is_duel {
        let case = measured.names().remove(0);
        let inconsistency = Inconsistency::Elsewhere { case, switch: Switch::HashSeed, rows: 2, of: 4 };
        return Evaluation::Inconsistent { inconsistencies: vec![inconsistency], measurement: measured };
    }
    Evaluation::Measured { measurement: measured }
}

fn samples(measurement: &mut Measurement) -> impl Iterator<Item = &mut Sample> {
    measurement.cases.iter_mut().flat_map(|case| &mut case.samples)
}

fn steps(measurement: &mut Measurement) -> impl Iterator<Item = &mut Step> {
    measurement.chains.iter_mut().flat_map(|chain| &mut chain.steps)
}

/// What a program raises by a statement at its top level.
fn raised(program: &str) -> Option<&str> {
    program.lines().find_map(|line| line.strip_prefix("raise "))
}

fn raises(message: &str) -> Evaluation {
    let evidence = Evidence {
        during: "a small call, three items a pack: 12->4".to_owned(),
        traceback: format!("Traceback (most recent call last):\n{message}\n"),
        ..Evidence::default()
    };
    Evaluation::Rejected { rejection: Rejection::Exception { message: message.to_owned() }, evidence }
}

/// Cuts the measurement off after its first window, or chain, if what it shows cannot reach the threshold.
fn stopped(measured: &mut Measurement, threshold: &Threshold) -> Option<f64> {
    let mut part = measured.clone();
    part.cases.iter_mut().for_each(|case| case.samples.truncate(1));
    part.chains.truncate(1);
    let Threshold { baseline, objective, .. } = threshold;
    let yardstick = Yardstick { baseline, objective: *objective, pairing: Pairing::Shared };
    let at_best = score_at_best(&part, yardstick)?;
    (at_best < threshold.score).then(|| {
        *measured = part;
        at_best
    })
}

/// Calls of `rebalance_experts` that fit the first case: on every window one for each policy.
fn rebalances(session: &Session, measured: &Measurement) -> Vec<RebalanceSample> {
    let samples = &measured.cases[0].samples;
    let call = |policy: Policy, (at, sample): (usize, &Sample)| RebalanceSample {
        policy,
        window: sample.window,
        now: plan(sample.max_load / sample.bound),
        next: sample.next.filter(|_| at + 1 < samples.len()).map(|next| plan(next.max_load / next.mean_load)),
        moved: (at > 0).then_some(10),
        replicas: session.topology.replicas as u64,
        seconds: 2.0 * sample.seconds,
        wall_seconds: 2.0 * sample.wall_seconds,
        reference_seconds: sample.reference_seconds,
    };
    let of = |policy: &Policy| samples.iter().enumerate().map(move |one| call(*policy, one)).collect::<Vec<_>>();
    Policy::of(&session.topology).iter().flat_map(of).collect()
}

/// Loads of a plan whose heaviest GPU and replica carry this many times the mean.
fn plan(heaviest: f64) -> PlanLoads {
    PlanLoads { mean_gpu: 1e6, max_gpu: 1e6 * heaviest, mean_replica: 1e5, max_replica: 1e5 * heaviest }
}
