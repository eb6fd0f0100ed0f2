//! The golden run: a finished run that a harness with the real judge left, so that a change of the journal's format or of a
//! decision does not pass unseen. From the first release on, every version of the journal keeps one.
//!
//! The ignored test at the end makes it anew.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use packevolve::run::fold::Run;
use packevolve::run::folder::RunFolder;
use packevolve::run::replay;
use tempfile::TempDir;

/// The harness; in a workspace that was built whole, its judge lies beside it.
const PACKEVOLVE: &str = env!("CARGO_BIN_EXE_packevolve");

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn golden() -> PathBuf {
    root().join("tests/testdata/golden")
}

fn open(folder: &Path) -> Run {
    Run::open(RunFolder::new(folder.to_owned())).unwrap_or_else(|error| panic!("{error}"))
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if from.is_dir() { copy(&from, &to) } else { fs::copy(from, to).map(drop).unwrap() }
    }
}

/// Runs a command that must succeed, with nothing of ours in its environment; what it printed.
fn run(program: &str, folder: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new(program);
    command.current_dir(folder).args(arguments).env_clear().env("HOME", folder);
    command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command.env("SOURCE_DATE_EPOCH", "1700000000");
    let output = command.output().unwrap_or_else(|error| panic!("{program}: {error}"));
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {}\n{told}", output.status);
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn every_decision_proposal_and_commit_of_a_golden_run_is_made_again() {
    for folder in [golden()] {
        let run = open(&folder);
        assert_eq!(run.torn, None);
        let steps = replay::whole(&run).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        assert_eq!(steps.len(), run.search.candidates().len());
        assert!(run.search.best().is_some());
    }
}

#[test]
fn the_commands_that_need_no_torch_read_golden_runs_from_anywhere() {
    for folder in [golden()] {
        let elsewhere = TempDir::new().unwrap();
        let path = folder.to_str().unwrap();
        for arguments in [
            &["replay", "--run", path, "--no-evaluate"][..],
            &["replay", "best", "--run", path, "--no-evaluate"],
            &["log", "--run", path],
            &["top", "--run", path],
            &["show", "best", "--run", path],
        ] {
            assert!(!run(PACKEVOLVE, elsewhere.path(), arguments).is_empty(), "{arguments:?}");
        }
        assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 0, "something was written");
    }
}

/// The words that tell kinds of events, outcomes and reasons apart, in the whole of a journal.
fn words(journal: &str) -> BTreeSet<String> {
    let keys = ["\"type\":\"", "\"outcome\":\"", "\"kind\":\""];
    let after = keys.iter().flat_map(|key| journal.split(key).skip(1));
    after.map(|rest| rest.split('"').next().unwrap().to_owned()).collect()
}

#[test]
fn a_golden_run_holds_all_that_can_happen() {
    for folder in [golden()] {
        let words = words(&fs::read_to_string(folder.join("journal.jsonl")).unwrap());
        for word in [
            "run-started",
            "baseline-evaluated",
            "baseline-held-out",
            "confirmed",
            "selected",
            "candidate-created",
            "candidate-evaluated",
            "measured",
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
            assert!(words.contains(word), "{}: no {word} among {words:?}", folder.display());
        }
    }
}

/// `cargo test --release --workspace -- --ignored makes_the_golden_run`, with git, and torch in `.venv`.
#[test]
#[ignore = "replaces the golden run"]
fn makes_the_golden_run() {
    let place = TempDir::new().unwrap();
    let place = place.path();
    fs::copy(golden().join("config.yaml"), place.join("config.yaml")).unwrap();
    fs::copy(root().join("candidates/eplb.py"), place.join("eplb.py")).unwrap();
    copy(&golden().join("corpus"), &place.join("corpus"));
    copy(&root().join("candidates/proposals"), &place.join("corpus"));
    copy(&root().join("candidates/blocks"), &place.join("blocks"));
    run(PACKEVOLVE, place, &["evolve", "--run", "golden", "--candidates", "30"]);
    run(PACKEVOLVE, place, &["resume", "--run", "golden", "--candidates", "36"]);
    let made = place.join("runs/golden");
    fs::copy(made.join("journal.jsonl"), golden().join("journal.jsonl")).unwrap();
}
