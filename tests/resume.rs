//! `packevolve resume`: a run continues correctly no matter how it ended.

use std::collections::BTreeSet;
use std::fs;

use nix::sys::signal::Signal;
use packevolve::run::fold::Run;
use packevolve::values::candidate::CandidateId;
use packevolve::values::event::{Event, StopReason};
use packevolve_contract::evaluation::Measurement;

use crate::support::live::Live;
use crate::support::{Output, World, count, judge, scripted};

const CANDIDATES: &str = "12";

fn evolve(world: &World) -> Live {
    Live::start(world, "x", &["evolve", "--run", "x", "--candidates", CANDIDATES])
}

fn resume(world: &World) -> Live {
    Live::start(world, "x", &["resume", "--run", "x"])
}

/// No candidate is lost, none judged twice, every decision is one that replay makes again, and git agrees.
#[track_caller]
fn is_whole(world: &World) {
    let run = world.read("x");
    assert_eq!(run.search.candidates().len().to_string(), CANDIDATES);
    let judged: Vec<CandidateId> = judged(&run);
    let all: BTreeSet<_> = judged.iter().copied().collect();
    assert_eq!(judged.len(), all.len(), "judged twice: {judged:?}");
    // One evaluation serves the seed program and the baseline where they are the same.
    let of_baseline = run.search.baseline_is_seed().then_some(CandidateId::SEED);
    let all: BTreeSet<_> = all.into_iter().chain(of_baseline).collect();
    assert_eq!(all, run.search.candidates().map(|(id, _)| id).collect());
    world.run(&["replay", "--run", "x", "--no-evaluate"]).ends(0);
    world.tool("git", &["-C", "runs/x/archive.git", "fsck", "--strict", "--no-dangling"]).ends(0);
}

fn judged(run: &Run) -> Vec<CandidateId> {
    let of = |event: &Event| match event {
        // Another one takes the place of a partial one.
        Event::CandidateEvaluated { candidate, partial: false, .. } => Some(*candidate),
        _ => None,
    };
    run.entries().unwrap().iter().filter_map(|entry| of(&entry.event)).collect()
}

fn was_interrupted(run: &Run) -> bool {
    matches!(run.entries().unwrap().last().unwrap().event, Event::RunStopped { reason: StopReason::Interrupted })
}

#[test]
fn ctrl_c_lets_running_evaluations_end_and_the_run_continues_afterwards() {
    let world = scripted::world().slowed();
    let live = evolve(&world);
    // Right after this event the seed program is being measured, for longer than a signal takes.
    live.wait_for("baseline-evaluated", 1);
    live.signal_group(Signal::SIGINT);
    let output =
        live.end().ends(130).tells(&["interrupted: waiting", "stopped: interrupted", "packevolve resume --run runs/x"]);
    assert!(output.stdout.contains(" seed\n"), "{}", output.stdout);
    let run = world.read("x");
    assert!(was_interrupted(&run));
    assert_eq!(judged(&run), [CandidateId::SEED]);

    let live = resume(&world);
    live.wait_for("candidate-evaluated", 5);
    live.signal(Signal::SIGTERM);
    live.end().ends(130);
    let run = world.read("x");
    assert!(was_interrupted(&run) && judged(&run).len() >= 5);

    resume(&world).end().ends(0).tells(&["stopped: all candidates asked for were made"]);
    is_whole(&world);
    assert_eq!(count(&world.read("x"), |event| matches!(event, Event::RunResumed { .. })), 2);
}

#[test]
fn ctrl_c_while_the_baseline_is_measured_lets_that_end_and_a_second_one_stops_at_once() {
    let world = scripted::world().slowed();
    world.set("baseline", "eplb.py");
    let live = evolve(&world);
    live.wait_for("run-started", 1);
    live.signal(Signal::SIGINT);
    live.end().ends(130).tells(&["interrupted: waiting"]);
    let run = world.read("x");
    assert!(run.search.baseline().is_some() && was_interrupted(&run));

    let live = resume(&world);
    live.wait_for("candidate-evaluated", 2);
    live.signal(Signal::SIGINT);
    live.signal(Signal::SIGTERM);
    live.end().ends(130).tells(&["the run is kept", "hint: `packevolve resume --run runs/x` continues it"]);
}

#[test]
fn a_killed_run_leaves_no_process_and_continues_from_any_moment() {
    judge();
    let world = World::slow();
    let live = evolve(&world);
    live.wait_for("run-started", 1);
    live.kill();
    for (event, times) in [("selected", 1), ("candidate-created", 4), ("candidate-evaluated", 9)] {
        let live = resume(&world);
        live.wait_for(event, times);
        live.kill();
    }
    resume(&world).end().ends(0);
    is_whole(&world);
}

/// Its journal holds chains, and never a part of one.
#[test]
fn a_run_of_policies_continues_after_ctrl_c_and_from_any_moment_at_which_it_is_killed() {
    judge();
    let world = World::slow_policies();
    let live = evolve(&world);
    live.wait_for("baseline-evaluated", 1);
    live.signal_group(Signal::SIGINT);
    live.end().ends(130).tells(&["interrupted: waiting", "stopped: interrupted", "packevolve resume --run runs/x"]);
    let run = world.read("x");
    assert!(was_interrupted(&run));
    assert_eq!(judged(&run), [CandidateId::SEED]);
    for (event, times) in [("candidate-created", 2), ("candidate-evaluated", 5)] {
        let live = resume(&world);
        live.wait_for(event, times);
        live.kill();
    }
    resume(&world).end().ends(0).tells(&["stopped: all candidates asked for were made"]);
    is_whole(&world);
    let run = world.read("x");
    let measured = |(id, _)| run.evaluation(id).unwrap().unwrap().measured().cloned();
    let all: Vec<_> = run.search.candidates().filter_map(measured).collect();
    let is_whole = |measured: &Measurement| measured.chains.iter().map(|chain| chain.steps.len()).eq([2, 2]);
    assert!(!all.is_empty() && all.iter().all(is_whole), "{all:?}");
}

