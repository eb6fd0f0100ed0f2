//! `packevolve evolve`: a run from its start to its closing table.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use packevolve::run::fold::Run;
use packevolve::search::Outcome;
use packevolve::values::candidate::CandidateId;
use packevolve::values::event::{Event, Proposer, StopReason};
use packevolve_contract::objective::{Pairing, Yardstick, own_interval};
use serde_json::Value;

use crate::support::finished::{self, CANDIDATES, NAME};
use crate::support::{Output, World, count, judge, measured, scripted};

/// The five proposals that were handed to the project, by NAME.
const FIVE: [&str; 5] = [
    "vectorized_local_search_refinement",
    "vectorized_iterative_greedy",
    "vectorized_ensemble_refinement_v2",
    "batched_refinement_packing",
    "refine_packing",
];

#[test]
fn a_run_ends_with_the_candidates_asked_for_all_judged() {
    let run = measured::run();
    assert_eq!(measured::output().code, Some(0), "{}", measured::output().stderr);
    assert_eq!(run.search.candidates().len(), CANDIDATES);
    assert_eq!(run.search.tasks().count(), 0);
    assert_eq!(run.search.stopped(), Some(StopReason::Candidates));
    assert!(run.torn.is_none());
}

#[test]
fn all_five_proposals_and_their_bridges_are_applied_and_judged_in_full() {
    let run = measured::run();
    let corpus: Vec<_> = run.search.candidates().filter(|(_, known)| is_corpus(known.proposer)).collect();
    for (_, known) in &corpus {
        // Two of them draw random numbers.
        let is_scored = matches!(known.outcome, Some(Outcome::Measured(_) | Outcome::Inconsistent(Some(_))));
        assert!(is_scored, "{}: {:?}", known.name, known.outcome);
    }
    for name in FIVE {
        assert!(corpus.iter().any(|(_, known)| known.name == name), "{name} made no candidate");
    }
    assert_eq!(corpus.len(), fs::read_dir(crate::support::repository("candidates/proposals")).unwrap().count());
    assert_eq!(declined_of_corpus(run), [""; 0]);
}

fn is_corpus(proposer: Option<Proposer>) -> bool {
    matches!(proposer, Some(Proposer::Corpus(_)))
}

/// Why proposals of the corpus made no candidate. What the other proposers find depends on scores, and may be nothing.
fn declined_of_corpus(run: &Run) -> Vec<String> {
    let (mut attempts, mut reasons) = (BTreeSet::new(), Vec::new());
    for entry in run.entries().unwrap() {
        match entry.event {
            Event::Selected { attempt, selection } if is_corpus(Some(selection.proposer)) => {
                attempts.insert(attempt);
            }
            Event::ProposalDeclined { attempt, reason, .. } if attempts.contains(&attempt) => {
                reasons.push(reason.to_string());
            }
            _ => {}
        }
    }
    reasons
}

#[test]
fn the_closing_table_names_every_proposal_and_says_where_the_best_program_is() {
    let (run, output) = (measured::run(), measured::output());
    let named = |name: &str| output.stdout.lines().any(|line| line.split_whitespace().any(|word| word == name));
    assert!(named("seed") && FIVE.into_iter().all(named), "{}", output.stdout);
    let best = run.search.best().unwrap();
    let known = run.search.candidate(best.candidate).unwrap();
    let windows = best.held_out.as_ref().unwrap().measurement.rounds();
    assert!(windows >= 8, "{windows}");
    for wanted in [
        format!(
            "best: candidate {} ({}), combined_score {:.4} on held-out windows",
            best.candidate,
            known.name,
            best.reported_score()
        ),
        format!(
            "{} ({}) against the baseline, on {windows} windows that the search never saw:",
            best.candidate, known.name
        ),
        format!("commit {}", known.commit),
        format!("git --git-dir runs/{NAME}/archive.git show best:eplb.py"),
    ] {
        assert!(output.stdout.contains(&wanted), "{wanted:?} is missing:\n{}", output.stdout);
    }
    for heading in ["balanced-", "ness", "gap %", "16->4", "unit", "speed", "combined"] {
        assert!(output.stdout.contains(heading), "{heading:?} is missing:\n{}", output.stdout);
    }
}

