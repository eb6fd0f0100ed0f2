//! Partial verdicts: given proposals are measured on one window of each case first, and in full before a run ends.

use std::collections::BTreeSet;
use std::fs;

use packevolve::run::fold::Run;
use packevolve::values::candidate::CandidateId;
use packevolve::values::event::{Event, Proposer, StopReason};
use packevolve_contract::evaluation::Evaluation;
use serde_json::Value;

use crate::support::live::Live;
use crate::support::scripted::{self, stub};
use crate::support::{World, count, judge};

/// How each evaluation of a given proposal ended that has samples: its candidate, whether it was partial, its rounds.
fn of_given(run: &Run) -> Vec<(CandidateId, bool, usize)> {
    let is_given = |id: &CandidateId| matches!(run.search.candidate(*id).unwrap().proposer, Some(Proposer::Corpus(_)));
    let of = |event: &Event| match event {
        Event::CandidateEvaluated { candidate, partial, evaluation, .. } if is_given(candidate) => {
            Some((*candidate, *partial, evaluation.measurement()?.rounds()))
        }
        _ => None,
    };
    run.entries().unwrap().iter().filter_map(|entry| of(&entry.event)).collect()
}

/// Every given proposal has a verdict on one window and then one on all, and replay makes the same decisions.
#[track_caller]
fn is_complete(world: &World, run: &Run) {
    let verdicts = of_given(run);
    let partly: BTreeSet<CandidateId> =
        verdicts.iter().filter(|(_, partial, _)| *partial).map(|(id, ..)| *id).collect();
    let fully: BTreeSet<CandidateId> = verdicts.iter().filter(|(_, partial, _)| !partial).map(|(id, ..)| *id).collect();
    assert!(!partly.is_empty() && fully.is_subset(&partly), "{verdicts:?}");
    for (candidate, partial, rounds) in &verdicts {
        assert_eq!(*rounds == 1, *partial, "candidate {candidate}: {verdicts:?}");
    }
    assert_eq!(run.search.partial().len(), 0);
    world.run(&["replay", "--run", "x", "--no-evaluate"]).ends(0);
}

#[test]
fn given_proposals_are_measured_on_one_window_and_in_full_before_the_end() {
    let world = scripted::world();
    world.run(&["evolve", "--run", "x", "--candidates", "24"]).ends(0);
    let run = world.read("x");
    is_complete(&world, &run);
    // The other proposers came first.
    let place = |wanted: &dyn Fn(&Event) -> bool| {
        run.entries().unwrap().iter().position(|entry| wanted(&entry.event)).expect("there is such an event")
    };
    let (first, _, _) = of_given(&run)[0];
    let is_full = |event: &Event| matches!(event, Event::CandidateEvaluated { candidate, partial: false, .. } if *candidate == first);
    let is_searched = |event: &Event| matches!(event, Event::Selected { selection, .. } if !matches!(selection.proposer, Proposer::Corpus(_)));
    assert!(place(&is_searched) < place(&is_full));
}

#[test]
fn the_real_judge_measures_one_window_of_every_case_first() {
    judge();
    let world = World::new();
    world.run(&["evolve", "--run", "x", "--candidates", "7"]).ends(0);
    let run = world.read("x");
    is_complete(&world, &run);
    let is_measured = |event: &Event| match event {
        Event::CandidateEvaluated { partial: true, evaluation: Evaluation::Measured { measurement }, .. } => {
            measurement.full_rounds() == 1 && measurement.rounds() == 1
        }
        _ => false,
    };
    assert!(count(&run, is_measured) > 0);
}

#[test]
fn a_run_whose_time_is_used_up_completes_its_verdicts_first() {
    let mut world = scripted::with("search: {candidates: 100000, wall_time: 3s}\n");
    world.export(stub::TAKES, "20");
    world.run(&["evolve", "--run", "x"]).ends(0).tells(&["stopped: the time of the run is used up"]);
    let run = world.read("x");
    assert_eq!(run.search.stopped(), Some(StopReason::WallTime));
    assert_eq!(count(&run, |event| matches!(event, Event::LimitNear { reason: StopReason::WallTime })), 1);
    is_complete(&world, &run);
}

#[test]
fn what_is_still_partial_when_a_run_is_stopped_is_marked_and_completed_by_resume() {
    let mut world = scripted::with("search: {candidates: 100000}\n");
    world.export(stub::TAKES, "20");
    let live = Live::start(&world, "x", &["evolve", "--run", "x"]);
    live.wait_for("candidate-evaluated", 8);
    fs::write(world.path("runs/x/stop"), "").unwrap();
    live.end().ends(0).tells(&["stopped: the stop file was found"]);
    let run = world.read("x");
    let partial: Vec<CandidateId> = run.search.partial().collect();
    let first = partial.first().expect("a partial verdict").to_string();
    let show = |format: &str| world.run(&["show", &first, "--run", "x", "--format", format]).ends(0);
    assert!(
        show("table").stdout.contains("measured, partial: on one window of each case so far"),
        "{:?}",
        show("table")
    );
    assert_eq!(show("json").json()["partial"], Value::Bool(true));
    assert!(world.run(&["top", "--all", "--run", "x"]).ends(0).stdout.contains(" (partial)"));
    assert!(world.run(&["log", "--run", "x"]).ends(0).stdout.contains(" on one window of each case ("));
    // As many candidates as it has are enough.
    let candidates = run.search.candidates().len().to_string();
    world.run(&["resume", "--run", "x", "--candidates", &candidates]).ends(0);
    is_complete(&world, &world.read("x"));
    assert_eq!(show("json").json()["partial"], Value::Bool(false));
    assert!(!world.run(&["top", "--all", "--run", "x"]).ends(0).stdout.contains(" (partial)"));
}
