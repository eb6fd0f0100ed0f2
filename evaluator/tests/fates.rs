//! Fates: every program under `tests/testdata/fates` meets the one that its folder names, and leaves nothing behind.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use packevolve_contract::evaluation::{Evaluation, Measurement};

use crate::client::{Client, fates, program};
use crate::processes::{descendants, left_of};

/// Beyond the limits of a session nothing may hold the judge up for long.
const EVALUATION_LIMIT: Duration = Duration::from_secs(8);

/// `KIND/NAME.py` of every program, in order.
fn all_programs() -> Vec<String> {
    let mut names = Vec::new();
    for kind in std::fs::read_dir(fates()).unwrap() {
        let kind = kind.unwrap();
        for program in std::fs::read_dir(kind.path()).unwrap() {
            let program = program.unwrap().file_name();
            names.push(format!("{}/{}", kind.file_name().display(), program.display()));
        }
    }
    names.sort();
    assert!(names.len() > 30, "{names:?}");
    names
}

fn kind(evaluation: &Evaluation) -> &'static str {
    match evaluation {
        Evaluation::Measured { .. } => "measured",
        Evaluation::Outclassed { .. } => "outclassed",
        Evaluation::Rejected { rejection, .. } => rejection.kind(),
    }
}

/// The loads of every sample, to the bit.
fn loads(measurement: &Measurement) -> Vec<[u64; 3]> {
    let samples = measurement.cases.iter().flat_map(|case| &case.samples);
    samples.map(|sample| [sample.mean_load, sample.max_load, sample.bound].map(f64::to_bits)).collect()
}

#[test]
fn every_program_meets_its_fate_and_an_honest_one_after_it_is_judged_as_if_nothing_had_happened() {
    let (mut client, _) = Client::open();
    let honest = program("measured/honest.py");
    let honest_loads = loads(&client.measure(&honest));
    let ours = descendants(client.process.id());
    let mut wrong = Vec::new();
    for name in all_programs() {
        let started = Instant::now();
        let evaluation = client.evaluate(&program(&name));
        let took = started.elapsed();
        if !name.starts_with(&format!("{}/", kind(&evaluation))) {
            wrong.push(format!("{name}: {evaluation:?}"));
        }
        if took > EVALUATION_LIMIT {
            wrong.push(format!("{name}: took {took:?}"));
        }
        let left = left_of(&(&descendants(client.process.id()) - &ours));
        if !left.is_empty() {
            wrong.push(format!("{name}: leaves {left:?}"));
        }
        let after = client.evaluate(&honest);
        if after.measured().map(loads).as_ref() != Some(&honest_loads) {
            wrong.push(format!("{name}: an honest program after it: {after:?}"));
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
    let replaced: BTreeSet<_> = &ours - &descendants(client.process.id());
    assert!(replaced.is_empty(), "the nursery or the reference was replaced: {replaced:?}");
}