#[test]
fn the_best_is_better_than_the_baseline_and_only_refuted_candidates_look_clearly_better() {
    let run = measured::run();
    let best = run.search.best().unwrap();
    assert!(best.reported_score() > 0.0 && best.held_out.is_some(), "{best:?}");
    let (objective, baseline) = (run.search.settings().evaluation.objective(), run.search.baseline().unwrap());
    for (id, known) in run.search.candidates().filter(|(_, known)| known.held_out.is_none()) {
        let evaluation = run.evaluation(id).unwrap().unwrap();
        if let (Some(scores), Some(measured)) = (run.search.scores_of(id), evaluation.measured()) {
            let yardstick = Yardstick { baseline, objective, pairing: Pairing::Shared };
            let uncertain = best.interval.half_width + own_interval(measured, yardstick);
            assert!(
                scores.combined_score - best.interval.score <= uncertain,
                "{} has {}",
                known.name,
                scores.combined_score
            );
        }
    }
}

#[test]
fn a_duel_is_two_events_that_the_log_tells() {
    let run = measured::run();
    let started = count(run, |event| matches!(event, Event::DuelStarted { .. }));
    assert_eq!(count(run, |event| matches!(event, Event::DuelEnded { .. })), started);
    let log = measured::world().run(&["log", "--run", NAME]).ends(0).stdout;
    assert_eq!(log.lines().filter(|line| line.contains(" in a duel, seed ")).count(), started, "{log}");
    let confirmed = run.search.candidates().filter(|(_, known)| known.held_out.as_ref().is_some_and(|it| it.confirmed));
    let shown = log.lines().filter(|line| line.contains(" is the best: ") && line.contains(" against candidate "));
    assert_eq!(shown.count(), confirmed.count(), "{log}");
}

#[test]
fn the_windows_of_a_duel_are_drawn_when_it_starts() {
    let seeds = |rng_seed: &str| {
        let world = scripted::world();
        world.run(&["evolve", "--run", "x", "--candidates", "9", "--rng-seed", rng_seed]).ends(0);
        let seed = |event: &Event| if let Event::DuelStarted { seed, .. } = event { Some(*seed) } else { None };
        world.read("x").entries().unwrap().iter().filter_map(|entry| seed(&entry.event)).collect::<Vec<_>>()
    };
    let (one, other) = (seeds("3"), seeds("3"));
    assert!(!one.is_empty() && one.len() == other.len() && one != other, "{one:?} {other:?}");
}

#[test]
fn loads_are_keyed_by_entropy_unless_the_settings_have_a_seed() {
    let world = scripted::with("judges: [{slots: 1}]\nsearch: {candidates: 1}\n");
    let loads_seed = |run: &str| {
        world.run(&["evolve", "--run", run]).ends(0);
        world.read(run).search.settings().evaluation.loads_seed
    };
    assert_eq!(loads_seed("a"), 1);
    world.set("evaluation", "{device: cpu, windows: 2, held_out_windows: 2}");
    assert_ne!(loads_seed("b"), loads_seed("c"));
}

#[test]
fn only_progress_goes_to_stderr() {
    let lines: Vec<&str> = measured::output().stderr.lines().collect();
    assert_eq!(
        (lines.first(), lines.last()),
        (Some(&"starting the judges"), Some(&"stopped: all candidates asked for were made"))
    );
    let progress = &lines[1..lines.len() - 1];
    assert!(progress.iter().any(|line| line.contains("/16  best 0.")), "{lines:?}");
    assert!(progress.iter().all(|line| line.starts_with('[')), "{lines:?}");
}

#[test]
fn runs_of_equal_seed_begin_with_equal_candidates() {
    let world = finished::world();
    world.run(&["evolve", "--run", "again", "--candidates", "9"]).ends(0);
    let (first, again) = (finished::run(), world.read("again"));
    let commit = |run: &Run, number| run.search.candidate(CandidateId(number)).map(|known| known.commit);
    for number in 0..9 {
        assert_eq!(commit(&again, number), commit(first, number), "candidate {number}");
    }
    assert_eq!(again.search.candidates().len(), 9);
}

#[test]
fn a_run_whose_time_is_used_up_ends_well() {
    let world = scripted::with("judges: [{slots: 1}]\nsearch: {candidates: 100000, wall_time: 1s}\n");
    let output = world.run(&["evolve", "--run", "short"]).ends(0).tells(&["stopped: the time of the run is used up"]);
    assert!(output.stdout.contains("best: candidate "), "{}", output.stdout);
    let run = world.read("short");
    assert_eq!(run.search.stopped(), Some(StopReason::WallTime));
    let times: Vec<f64> = run.entries().unwrap().iter().map(|entry| entry.time).collect();
    assert!(times.last().unwrap() - times[0] < Duration::from_secs(60).as_secs_f64());
}

#[test]
fn a_name_that_is_taken_is_refused_and_the_run_there_left_alone() {
    let world = finished::world();
    let journal = world.path("runs").join(NAME).join("journal.jsonl");
    let before = fs::read(&journal).unwrap();
    let output = world.run(&["evolve", "--run", NAME]).ends(3);
    assert!(!output.stderr.contains("starting the judges"), "{}", output.stderr);
    output.tells_one_error(&["runs/small is there already", "hint: "]);
    assert_eq!(fs::read(&journal).unwrap(), before);
}