#[test]
fn a_run_continues_when_a_judge_or_its_nursery_is_killed() {
    judge();
    let world = World::slow();
    let live = evolve(&world);
    live.wait_for("baseline-evaluated", 1);
    live.kill_one("packevolve-judg");
    live.wait_for("candidate-evaluated", 2);
    live.kill_one("python");
    live.end().ends(0);
    is_whole(&world);
}

#[test]
fn a_run_can_be_given_more_candidates_from_anywhere_and_a_torn_last_line_is_dropped() {
    let world = scripted::world();
    let layer =
        |layer: u64| (0..16).map(|expert| (100 + layer * 7 + expert * expert * 3).to_string()).collect::<Vec<_>>();
    world.write("loads.csv", (0..4).map(|at| layer(at).join(",") + "\n").collect::<String>());
    world.set("loads", "loads.csv");
    world.run(&["evolve", "--run", "x", "--candidates", "2"]).ends(0);
    let journal = world.path("runs/x/journal.jsonl");
    let mut torn = fs::read(&journal).unwrap();
    torn.extend_from_slice(b"{\"version\":1,\"seq\":");
    fs::write(&journal, torn).unwrap();
    let run = world.path("runs/x").display().to_string();
    let mut command = world.command(&["resume", "--run", &run, "--candidates", CANDIDATES]);
    Output::of(command.current_dir("/")).ends(0).tells(&["note: "]);
    is_whole(&world);
}

#[test]
fn another_folder_or_of_a_newer_format_is_refused_and_left_alone() {
    let world = World::new();
    world.run(&["resume", "--run", "nothing"]).ends(3).tells_one_error(&["nothing is not a run folder"]);
    world.run(&["resume"]).ends(3).tells_one_error(&["there are no runs in "]);
    fs::create_dir_all(world.path("runs/newer")).unwrap();
    world.write("runs/newer/journal.jsonl", "{\"version\":999,\"seq\":0,\"what\":\"ever\"}\n");
    for command in ["resume", "top", "log", "replay"] {
        let output = world.run(&[command, "--run", "newer"]).ends(3);
        output.tells_one_error(&[
            "newer/journal.jsonl:1: the journal has version 999",
            "hint: use the version of packevolve that wrote",
        ]);
    }
    assert_eq!(fs::read_dir(world.path("runs/newer")).unwrap().count(), 1, "something was written");
    fs::create_dir_all(world.path("runs/empty")).unwrap();
    world.write("runs/empty/journal.jsonl", "");
    world.run(&["resume", "--run", "empty"]).ends(3).tells_one_error(&["the journal is empty", "hint: "]);
}

#[test]
fn a_run_is_one_harness_at_a_time() {
    let world = scripted::world().slowed();
    let live = evolve(&world);
    live.wait_for("baseline-evaluated", 1);
    world.run(&["resume", "--run", "x"]).ends(3).tells(&["another packevolve is working on this run"]);
    live.signal(Signal::SIGINT);
    live.end().ends(130);
}

#[test]
fn a_stop_file_ends_a_run_and_is_gone_when_it_is_resumed() {
    let world = scripted::world().slowed();
    let live = evolve(&world);
    live.wait_for("baseline-evaluated", 1);
    world.write("runs/x/stop", "");
    live.end().ends(0).tells(&["stopped: the stop file was found"]);
    resume(&world).end().ends(0).tells(&["stopped: all candidates asked for were made"]);
    assert!(!world.path("runs/x/stop").exists());
}

#[test]
fn a_run_that_dies_during_pruning_continues_pruning() {
    let world = scripted::world().slowed();
    let config = fs::read_to_string(world.path("config.yaml")).unwrap();
    let pruned = config.replace("prune: {enabled: false}", "prune: {attempts: 10}");
    assert_ne!(pruned, config);
    world.write("config.yaml", pruned);
    let cut =
        |run: &Run| count(run, |event| matches!(event, Event::Selected { selection, .. } if selection.cut.is_some()));
    let live = evolve(&world);
    // The seed program is made without one.
    live.wait_for("candidate-created", 12);
    live.signal(Signal::SIGKILL);
    live.end();
    let run = world.read("x");
    assert!((1..10).contains(&cut(&run)) && run.search.stopped().is_none(), "{} cuts", cut(&run));
    resume(&world).end().ends(0);
    let run = world.read("x");
    assert_eq!(run.search.stopped(), Some(StopReason::Candidates));
    let made = run.search.pruning().made();
    assert_eq!((run.search.candidates().len() as u64 - made).to_string(), CANDIDATES);
    assert!(made > 0 && (1..=10).contains(&run.search.pruning().stats().unwrap().tried), "{made} made");
    let best = run.search.best().unwrap().candidate;
    if let Some(origin) = run.search.pruning().origin(best) {
        let size = |id| run.search.candidate(id).unwrap().size;
        assert!(size(best) <= size(origin.candidate));
    }
    world.run(&["replay", "--run", "x", "--no-evaluate"]).ends(0);
}
