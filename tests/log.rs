//! `packevolve log -f` and `--candidate`: a live run, and what happened to one of its candidates.

use std::fs::{self, OpenOptions};
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdout, Stdio};

use packevolve::run::fold::Run;
use packevolve::run::folder::RunFolder;
use packevolve::search::Outcome;
use packevolve::values::event::{Event, Proposer};
use packevolve_contract::evaluation::Evaluation;

use crate::support::World;
use crate::support::finished::{self, NAME};

/// `log -f` of a run whose journal the test writes.
struct Following {
    process: Child,
    lines: BufReader<ChildStdout>,
}

impl Following {
    fn start(world: &World, arguments: &[&str]) -> Self {
        let mut command = world.command(&[&["log", "-f", "--run", NAME], arguments].concat());
        let mut process = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap());
        Self { process, lines }
    }

    /// Waits for the next line.
    fn line(&mut self) -> String {
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        line
    }

    /// The rest, its exit code and stderr.
    fn end(mut self) -> (Vec<String>, Option<i32>, String) {
        let rest = self.lines.by_ref().lines().map(|line| line.unwrap() + "\n").collect();
        let output = self.process.wait_with_output().unwrap();
        (rest, output.status.code(), String::from_utf8(output.stderr).unwrap())
    }
}

/// The lines of the finished run's journal.
fn journal(world: &World) -> Vec<Vec<u8>> {
    let bytes = fs::read(world.path("runs/small/journal.jsonl")).unwrap();
    bytes.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect()
}

fn append(world: &World, bytes: &[u8]) {
    let mut file = OpenOptions::new().append(true).open(world.path("runs/small/journal.jsonl")).unwrap();
    file.write_all(bytes).unwrap();
}

#[test]
fn a_run_is_followed_line_by_line_to_its_end() {
    let world = finished::world();
    let whole = world.run(&["log", "--run", NAME]).ends(0).stdout;
    let lines = journal(&world);
    world.write("runs/small/journal.jsonl", lines[..3].concat());
    let mut following = Following::start(&world, &[]);
    let mut heard: Vec<String> = (0..3).map(|_| following.line()).collect();
    // Half of a line is waited for.
    append(&world, &lines[3][..20]);
    append(&world, &lines[3][20..]);
    heard.push(following.line());
    let (middle, last) = lines[4..].split_at(lines.len() - 5);
    append(&world, &middle.concat()[..middle.concat().len() - 7]);
    append(&world, &middle.concat()[middle.concat().len() - 7..]);
    heard.extend(middle.iter().map(|_| following.line()));
    append(&world, &last.concat());
    let (rest, code, notes) = following.end();
    heard.extend(rest);
    assert_eq!((code, notes.as_str()), (Some(0), ""));
    assert_eq!(heard.len(), whole.lines().count());
    assert!(heard.last().unwrap().ends_with("stopped: all candidates asked for were made\n"), "{heard:?}");
}

#[test]
fn a_stopped_run_is_printed_and_a_resumed_one_is_followed_further() {
    let world = finished::world();
    let whole = world.run(&["log", "--run", NAME, "--format", "json"]).ends(0).stdout;
    let (lines, code, _) = Following::start(&world, &["--format", "json"]).end();
    assert_eq!((lines.concat(), code), (whole, Some(0)));
    // The stop in the middle ends nothing.
    world.run(&["resume", "--run", NAME]).ends(0);
    let resumed = world.run(&["log", "--run", NAME]).ends(0).stdout;
    assert!(resumed.lines().filter(|line| line.contains("  stopped: ")).count() == 2, "{resumed}");
    let (lines, code, _) = Following::start(&world, &[]).end();
    assert_eq!((lines.len(), code), (resumed.lines().count(), Some(0)));
}

#[test]
fn a_follower_whose_reader_goes_ends_too() {
    let world = finished::world();
    let lines = journal(&world);
    world.write("runs/small/journal.jsonl", lines[..3].concat());
    let mut following = Following::start(&world, &[]);
    following.line();
    drop(following.lines);
    // No event comes any more, so that only looking at the pipe can tell.
    let output = following.process.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stderr.len()), (Some(0), 0));
}

