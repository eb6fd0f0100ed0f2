//! `packevolve top`, `show` and `log`: a run, looked at.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::Stdio;

use packevolve::view::inspect;
use serde_json::Value;

use crate::support::finished::{self, NAME};
use crate::support::{Output, World};

#[test]
fn top_lists_the_best_first_and_marks_the_best() {
    let world = finished::world();
    let run = finished::run();
    let rows = world.run(&["top", "--run", NAME, "--format", "json"]).ends(0).json()["candidates"].clone();
    let wanted = inspect::top(&run.search, 10);
    assert_eq!(rows, serde_json::to_value(&wanted).unwrap());
    let scores: Vec<f64> = wanted.iter().map(|row| row.scores.as_ref().unwrap().combined_score).collect();
    assert!(scores[..10].is_sorted_by(|a, b| a >= b), "{scores:?}");
    let best = run.search.best().unwrap().candidate;
    assert_eq!(wanted.iter().filter(|row| row.candidate == best).count(), 1);
    let table = world.run(&["top", "--run", NAME, "-n", "3"]).ends(0).stdout;
    let shown: Vec<String> = inspect::top(&run.search, 3)
        .iter()
        .map(|row| format!("{}{}", if row.candidate == best { "*" } else { "" }, row.candidate))
        .collect();
    let lines = table.lines().filter_map(|line| line.split_whitespace().next());
    let marked: Vec<&str> = lines.filter(|word| word.trim_start_matches('*').parse::<u64>().is_ok()).collect();
    assert_eq!(marked, shown, "{table}");
}

/// A field that goes or gets another name breaks scripts: the version of the shape has to rise with it.
#[test]
fn a_row_of_json_has_the_fields_that_scripts_rely_on() {
    let rows = finished::world().run(&["top", "--run", NAME, "--format", "json"]).ends(0).json()["candidates"].clone();
    let fields = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>().join(" ");
    assert_eq!(
        fields(&rows[0]),
        "candidate commit doubtful duels held_out inconsistencies name outcome parents partial proposer scores"
    );
    let scores = &rows[0]["scores"];
    assert_eq!(
        fields(scores),
        "balancedness_score cases combined_score normalised_unit_seconds quality rebalance speed_score \
         unit_seconds"
    );
    assert_eq!(
        fields(&scores["cases"][0]),
        "balancedness case gap next_balancedness normalised_quartiles normalised_seconds quality seconds \
         seconds_quartiles speedup windows worst_row_gap"
    );
}

#[test]
fn a_candidate_is_found_by_number_name_commit_prefix_and_as_the_best() {
    let world = finished::world();
    let run = finished::run();
    let (id, known) = run.search.candidates().find(|(_, known)| known.name == "refine_packing").unwrap();
    let commit = known.commit.to_string();
    for name in [&id.to_string(), "refine_packing", &commit, &commit[..10]] {
        let output = world.run(&["show", name, "--run", NAME]).ends(0);
        assert!(output.stdout.starts_with(&format!("candidate {id}: refine_packing\n")), "{}", output.stdout);
    }
    let best = run.search.best().unwrap().candidate;
    let shown = world.run(&["show", "best", "--run", NAME, "--format", "json"]).ends(0).json();
    assert_eq!(shown["candidate"], best.0);
}

#[test]
fn show_tells_origin_scores_and_proposal_of_a_candidate() {
    let world = finished::world();
    let output = world.run(&["show", "refine_packing"]).ends(0).stdout;
    for wanted in [
        "an edit of 0 (seed), proposed by corpus",
        "commit ",
        "balancedness_score ",
        "quartiles",
        "consistent: ",
        "<<<<<<< SEARCH",
    ] {
        assert!(output.contains(wanted), "{wanted:?} is missing:\n{output}");
    }
    let json = world.run(&["show", "refine_packing", "--format", "json"]).ends(0).json();
    for field in ["candidate", "name", "commit", "selection", "proposal", "evaluation", "scores"] {
        assert!(json.get(field).is_some(), "{field}");
    }
    let seed = world.run(&["show", "0"]).ends(0).stdout;
    assert!(seed.starts_with("candidate 0: seed\ncommit ") && !seed.contains("an edit of"), "{seed}");
}

#[test]
fn show_prints_the_program_to_the_byte() {
    let output = finished::world().run(&["show", "0", "--run", NAME, "--program"]).ends(0);
    assert_eq!(output.stdout, crate::support::text_of("candidates/eplb.py"));
}

#[test]
fn a_run_is_named_by_name_or_folder_and_is_the_newest_without_one() {
    let world = finished::world();
    let shown = world.run(&["show", "best", "--run", NAME]).ends(0).stdout;
    for run in [&[][..], &["--run", "runs/small"], &["--run", "runs/small/"], &["--runs", "runs"]] {
        assert_eq!(world.run(&[&["show", "best"], run].concat()).ends(0).stdout, shown, "{run:?}");
    }
}

#[test]
fn an_unknown_name_is_reported_with_a_similar_one() {
    let world = finished::world();
    let output = world.run(&["show", "refine_paking"]).ends(3);
    output.tells_one_error(&["no candidate \"refine_paking\"", "hint: did you mean `refine_packing`?"]);
    world.run(&["show", "16"]).ends(3).tells_one_error(&["no candidate \"16\" in this run: 16 candidates, 0 to 15"]);
    world.run(&["show", "3", "--run", "elsewhere"]).ends(3).tells_one_error(&["elsewhere is not a run folder"]);
    world
        .run(&["top", "--run", "candidates"])
        .ends(3)
        .tells_one_error(&["candidates is not a run folder: it has no journal.jsonl"]);
    World::new().run(&["log"]).ends(3).tells_one_error(&["there are no runs in "]);
}

#[test]
fn the_log_has_a_line_for_every_event_in_order() {
    let world = finished::world();
    let events = finished::run().entries().unwrap().len();
    let table = world.run(&["log"]).ends(0).stdout;
    assert_eq!(table.lines().count(), events, "{table}");
    assert!(table.lines().next().unwrap().contains("started from eplb.py"), "{table}");
    assert!(table.lines().last().unwrap().ends_with("stopped: all candidates asked for were made"), "{table}");
    let json = world.run(&["log", "--format", "json"]).ends(0).stdout;
    assert_eq!(json.lines().count(), events);
    for (seq, line) in json.lines().enumerate() {
        let event: Value = serde_json::from_str(line).unwrap();
        assert_eq!(event["seq"], seq);
        assert!(event["event"]["type"].is_string() && event["time"].is_number(), "{event}");
    }
}

#[test]
fn a_full_disk_is_an_error_and_a_closed_pipe_is_not() {
    let world = finished::world();
    let mut log = world.command(&["log", "--format", "json"]);
    let mut process = log.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::with_capacity(16, process.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let output = process.wait_with_output().unwrap();
    assert_eq!((output.status.code(), String::from_utf8(output.stderr).unwrap().as_str()), (Some(0), ""));
    let full = fs::File::options().write(true).open("/dev/full").unwrap();
    Output::of(world.command(&["top"]).stdout(full)).ends(1).tells_one_error(&["cannot write to stdout"]);
}

#[test]
fn a_journal_that_ends_in_the_middle_of_a_line_is_read_with_a_note() {
    let world = finished::world();
    let journal = world.path("runs/small/journal.jsonl");
    let bytes = fs::read(&journal).unwrap();
    fs::write(&journal, &bytes[..bytes.len() - 10]).unwrap();
    let output = world.run(&["log"]).ends(0).tells(&["note: "]);
    assert_eq!(output.stdout.lines().count(), finished::run().entries().unwrap().len() - 1);
}
