//! `packevolve replay RUN CANDIDATE` against a record that has other figures: what moved is named, and decides how it
//! ends. The records are whole, with digests that fit, as if another machine had written them.

use packevolve::values::candidate::CandidateId;
use packevolve::values::event::Event;
use packevolve_contract::evaluation::{Evaluation, Measurement, Sample};

use crate::support::finished::{self, NAME};
use crate::support::{Output, World, forged};

/// The finished run with a journal in which events read otherwise.
fn world_with(change: impl Fn(&mut Event)) -> World {
    let world = finished::world();
    let run = world.read(NAME);
    let mut events: Vec<Event> = run.entries().unwrap().into_iter().map(|entry| entry.event).collect();
    events.iter_mut().for_each(change);
    forged::write(&run.folder.journal(), &events);
    world
}

/// One that was measured in full and decided nothing, so that other figures leave the run possible.
fn quiet_candidate() -> CandidateId {
    let run = finished::run();
    let quiet = run.search.candidates().filter(|(id, known)| {
        known.proposer.is_some() && known.held_out.is_none() && run.search.scores_of(*id).is_some()
    });
    quiet.map(|(id, _)| id).last().expect("a candidate that was no contender")
}

/// The finished run with other samples of that candidate.
fn world_where(change: impl Fn(&mut Sample)) -> (World, String) {
    let wanted = quiet_candidate();
    let change_all = |measurement: &mut Measurement| {
        measurement.cases.iter_mut().flat_map(|case| &mut case.samples).for_each(&change);
    };
    let world = world_with(|event| match event {
        Event::CandidateEvaluated { candidate, evaluation: Evaluation::Measured { measurement }, .. }
            if *candidate == wanted =>
        {
            change_all(measurement);
        }
        _ => {}
    });
    (world, wanted.to_string())
}

fn replayed(world: &World, candidate: &str) -> Output {
    let output = world.run(&["replay", candidate, "--run", NAME]);
    assert!(output.stdout.contains("programs and commit ids are reproduced"), "{output:?}");
    output
}

#[test]
fn a_load_that_moved_in_its_last_digit_is_named_and_is_a_divergence() {
    // Worse than it was: that makes no contender of it.
    let (world, candidate) = world_where(|sample| sample.max_load = sample.max_load.next_up());
    let output = replayed(&world, &candidate).ends(5).stdout;
    assert!(output.contains("balancedness or gaps have MOVED in "), "{output}");
    assert!(output.contains("  heaviest load of ") && output.contains(": the record has "), "{output}");
    let json = world.run(&["replay", &candidate, "--run", NAME, "--format", "json"]).ends(5).json();
    let moved = json["measured"]["moved"].as_array().unwrap();
    assert_eq!(json["measured"]["compared"], moved.len(), "{json}");
    assert!(moved.iter().all(|moved| moved["recorded"].as_f64() > moved["now"].as_f64()), "{moved:?}");
}

#[test]
fn a_speed_that_moved_alone_has_an_exit_code_of_its_own() {
    let (world, candidate) = world_where(|sample| sample.seconds *= 100.0);
    let output = replayed(&world, &candidate).ends(6).stdout;
    assert!(output.contains("balancedness and gaps are reproduced to the last digit in "), "{output}");
    assert!(output.contains("speed has MOVED in ") && output.contains("fastest"), "{output}");
    let json = world.run(&["replay", &candidate, "--run", NAME, "--format", "json"]).ends(6).json();
    let speed = json["measured"]["speed"].as_array().unwrap();
    assert!(speed.iter().all(|speed| speed["moved"] == true), "{speed:?}");
    assert!(json["measured"]["time_ratio"].as_f64().unwrap() < 0.1, "{json}");
}

#[test]
fn another_version_of_torch_is_said_to_move_digits() {
    let world = world_with(|event| {
        if let Event::RunStarted(started) = event {
            started.judge.torch = "1.0.0".to_owned();
        }
    });
    let output = replayed(&world, "best").ends(0);
    assert!(output.stdout.contains("torch: 1.0.0 then, "), "{output:?}");
    assert!(output.stdout.contains(" now: digits and times may move"), "{output:?}");
}

#[test]
fn other_loads_are_no_basis_for_a_comparison() {
    let world = world_with(|event| {
        if let Event::RunStarted(started) = event {
            started.judge.loads_digest = "0".repeat(64);
        }
    });
    replayed(&world, "best")
        .ends(5)
        .tells(&["error: the loads: the record has 000", "note: the record is not reproduced"]);
}