#[test]
fn a_run_without_a_live_process_is_followed_with_a_note() {
    let world = finished::world();
    let lines = journal(&world);
    world.write("runs/small/journal.jsonl", lines[..3].concat());
    let mut following = Following::start(&world, &[]);
    let mut notes = BufReader::new(following.process.stderr.take().unwrap());
    let mut note = String::new();
    notes.read_line(&mut note).unwrap();
    assert!(note.starts_with("note: no process on this machine is running "), "{note}");
    append(&world, &lines[3..].concat());
    let (heard, code, _) = following.end();
    assert_eq!((heard.len(), code), (lines.len(), Some(0)));
}

#[test]
fn a_damaged_line_ends_the_following_with_its_number() {
    let world = finished::world();
    let mut lines = journal(&world);
    world.write("runs/small/journal.jsonl", lines[..3].concat());
    let mut following = Following::start(&world, &[]);
    following.line();
    let at = lines[3].iter().rposition(u8::is_ascii_digit).unwrap();
    lines[3][at] = if lines[3][at] == b'1' { b'2' } else { b'1' };
    append(&world, &lines[3]);
    let (_, code, notes) = following.end();
    assert_eq!(code, Some(3), "{notes}");
    assert!(notes.contains("journal.jsonl:4: "), "{notes}");
}

#[test]
fn of_one_candidate_there_is_its_attempt_its_making_and_its_judgement() {
    let world = finished::world();
    let run = finished::run();
    for (id, known) in run.search.candidates().filter(|(_, known)| known.proposer.is_some()) {
        let log = world.run(&["log", "--run", NAME, "--candidate", &id.to_string()]).ends(0).stdout;
        let lines: Vec<&str> = log.lines().collect();
        // Those of the corpus that are measured are so twice: on one window of each case, and in full.
        let is_measured = !matches!(known.outcome, Some(Outcome::Rejected));
        let verdicts = if is_measured && matches!(known.proposer, Some(Proposer::Corpus(_))) { 2 } else { 1 };
        assert_eq!(lines.len(), 2 + verdicts + 2 * known.duels.len(), "{log}");
        assert!(lines[0].contains(": attempt ") || lines[0].contains("  attempt "), "{log}");
        assert!(lines[1].contains(&format!("candidate {id} [{}] made by attempt ", known.commit.short())), "{log}");
        assert!(lines[2..].iter().all(|line| line.contains(&format!("candidate {id} "))), "{log}");
    }
    world.run(&["log", "--run", NAME, "--candidate", "99"]).ends(3).tells_one_error(&["no candidate \"99\""]);
    world.run(&["log", "-f", "--candidate", "1"]).ends(2);
}

#[test]
fn rejected_candidates_are_listed_with_their_whole_reasons() {
    let world = finished::world();
    let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/testdata/golden");
    let run = Run::open(RunFolder::new(golden.into())).unwrap();
    let rejection = |event: &Event| match event {
        Event::CandidateEvaluated { candidate, evaluation: Evaluation::Rejected { rejection, .. }, .. } => {
            Some(format!("candidate {candidate} rejected: it {rejection}"))
        }
        _ => None,
    };
    let rejected: Vec<String> = run.entries().unwrap().iter().filter_map(|entry| rejection(&entry.event)).collect();
    assert!(rejected.len() > 3, "{rejected:?}");
    for arguments in [&["log", "--run", golden, "--rejected"][..], &["log", "-f", "--run", golden, "--rejected"]] {
        let log = world.run(arguments).ends(0).stdout;
        assert_eq!(log.lines().count(), rejected.len(), "{log}");
        for (line, reason) in log.lines().zip(&rejected) {
            assert!(line.contains(reason.lines().next().unwrap()), "{line} does not tell {reason}");
        }
    }
}
