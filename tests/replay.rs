//! `packevolve replay`: is the record what it says? And if one byte of it is not, what is named?

use std::fs;
use std::path::{Path, PathBuf};

use packevolve::values::candidate::CandidateId;
use serde_json::{Value, json};

use crate::support::finished::{self, NAME};
use crate::support::{Output, forged as journals, measured};

#[test]
fn the_best_is_made_again_and_measured_again() {
    let output = measured::world().run(&["replay", "best", "--run", NAME]);
    // A machine that runs tests keeps no speed.
    assert!(matches!(output.code, Some(0 | 6)), "{output:?}");
    let best = measured::run().search.best().unwrap().candidate;
    let commit = measured::run().search.candidate(best).unwrap().commit.short().to_string();
    assert!(output.stdout.contains(&commit), "{}", output.stdout);
    assert!(output.stdout.contains("programs and commit ids are reproduced"), "{}", output.stdout);
    let shown = output.stdout.split_once("balancedness and gaps are reproduced to the last digit in ");
    let calls = shown.and_then(|(_, rest)| rest.split(' ').next()?.parse().ok()).unwrap_or(0);
    // Two windows of four cases, of the search and held out, and the pairs that were void both times.
    assert!(calls >= 16, "{}", output.stdout);
}

#[test]
fn the_whole_run_is_made_again_by_the_same_decisions() {
    let output = finished::world().run(&["replay", "--run", NAME]).ends(0);
    assert!(output.stdout.contains("16 candidates: every decision"), "{}", output.stdout);
    assert_eq!(output.stderr, "");
}

#[test]
fn replaying_writes_nothing() {
    let world = finished::world();
    let before = listing(&world.path("runs"));
    world.run(&["replay", "--run", NAME]).ends(0);
    world.run(&["replay", "best", "--run", NAME, "--no-evaluate"]).ends(0);
    assert_eq!(listing(&world.path("runs")), before);
}

fn listing(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut all = Vec::new();
    for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if path.is_dir() {
            all.extend(listing(&path));
        } else {
            all.push((path.clone(), fs::read(path).unwrap()));
        }
    }
    all.sort();
    all
}

#[test]
fn without_torch_python_and_judge_a_run_can_be_read_and_its_record_checked() {
    let world = finished::world();
    let lone = |arguments: &[&str]| Output::of(world.lone_harness().args(arguments));
    fs::remove_file(world.path("config.yaml")).unwrap();
    for arguments in [&["log"][..], &["top"], &["show", "best"], &["replay", "best", "--run", NAME, "--no-evaluate"]] {
        let output = lone(arguments).ends(0);
        assert!(!output.stdout.is_empty(), "{arguments:?}");
    }
    lone(&["replay", "--run", NAME, "--no-evaluate"]).ends(0);
    lone(&["replay", "best", "--run", NAME]).ends(1).tells(&["packevolve-judge is not beside"]);
}

#[test]
fn a_changed_byte_of_the_journal_is_found_with_its_line() {
    let lines = fs::read(finished::world().path("runs/small/journal.jsonl")).unwrap();
    let lines: Vec<&[u8]> = lines.split_inclusive(|byte| *byte == b'\n').collect();
    for (number, line) in lines.iter().enumerate() {
        let world = finished::world();
        let mut changed: Vec<Vec<u8>> = lines.iter().map(|line| line.to_vec()).collect();
        // A digit in its middle, which stays a digit: everything still parses.
        let at = (line.len() / 2..line.len()).find(|at| line[*at].is_ascii_digit()).unwrap();
        changed[number][at] = if line[at] == b'1' { b'2' } else { b'1' };
        fs::write(world.path("runs/small/journal.jsonl"), changed.concat()).unwrap();
        let place = format!("runs/small/journal.jsonl:{}: ", number + 1);
        world.run(&["replay", "best", "--run", NAME]).ends(5).tells_one_error(&[&place, "was changed"]);
    }
}

