//! Duels: two programs measured in turns, on windows that follow from the seed of the duel.

use std::collections::{BTreeMap, BTreeSet};

use packevolve_contract::duel::{Duel, LEAST_ROUNDS, MOST_ROUNDS, Verdict};
use packevolve_contract::evaluation::{Evaluation, Measurement};
use packevolve_contract::objective::{Pairing, Weights, Yardstick};
use packevolve_contract::protocol::{DuelRequest, Duelist, Reply, Request, TimeLimits};
use packevolve_contract::rejection::Rejection;

use crate::client::{Client, program, session};

fn open() -> Client {
    let mut client = Client::start();
    client.ready(packevolve_contract::protocol::Session { held_out: 1, ..session() });
    client
}

fn request(contender: &str, best: &str, baseline: &Measurement) -> DuelRequest {
    let duelist = |candidate, name| Duelist { candidate, program: program(name) };
    DuelRequest {
        contender: duelist(2, contender),
        best: duelist(1, best),
        file_name: "eplb.py".to_owned(),
        seed: 5,
        least_rounds: LEAST_ROUNDS,
        most_rounds: MOST_ROUNDS,
        budget_seconds: None,
        limits: TimeLimits { call_seconds: 2.0, evaluation_seconds: 60.0 },
        baseline: baseline.clone(),
        objective: Weights::default().into(),
        rebalance: true,
    }
}

fn duel(client: &mut Client, request: DuelRequest) -> Duel {
    match client.ask(&Request::Duel(Box::new(request))) {
        Reply::Dueled(duel) => *duel,
        other => panic!("no duel: {other:?}"),
    }
}

fn measured(evaluation: &Evaluation) -> &Measurement {
    evaluation.measured().unwrap_or_else(|| panic!("{evaluation:?}"))
}

/// The number of a duel's first window.
const FIRST_WINDOW: usize = 1 << 20;
/// The windows of a call: a void pair is repeated on the next one.
const OF_A_CALL: usize = 5;

/// The bounds of all samples by their windows.
fn bounds(measurement: &Measurement) -> BTreeMap<usize, f64> {
    measurement.all_samples().map(|sample| (sample.window, sample.bound)).collect()
}

/// The calls that were scored, whichever of their windows counted.
fn calls(measurement: &Measurement) -> BTreeSet<usize> {
    bounds(measurement).keys().map(|window| (window - FIRST_WINDOW) / OF_A_CALL).collect()
}

/// The bounds of windows that are in both; most are, unless the machine is busy.
fn common(ours: &Measurement, theirs: &Measurement) -> Vec<(f64, f64)> {
    let theirs = bounds(theirs);
    bounds(ours).into_iter().filter_map(|(window, bound)| Some((bound, *theirs.get(&window)?))).collect()
}

#[test]
fn both_programs_meet_the_same_loads_and_the_better_one_wins() {
    let mut client = open();
    let baseline = client.measure(&program("measured/heaviest_together.py"));
    let met = duel(&mut client, request("measured/deals_replicas_out.py", "measured/heaviest_together.py", &baseline));
    let (contender, best) = (measured(&met.contender), measured(&met.best));
    let yardstick = Yardstick { baseline: &baseline, objective: Weights::default().into(), pairing: Pairing::Pooled };
    let verdict = Verdict::new(contender, best, yardstick);
    assert!(verdict.is_won() && (LEAST_ROUNDS..=MOST_ROUNDS).contains(&verdict.rounds), "{verdict:?}");
    assert!(!contender.rebalance.is_empty() && best.rebalance.is_empty());
    assert_eq!(calls(contender), calls(best));
    let both = common(contender, best);
    assert!(!both.is_empty(), "no window in common: {contender:?} {best:?}");
    // Bounds are sums over rows, whose order differs.
    assert!(both.iter().all(|(ours, theirs)| (ours / theirs - 1.0).abs() < 1e-12), "{both:?}");

    let again =
        duel(&mut client, request("measured/deals_replicas_out.py", "measured/heaviest_together.py", &baseline));
    let other_seed = DuelRequest {
        seed: 6,
        ..request("measured/deals_replicas_out.py", "measured/heaviest_together.py", &baseline)
    };
    let other = duel(&mut client, other_seed);
    let both = |duel: &Duel| common(contender, measured(&duel.contender));
    let is_equal = |(ours, theirs): &(f64, f64)| ours.to_bits() == theirs.to_bits();
    assert!(!both(&again).is_empty() && both(&again).iter().all(is_equal), "the seed decides: {:?}", both(&again));
    assert!(!both(&other).iter().all(is_equal), "{:?}", both(&other));
}

#[test]
fn a_program_that_fails_ends_the_duel_and_the_other_one_is_measured() {
    let mut client = open();
    let baseline = client.measure(&program("measured/heaviest_together.py"));
    let met = duel(&mut client, request("measured/honest.py", "exception/raises.py", &baseline));
    assert!(matches!(met.best.rejection(), Some(Rejection::Exception { .. })), "{:?}", met.best);
    assert_eq!(measured(&met.contender).full_rounds(), 1);
    let met = duel(&mut client, request("crash/segfault.py", "measured/honest.py", &baseline));
    assert!(matches!(met.contender.rejection(), Some(Rejection::Crash { .. })), "{:?}", met.contender);
    assert_eq!(measured(&met.best).full_rounds(), 1);
}

#[test]
fn a_slow_pair_meets_once() {
    let mut client = open();
    let baseline = client.measure(&program("measured/heaviest_together.py"));
    let request = request("measured/deals_replicas_out.py", "measured/heaviest_together.py", &baseline);
    let met = duel(&mut client, DuelRequest { budget_seconds: Some(0.0), rebalance: false, ..request });
    assert_eq!((measured(&met.contender).rounds(), measured(&met.best).rounds()), (1, 1));
    assert!(measured(&met.contender).rebalance.is_empty());
}

#[test]
fn a_pair_without_time_for_all_rounds_ends_once_it_is_decided() {
    let mut client = open();
    let baseline = client.measure(&program("measured/heaviest_together.py"));
    let request = request("measured/honest.py", "measured/heaviest_together.py", &baseline);
    let met = duel(&mut client, DuelRequest { budget_seconds: Some(1e-4), ..request });
    assert_eq!(measured(&met.contender).rounds(), 1);
}
