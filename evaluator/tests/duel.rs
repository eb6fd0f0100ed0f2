//! Duels: two programs measured in turns, on windows that follow from the seed of the duel.

use std::collections::BTreeSet;

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

/// The window and the bound of all samples.
fn loads(measurement: &Measurement) -> Vec<(usize, u64)> {
    let mut loads: Vec<_> = measurement.all_samples().map(|sample| (sample.window, sample.bound.to_bits())).collect();
    loads.sort_unstable();
    loads
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
    // Bounds are sums over rows, whose order differs.
    let windows = |measurement| loads(measurement).into_iter().map(|(window, _)| window).collect::<BTreeSet<_>>();
    assert_eq!(windows(contender), windows(best));
    for (ours, theirs) in contender.all_samples().zip(best.all_samples()) {
        assert!((ours.bound / theirs.bound - 1.0).abs() < 1e-12, "{ours:?} {theirs:?}");
    }

    let again =
        duel(&mut client, request("measured/deals_replicas_out.py", "measured/heaviest_together.py", &baseline));
    let other_seed = DuelRequest {
        seed: 6,
        ..request("measured/deals_replicas_out.py", "measured/heaviest_together.py", &baseline)
    };
    let other = duel(&mut client, other_seed);
    let first_round = |duel: &Duel| loads(&measured(&duel.contender).only_round(0));
    assert_eq!(first_round(&again), first_round(&met), "the seed decides");
    assert_ne!(first_round(&other), first_round(&met));
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
