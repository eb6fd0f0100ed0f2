//! Golden runs: a finished run of every version of the journal, as a harness of that version left it. They stay for
//! good: whoever has a run of an old version can read it and make it again.
//!
//! A folder of `testdata/golden` holds the journal, and the archive with its objects packed. The ignored test at the end
//! makes the one of the present version; a version that was released is never made again.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use packevolve::archive::Repository;
use packevolve::journal;
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

/// The folder of the version that is written now.
fn newest() -> PathBuf {
    golden().join(format!("v{}", journal::VERSION))
}

/// The runs of all versions.
fn runs() -> Vec<PathBuf> {
    (1..=journal::VERSION).map(|version| golden().join(format!("v{version}"))).collect()
}

fn open(folder: &Path) -> (Run, Repository) {
    let run = Run::open(RunFolder::new(folder.to_owned())).unwrap_or_else(|error| panic!("{error}"));
    let repository = Repository::open(&run.folder.archive()).unwrap();
    (run, repository)
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
    for folder in runs() {
        let (run, repository) = open(&folder);
        assert_eq!(run.torn, None);
        let steps = replay::whole(&run, &repository).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        assert_eq!(steps.len(), run.search.candidates().len());
        let best = run.search.best().unwrap().candidate;
        assert_eq!(repository.best().unwrap(), run.search.candidate(best).map(|known| known.commit));
    }
}

#[test]
fn the_commands_that_need_no_torch_read_golden_runs_from_anywhere() {
    for folder in runs() {
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
    for folder in runs() {
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

/// `cargo test --release --workspace -- --ignored golden_run_of_this_version`, with git, and torch in `.venv`.
#[test]
#[ignore = "replaces the golden run of this version, which is for good once it was released"]
fn makes_the_golden_run_of_this_version() {
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
    let git = |arguments: &[&str]| run("git", &made.join("archive.git"), arguments);
    // Few files. What is reachable from no ref goes: the journal names none of it, or the tests above fail.
    git(&["-c", "repack.writeBitmaps=false", "-c", "pack.writeReverseIndex=false", "repack", "-adq"]);
    git(&["prune", "--expire=now"]);
    git(&["fsck", "--strict"]);
    fs::remove_dir_all(made.join("archive.git/hooks")).unwrap();
    let _ = fs::remove_dir_all(newest());
    copy(&made.join("archive.git"), &newest().join("archive.git"));
    fs::copy(made.join("journal.jsonl"), newest().join("journal.jsonl")).unwrap();
}
