//! The golden run: a finished run that a harness with the real judge left, so that a change of the journal's format or
//! of a decision does not pass unseen. From the first release on, every version of the journal keeps one.
//!
//! The ignored test at the end makes it again.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use packevolve::run::fold::Run;
use packevolve::run::folder::RunFolder;
use packevolve::run::replay;

use crate::support::{World, copy, judge, repository};

fn golden() -> PathBuf {
    repository("tests/testdata/golden")
}

#[test]
fn every_decision_proposal_and_commit_of_the_golden_run_is_made_again() {
    let run = Run::open(RunFolder::new(golden())).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(run.torn, None);
    let steps = replay::whole(&run).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(steps.len(), run.search.candidates().len());
    assert!(run.search.best().is_some());
}

#[test]
fn the_commands_that_need_no_torch_read_the_golden_run_from_anywhere() {
    let elsewhere = World::new();
    let path = golden().display().to_string();
    for arguments in [
        &["replay", "--run", &path, "--no-evaluate"][..],
        &["replay", "best", "--run", &path, "--no-evaluate"],
        &["log", "--run", &path],
        &["top", "--run", &path],
        &["show", "best", "--run", &path],
    ] {
        assert!(!elsewhere.run(arguments).ends(0).stdout.is_empty(), "{arguments:?}");
    }
    assert_eq!(fs::read_dir(elsewhere.path("")).unwrap().count(), 1, "only the settings are there");
}

/// The words of a journal that tell apart kinds of events, outcomes and reasons.
fn words(journal: &str) -> BTreeSet<&str> {
    let keys = ["\"type\":\"", "\"outcome\":\"", "\"kind\":\""];
    let after = keys.iter().flat_map(|key| journal.split(key).skip(1));
    after.filter_map(|rest| rest.split('"').next()).collect()
}

#[test]
fn the_golden_run_holds_all_that_can_happen() {
    let journal = fs::read_to_string(golden().join("journal.jsonl")).unwrap();
    let words = words(&journal);
    for word in [
        "run-started",
        "baseline-evaluated",
        "duel-started",
        "duel-ended",
        "selected",
        "candidate-created",
        "candidate-evaluated",
        "measured",
        "inconsistent",
        "outclassed",
        "rejected",
        "exception",
        "proposal-declined",
        "unreadable",
        "does-not-apply",
        "no-match",
        "duplicate",
        "run-stopped",
        "run-resumed",
    ] {
        assert!(words.contains(word), "no {word} among {words:?}");
    }
}

/// `cargo test --release --workspace -- --ignored makes_the_golden_run`, with torch in `.venv`.
#[test]
#[ignore = "replaces the golden run"]
fn makes_the_golden_run() {
    judge();
    let world = World::new();
    fs::copy(golden().join("config.yaml"), world.path("config.yaml")).unwrap();
    fs::copy(repository("candidates/eplb.py"), world.path("eplb.py")).unwrap();
    copy(&golden().join("corpus"), &world.path("corpus"));
    copy(&repository("candidates/proposals"), &world.path("corpus"));
    copy(&repository("candidates/blocks"), &world.path("blocks"));
    world.run(&["evolve", "--run", "golden", "--candidates", "30"]).ends(0);
    world.run(&["resume", "--run", "golden", "--candidates", "36"]).ends(0);
    fs::copy(world.path("runs/golden/journal.jsonl"), golden().join("journal.jsonl")).unwrap();
}
