//! Consistency: what the judge finds out about programs whose answers depend on their process or on other rows, and what
//! the check costs.

use std::time::Instant;

use packevolve_contract::case::{GlobalShape, cases};
use packevolve_contract::evaluation::{Evaluation, Measurement};
use packevolve_contract::inconsistency::{Inconsistency, Switch};
use packevolve_contract::protocol::{EvaluateRequest, Limits, Reply, Request, Sandbox, Session};
use packevolve_contract::topology::Topology;

use crate::client::skip::skip;
use crate::client::{Client, evaluate_request, program, session};
use crate::fates::without_its_vectors;

/// Programs under `tests/testdata/fates/inconsistent`, and what their answers depend on.
const SWITCHES: [(&str, Switch); 9] = [
    ("hash_seed", Switch::HashSeed),
    ("torch_vectors", Switch::TorchVectors),
    ("numpy_vectors", Switch::NumpyVectors),
    ("threads", Switch::Threads),
    ("raises_at_import_elsewhere", Switch::Threads),
    ("seed", Switch::Seed),
    ("time_of_day", Switch::Process),
    ("memory_addresses", Switch::Process),
    ("two_settings_together", Switch::Several),
];
/// The programs whose answers depend only on other rows.
const ROWS: [&str; 4] = ["all_rows_together", "order_of_rows", "ranks_of_all_rows", "raises_for_a_single_row"];

fn inconsistent(name: &str) -> String {
    program(&format!("inconsistent/{name}.py"))
}

/// A judge of the cases in which no two packings are equal by chance.
fn open() -> Client {
    let mut cases = session().cases;
    cases.retain(|case| case.items >= 10);
    let mut client = Client::start();
    client.ready(Session { cases, ..session() });
    client
}

fn found(client: &mut Client, name: &str) -> (Vec<Inconsistency>, Measurement) {
    match client.evaluate(&inconsistent(name)) {
        Evaluation::Inconsistent { inconsistencies, measurement } => (inconsistencies, measurement),
        other => panic!("{name} is not inconsistent: {other:?}"),
    }
}

#[test]
fn the_evidence_names_the_setting_that_the_answers_depend_on() {
    let mut client = open();
    if session().device != "cpu" {
        return;
    }
    for (name, expected) in SWITCHES {
        if without_its_vectors(&format!("inconsistent/{name}.py")) {
            skip("vectors", format_args!("{name} needs vector units"));
            continue;
        }
        let (found, _) = found(&mut client, name);
        let switches: Vec<Switch> = found.iter().filter_map(switch).collect();
        assert!(!switches.is_empty() && switches.iter().all(|switch| *switch == expected), "{name}: {found:?}");
    }
}

fn switch(inconsistency: &Inconsistency) -> Option<Switch> {
    match inconsistency {
        Inconsistency::Elsewhere { switch, rows, of, .. } => {
            assert!(*rows >= 1 && rows <= of, "{inconsistency:?}");
            Some(*switch)
        }
        Inconsistency::Rows { .. } => None,
        other => panic!("of a plan: {other}"),
    }
}

#[test]
fn a_row_whose_packing_depends_on_other_rows_is_found_in_the_program_that_answers_alike_everywhere() {
    let mut client = open();
    for name in ROWS {
        let (found, _) = found(&mut client, name);
        let is_about_rows = |found: &Inconsistency| matches!(found, Inconsistency::Rows { rows: 1.., .. });
        assert!(found.iter().all(is_about_rows), "{name}: {found:?}");
    }
}

#[test]
fn an_inconsistent_program_is_measured_in_full_only_where_that_is_asked_for() {
    let (mut client, _) = Client::open();
    let (found_in_full, full) = found(&mut client, "all_rows_together");
    assert!(full.cases.iter().all(|case| case.samples.len() == 3), "{full:?}");
    let Request::Evaluate(request) = evaluate_request(&inconsistent("all_rows_together")) else { unreachable!() };
    let request = EvaluateRequest { measures_inconsistent: false, ..*request };
    let Reply::Evaluated(evaluation) = client.ask(&Request::Evaluate(Box::new(request))) else { panic!() };
    let Evaluation::Inconsistent { inconsistencies, measurement } = *evaluation else { panic!("{evaluation:?}") };
    assert_eq!(inconsistencies, found_in_full);
    assert!(measurement.cases.iter().all(|case| case.samples.len() == 1), "{measurement:?}");
    assert!(measurement.rebalance.is_empty() && !measurement.calibration.after.is_empty());
}

#[test]
fn the_shipped_program_is_consistent() {
    let (mut client, _) = Client::open();
    client.measure(include_str!("../../candidates/eplb.py"));
}

mod long {
    use super::*;

    /// Prints the times of evaluations of one round at the full size of a run.
    #[test]
    #[ignore = "prints times"]
    fn cost_of_the_check_at_full_size() {
        let topology = Topology::deepseek_v3();
        let shapes =
            [(288, 32), (320, 64), (256, 32), (256, 64)].map(|(replicas, gpus)| GlobalShape { replicas, gpus });
        let limits = Limits { call_seconds: None, evaluation_seconds: None, ..session().limits };
        let full = Session {
            cases: cases(&topology, &shapes, 3, 1).unwrap(),
            topology,
            limits,
            loads: None,
            windows: Some(1),
            sandbox: Sandbox::BestEffort,
            ..session()
        };
        let mut client = Client::start();
        client.ready(full);
        let honest = program("measured/honest.py");
        client.evaluate(&honest);
        for (name, text) in [
            ("honest", honest),
            ("the shipped program", include_str!("../../candidates/eplb.py").to_owned()),
            ("50 ms a call", format!("import time\n{}", slowed(0.05))),
            ("200 ms a call", format!("import time\n{}", slowed(0.2))),
        ] {
            let Request::Evaluate(request) = evaluate_request(&text) else { unreachable!() };
            let started = Instant::now();
            client.ask(&Request::Evaluate(Box::new(EvaluateRequest { rebalance: false, ..*request })));
            eprintln!("{name}: {:.2} s", started.elapsed().as_secs_f64());
        }
    }

    /// An honest program that sleeps.
    fn slowed(seconds: f64) -> String {
        program("measured/honest.py").replace("    rows, items", &format!("    time.sleep({seconds})\n    rows, items"))
    }
}
