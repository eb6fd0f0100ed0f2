//! The golden runs, one of each target: finished runs that a harness with the real judge left, so that a change of the
//! journal's format or of a decision does not pass unseen. From the first release on, every version of the journal keeps
//! them.
//!
//! The ignored tests at the end make them again.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use packevolve::run::fold::Run;
use packevolve::run::folder::RunFolder;
use packevolve::run::replay;

use crate::support::{World, copy, judge, repository};

const PACKING: &str = "golden";
const POLICIES: &str = "golden-policies";
const BOTH: [&str; 2] = [PACKING, POLICIES];

/// What can happen in a run of either target.
const WORDS: [&str; 15] = [
    "run-started",
    "baseline-evaluated",
    "duel-started",
    "duel-ended",
    "selected",
    "candidate-created",
    "candidate-evaluated",
    "measured",
    "inconsistent",
    "rejected",
    "proposal-declined",
    "does-not-apply",
    "no-match",
    "run-stopped",
    "run-resumed",
];
/// What can happen in a run of packing alone, or happens too rarely in one of policies.
const WORDS_OF_PACKING: [&str; 5] = ["outclassed", "exception", "unreadable", "duplicate", "elsewhere"];
/// What happens in a run of policies alone.
const WORDS_OF_POLICIES: [&str; 2] = ["invalid-rebalance", "plans-elsewhere"];

fn folder(name: &str) -> PathBuf {
    repository("tests/testdata").join(name)
}

fn journal(name: &str) -> String {
    fs::read_to_string(folder(name).join("journal.jsonl")).unwrap()
}

#[test]
fn every_decision_proposal_and_commit_of_the_golden_runs_is_made_again() {
    for name in BOTH {
        let run = Run::open(RunFolder::new(folder(name))).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(run.torn, None);
        let steps = replay::whole(&run).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(steps.len(), run.search.candidates().len());
        assert!(run.search.best().is_some());
    }
}

#[test]
fn the_commands_that_need_no_torch_read_the_golden_runs_from_anywhere() {
    let elsewhere = World::new();
    for path in BOTH.map(|name| folder(name).display().to_string()) {
        for arguments in [
            &["replay", "--run", &path, "--no-evaluate"][..],
            &["replay", "best", "--run", &path, "--no-evaluate"],
            &["log", "--run", &path],
            &["top", "--run", &path],
            &["show", "best", "--run", &path],
            &["report", "--run", &path, "-o", "-"],
        ] {
            assert!(!elsewhere.run(arguments).ends(0).stdout.is_empty(), "{arguments:?}");
        }
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
fn the_golden_runs_hold_all_that_can_happen() {
    for (name, own) in [(PACKING, &WORDS_OF_PACKING[..]), (POLICIES, &WORDS_OF_POLICIES)] {
        let journal = journal(name);
        let words = words(&journal);
        for word in WORDS.iter().chain(own) {
            assert!(words.contains(word), "{name}: no {word} among {words:?}");
        }
    }
}

#[test]
fn the_golden_run_of_policies_holds_chains_and_policies_that_were_composed() {
    let run = Run::open(RunFolder::new(folder(POLICIES))).unwrap();
    let baseline = run.search.baseline().unwrap();
    assert!(baseline.cases.is_empty() && baseline.chains.iter().all(|chain| chain.steps.len() == 2), "{baseline:?}");
    assert!(run.search.candidates().any(|(_, known)| known.name.starts_with("compose_policy")));
}

/// A world with the settings and the corpus of a golden run, and with what both take from the repository.
fn world(name: &str) -> World {
    judge();
    let world = World::new();
    fs::copy(folder(name).join("config.yaml"), world.path("config.yaml")).unwrap();
    for program in ["eplb.py", "policy.py"] {
        fs::copy(repository("candidates").join(program), world.path(program)).unwrap();
    }
    copy(&folder(name).join("corpus"), &world.path("corpus"));
    copy(&repository("candidates/blocks"), &world.path("blocks"));
    world
}

/// Makes a run the golden one that had its `first` candidates before it was resumed.
fn record(world: &World, name: &str, [first, all]: [&str; 2]) {
    world.run(&["evolve", "--run", "golden", "--candidates", first]).ends(0);
    world.run(&["resume", "--run", "golden", "--candidates", all]).ends(0);
    fs::copy(world.path("runs/golden/journal.jsonl"), folder(name).join("journal.jsonl")).unwrap();
}

/// `cargo test --release --workspace -- --ignored makes_the_golden_run_of_packing`, with torch in `.venv`.
#[test]
#[ignore = "replaces the golden run"]
fn makes_the_golden_run_of_packing() {
    let world = world(PACKING);
    copy(&repository("candidates/proposals"), &world.path("corpus"));
    record(&world, PACKING, ["30", "36"]);
}

/// `cargo test --release --workspace -- --ignored makes_the_golden_run_of_policies`, with torch and Numba in `.venv`.
#[test]
#[ignore = "replaces the golden run"]
fn makes_the_golden_run_of_policies() {
    record(&world(POLICIES), POLICIES, ["6", "7"]);
}