#[test]
fn a_missing_line_of_the_journal_is_found() {
    let world = finished::world();
    let text = fs::read_to_string(world.path("runs/small/journal.jsonl")).unwrap();
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let without = [&lines[..7], &lines[8..]].concat().concat();
    world.write("runs/small/journal.jsonl", without);
    world.run(&["replay", "--run", NAME]).ends(5).tells_one_error(&["journal.jsonl:8: "]);
    world.run(&["top", "--run", NAME]).ends(3).tells_one_error(&["journal.jsonl:8: "]);
}

#[test]
fn a_journal_with_a_torn_last_line_is_not_reproduced() {
    let world = finished::world();
    let mut journal = fs::read(world.path("runs/small/journal.jsonl")).unwrap();
    journal.truncate(journal.len() - 9);
    world.write("runs/small/journal.jsonl", journal);
    for arguments in [&["replay", "--run", NAME][..], &["replay", "best", "--run", NAME, "--no-evaluate"]] {
        let output = world.run(arguments).ends(5);
        output.tells_one_error(&["note: line ", "the last line of runs/small/journal.jsonl is unfinished"]);
    }
    world.run(&["top", "--run", NAME]).ends(0);
}

/// Changes the samples of the best candidate, with digests that are right; what `replay` says to it as a whole and to
/// the candidate.
fn forged(change: impl Fn(&mut Value)) -> (Output, Output) {
    let world = finished::world();
    let path = world.path("runs/small/journal.jsonl");
    let best = finished::run().search.best().unwrap().candidate;
    let mut events = journals::events(&path);
    let is_its =
        |event: &&mut Value| event["type"] == "candidate-evaluated" && event["data"]["candidate"] == json!(best);
    let evaluation = &mut events.iter_mut().find(is_its).unwrap()["data"]["evaluation"]["data"];
    let cases = evaluation["measurement"]["cases"].as_array_mut().unwrap();
    cases.iter_mut().flat_map(|case| case["samples"].as_array_mut().unwrap()).for_each(change);
    journals::write(&path, &events);
    (world.run(&["replay", "--run", NAME]), world.run(&["replay", "best", "--run", NAME]))
}

#[test]
fn a_number_that_nothing_was_decided_by_is_found_by_a_second_measurement() {
    let (whole, candidate) = forged(|sample| sample[4] = json!(0.125));
    whole.ends(0);
    let shown = candidate.ends(5).stdout;
    for words in ["balancedness or gaps have MOVED", "worst gap of a row of ", "the record has 0.125, replay gives "] {
        assert!(shown.contains(words), "{words:?} is missing:\n{shown}");
    }
}

#[test]
fn an_unknown_candidate_is_a_mistake_and_no_divergence() {
    let world = finished::world();
    world
        .run(&["replay", "999", "--run", NAME])
        .ends(3)
        .tells_one_error(&["no candidate \"999\"", "16 candidates, 0 to 15"]);
    world.run(&["replay", "best", "--run", "nothing"]).ends(3).tells_one_error(&["nothing is not a run folder"]);
}

#[test]
fn every_candidate_is_made_again_by_itself() {
    let world = finished::world();
    for number in 0..finished::CANDIDATES as u64 {
        let output = world.run(&["replay", &CandidateId(number).to_string(), "--run", NAME, "--no-evaluate"]).ends(0);
        assert!(output.stdout.starts_with("     0  "), "{}", output.stdout);
    }
}

#[test]
fn a_run_is_replayed_shown_and_exported_without_its_archive() {
    let world = finished::world();
    fs::remove_dir_all(world.path("runs").join(NAME).join("archive.git")).unwrap();
    for command in [&["replay", "--no-evaluate"][..], &["show", "best"], &["diff", "seed", "best"], &["lineage"]] {
        world.run(&[command, &["--run", NAME]].concat()).ends(0);
    }
}