#[test]
fn a_name_that_leads_elsewhere_is_refused() {
    let world = World::new();
    for name in ["", ".", "..", "a/b", "../outside"] {
        world.run(&["evolve", "--run", name]).ends(3).tells_one_error(&["cannot be the name of a run", "hint: "]);
    }
    assert!(!world.path("runs").exists());
}

#[test]
fn a_document_that_does_not_apply_is_reported_with_its_reason() {
    let world = scripted::world();
    fs::create_dir(world.path("corpus")).unwrap();
    world.write("corpus/broken.txt", "no proposal\n");
    world.set("proposers", "{corpus: corpus, compose: {enabled: false}, prune: {enabled: false}}");
    let run = ["evolve", "--run", "x", "--candidates", "2"];
    world.run(&run).ends(0).tells(&["\nnot applied: broken.txt: not a proposal: "]);
    let output = world.run(&["resume", "--run", "x", "--candidates", "3"]).ends(0);
    assert_eq!(output.stderr.matches("not applied: ").count(), 1, "{}", output.stderr);
}

#[test]
fn nothing_is_written_when_the_judge_cannot_start() {
    judge();
    let cases = [
        ("evaluation", "{python: no-such-python}", "no-such-python"),
        ("evaluation", "{python: /bin/false}", "/bin/false"),
        ("evaluation", "{device: 'cuda:99'}", "cuda:99"),
        ("loads", "no-such-loads", "there are no loads at no-such-loads"),
        ("loads", "words.csv", "words.csv"),
        ("loads", "narrow.csv", "narrow.csv"),
    ];
    for (name, value, wanted) in cases {
        let world = World::new();
        world.set(name, value);
        world.write("words.csv", "some,words\n");
        world.write("narrow.csv", "1,2\n3,4\n");
        world.run(&["evolve", "--run", "x"]).ends(3).tells_one_error(&[wanted]);
        assert!(!world.path("runs").exists(), "{name}: {value}");
    }
}

#[test]
fn nothing_is_written_when_the_judges_program_is_missing() {
    let world = World::new();
    let output = Output::of(world.lone_harness().args(["evolve", "--run", "x"])).ends(1);
    output.tells_one_error(&[
        "packevolve-judge is not beside",
        "in a checkout, `cargo build --release --workspace` makes both",
    ]);
    assert!(!world.has_run("x"));
}

/// A program that raises when it is called.
const RAISES: &str = "def balanced_packing(weight, num_packs):\n    raise ValueError('no packs')\n";

#[test]
fn a_baseline_that_is_rejected_is_reported_with_its_reason() {
    let world = World::new();
    world.write("bad.py", RAISES);
    world.set("baseline", "bad.py");
    world.run(&["evolve", "--run", "x"]).ends(4).tells_one_error(&[
        "the baseline program was rejected: it raises ValueError: no packs",
        "line 2, in balanced_packing",
        "start a new run",
    ]);
}

#[test]
fn a_seed_program_that_is_rejected_ends_the_run_at_once_with_its_reason() {
    let world = World::new();
    world.write("bad.py", RAISES);
    world.set("program", "bad.py");
    let wanted = ["the seed program was rejected: it raises ValueError: no packs", "line 2, in balanced_packing"];
    world.run(&["evolve", "--run", "x"]).ends(4).tells_one_error(&wanted);
    // The record has it, so a resumed run knows it too.
    assert!(world.run(&["show", "seed", "--run", "x"]).ends(0).stdout.contains("raises ValueError: no packs"));
    world.run(&["resume", "--run", "x"]).ends(4).tells_one_error(&wanted);
    world.run(&["fsck", "--run", "x", "--repair"]).ends(0);
}

#[test]
fn an_invalid_epoch_is_refused() {
    for epoch in ["yesterday", "-1", "9223372036854775807"] {
        let world = World::new();
        let output = Output::of(world.command(&["evolve", "--run", "x"]).env("SOURCE_DATE_EPOCH", epoch)).ends(3);
        output.tells_one_error(&["SOURCE_DATE_EPOCH"]);
        assert!(!world.has_run("x"));
    }
}

#[test]
fn settings_on_the_command_line_are_those_of_the_journal() {
    let started = measured::run().search.origin().clone();
    let value: Value = serde_json::to_value(&started.settings).unwrap();
    assert_eq!(value["search"]["candidates"], 16);
    assert_eq!(value["judges"][0]["slots"], 2);
    assert_eq!(started.epoch.to_string(), crate::support::EPOCH);
}
