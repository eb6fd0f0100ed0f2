//! `packevolve fsck`: what is wrong with a record, where, and what can be done about it.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::LazyLock;

use packevolve::journal::{self, Journal, Place};
use packevolve::run::fold::{Run, WorkTime};
use packevolve::run::folder::RunFolder;
use packevolve::run::fsck::{self, Kind};
use packevolve::run::snapshot::{self, Snapshot};
use packevolve::values::candidate::CandidateId;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::scripted;
use crate::support::{Output, World, copy};

const NAME: &str = "x";

/// A run that came to its end.
static FINISHED: LazyLock<TempDir> = LazyLock::new(|| {
    let world = scripted::world();
    Output::of(&mut scripted::command(&world, &["evolve", "--run", NAME, "--candidates", "11"])).ends(0);
    let folder = TempDir::new().unwrap();
    copy(&world.path("runs").join(NAME), folder.path());
    folder
});

fn finished() -> World {
    let world = scripted::world();
    copy(FINISHED.path(), &world.path("runs").join(NAME));
    world
}

fn path(world: &World, inside: &str) -> PathBuf {
    world.path("runs").join(NAME).join(inside)
}

fn fsck(world: &World, more: &[&str]) -> Output {
    Output::of(&mut scripted::command(world, &[&["fsck", "--run", NAME], more].concat()))
}

fn replay(world: &World) -> Output {
    Output::of(&mut scripted::command(world, &["replay", "--run", NAME]))
}

fn run(world: &World) -> Run {
    Run::open(RunFolder::new(world.path("runs").join(NAME))).unwrap()
}

fn object(world: &World, id: &impl ToString) -> PathBuf {
    let hex = id.to_string();
    path(world, "archive.git/objects").join(&hex[..2]).join(&hex[2..])
}

/// The line of the event that brought a candidate.
fn line_of(world: &World, candidate: CandidateId) -> u64 {
    let wanted = format!("\"type\":\"candidate-created\",\"candidate\":{candidate}");
    let text = fs::read_to_string(path(world, "journal.jsonl")).unwrap();
    1 + text.lines().position(|line| line.contains(&wanted)).unwrap() as u64
}

/// Demands these findings, their kinds and whether they can be repaired, then that repairing leaves those that cannot.
#[track_caller]
fn finds(world: &World, wanted: &[(&str, &str, bool)]) {
    let told = fsck(world, &["--format", "json"]).ends(7).json();
    let findings = told["findings"].as_array().unwrap();
    assert_eq!(findings.len(), wanted.len(), "{told:#}");
    for (kind, what, repairable) in wanted {
        let fits = |finding: &&Value| {
            finding["kind"] == *kind
                && finding["what"].as_str().unwrap().contains(what)
                && finding["repairable"] == json!(repairable)
        };
        assert!(findings.iter().any(|finding| fits(&finding)), "{kind}, {what}, {repairable}: {told:#}");
    }
    let lost = wanted.iter().filter(|(_, _, repairable)| !repairable).count();
    let repaired = fsck(world, &["--repair", "--format", "json"]).ends(if lost > 0 { 6 } else { 0 }).json();
    assert_eq!(repaired["findings"].as_array().unwrap().len(), lost, "{repaired:#}");
    assert_eq!(repaired["repaired"].as_array().unwrap().len(), wanted.len() - lost, "{repaired:#}");
    if lost == 0 {
        replay(world).ends(0);
    }
}

#[test]
fn a_run_that_is_whole_is_told_as_that_and_left_alone() {
    let world = finished();
    let output = fsck(&world, &[]).ends(0);
    let told = output.stdout.trim_end();
    assert!(told.starts_with("runs/x: ") && told.contains(" 11 candidates, "), "{told}");
    assert!(told.ends_with(" objects: journal and archive are whole and agree"), "{told}");
    assert_eq!(fsck(&world, &["--repair"]).ends(0).stdout, output.stdout);
    assert_eq!(fsck(&world, &["--format", "json"]).ends(0).json()["findings"], json!([]));
}

#[test]
fn what_a_crash_leaves_is_found_and_repaired() {
    let world = finished();
    let mut journal = fs::read(path(&world, "journal.jsonl")).unwrap();
    journal.extend_from_slice(b"{\"version\":1,\"seq\":");
    fs::write(path(&world, "journal.jsonl"), journal).unwrap();
    fs::write(path(&world, "archive.git/refs/heads/best.lock"), "").unwrap();
    fs::write(path(&world, "archive.git/refs/packevolve/kept"), "").unwrap();
    fs::write(path(&world, "archive.git/objects/tmp_object_git2_1"), "half").unwrap();
    fs::write(path(&world, "archive.git/packevolve.object"), "half").unwrap();
    fs::create_dir(path(&world, "archive.git/packevolve.packing")).unwrap();
    fs::write(path(&world, "archive.git/packevolve.packing/pack_git2_1"), "PACK").unwrap();
    fs::write(path(&world, "archive.git/packevolve.ahead"), "blob 400 0123").unwrap();
    finds(
        &world,
        &[
            ("torn-line", "ends after 19 bytes", true),
            ("unreachable", "git gc would take them", true),
            ("ref", "packevolve/kept names nothing, by the journal", true),
            ("leftover", "best.lock: a lock of a process that has ended", true),
            ("leftover", "kept: a ref that was never finished", true),
            ("leftover", "tmp_object_git2_1: an object that was never finished", true),
            ("leftover", "packevolve.object: an object that was never finished", true),
            ("leftover", "packevolve.packing: a pack that was never finished", true),
            ("leftover", "packevolve.ahead: ends in an unfinished object", true),
        ],
    );
}

/// Demands that a snapshot is found to be this, and is removed by repairing.
#[track_caller]
fn finds_snapshot(folder: &RunFolder, what: &str) {
    let findings = fsck::check(folder).unwrap().findings;
    let [finding] = &findings[..] else { panic!("{what}: {findings:#?}") };
    assert!(finding.kind == Kind::Leftover && finding.repairable && finding.what.contains(what), "{finding:?}");
    fsck::repair(folder).unwrap();
    assert_eq!(fsck::check(folder).unwrap().findings, []);
}

#[test]
fn a_snapshot_that_is_not_what_the_journal_gives_is_found_and_removed() {
    let world = finished();
    Output::of(&mut scripted::with_snapshots(&world)).ends(0);
    let folder = RunFolder::new(path(&world, ""));
    let (file, good) = (folder.snapshot(), fs::read(folder.snapshot()).unwrap());
    assert_eq!(fsck::check(&folder).unwrap().findings, []);
    fsck::repair(&folder).unwrap();
    assert_eq!(fs::read(&file).unwrap(), good, "a good one is left alone");

    let Snapshot { place, search, mut trail } = Snapshot::read(&file, |_| true).unwrap().unwrap();
    assert!(trail.work.seconds() > 0.0);
    trail.work = WorkTime::default();
    snapshot::Writer::new(&file, None).write(place, &search, &trail);
    finds_snapshot(&folder, "journal.snapshot: it is not what the journal gives");
    snapshot::Writer::new(&file, None).write(Place { seq: place.seq + 1, ..place }, &search, &trail);
    finds_snapshot(&folder, "it is of another journal");
    fs::write(&file, &good[..good.len() - 1]).unwrap();
    finds_snapshot(&folder, "it is damaged");
    fs::write(snapshot::aside(&file), &good[..9]).unwrap();
    finds_snapshot(&folder, "journal.snapshot.new: a snapshot that was never finished");
    assert!(!snapshot::aside(&file).exists());
}

#[test]
fn refs_that_were_moved_or_removed_are_moved_back() {
    let world = finished();
    let seed = run(&world).search.origin().commit.to_string();
    fs::write(path(&world, "archive.git/refs/heads/best"), format!("{seed}\n")).unwrap();
    fs::remove_file(path(&world, "archive.git/refs/packevolve/kept")).unwrap();
    finds(
        &world,
        &[
            ("ref", &format!("best names {seed}, by the journal it is "), true),
            ("ref", "packevolve/kept names nothing", true),
            ("unreachable", "no ref leads to objects of this event and of ", true),
        ],
    );
}

#[test]
fn what_keeps_candidates_is_written_again_if_it_is_lost_or_damaged() {
    for damage in [None, Some(b"not zlib")] {
        let world = finished();
        let tree = world.tool("git", &["-C", "runs/x/archive.git", "rev-parse", "packevolve/kept^{tree}"]).ends(0);
        let file = object(&world, &tree.stdout.trim());
        fs::remove_file(&file).unwrap();
        damage.into_iter().for_each(|bytes| fs::write(&file, bytes).unwrap());
        finds(
            &world,
            &[
                ("object", "a ref leads to it: kept object ", true),
                ("unreachable", "no ref leads to objects of this event: ", true),
            ],
        );
    }
}

#[test]
fn an_object_that_is_lost_is_named_with_its_line_and_candidate() {
    for (at, role) in ["commit", "program of commit ", "proposal of commit ", "tree of commit "].iter().enumerate() {
        let world = finished();
        let run = run(&world);
        let (candidate, known) = run.search.candidates().last().unwrap();
        let git = |name: &str| {
            let output = world.tool("git", &["-C", "runs/x/archive.git", "rev-parse", name]).ends(0);
            output.stdout.trim().to_owned()
        };
        let commit = known.commit;
        let names = [
            commit.to_string(),
            format!("{commit}:eplb.py"),
            format!("{commit}:proposal.txt"),
            format!("{commit}^{{tree}}"),
        ];
        let id = git(&names[at]);
        fs::remove_file(object(&world, &id)).unwrap();
        let output = fsck(&world, &[]).ends(7);
        let place = format!("object: line {}, candidate {candidate}: {role}", line_of(&world, candidate));
        assert!(output.stdout.contains(&place), "{place}:\n{}", output.stdout);
        assert!(
            output.stdout.contains(&format!("the archive has no object {id}\n    only a copy has it")),
            "{}",
            output.stdout
        );
        // Damaged, and not missing.
        fs::write(object(&world, &id), b"not zlib").unwrap();
        let output = fsck(&world, &["--repair"]).ends(7);
        assert!(output.stdout.contains(&format!("object {id}: its file does not decompress")), "{}", output.stdout);
    }
}

#[test]
fn a_commit_that_does_not_say_what_the_journal_says_is_named_by_what_differs() {
    let world = finished();
    let journal_path = path(&world, "journal.jsonl");
    let mut events: Vec<Value> =
        journal::read::<Value>(&journal_path).unwrap().entries.into_iter().map(|entry| entry.event).collect();
    let created: Vec<usize> = (0..events.len()).filter(|at| events[*at]["type"] == "candidate-created").collect();
    let (one, other) = (created[1], created[2]);
    events[one]["name"] = json!("somebody_else");
    let commit = events[one]["commit"].clone();
    events[other]["commit"] = commit;
    fs::remove_file(&journal_path).unwrap();
    drop(Journal::create(&journal_path).unwrap().begin(&events).unwrap());
    let output = fsck(&world, &[]).ends(7);
    for (event, part) in [(one, "author"), (one, "message"), (other, "time"), (other, "tree")] {
        let lines = output.stdout.lines();
        let place = format!("commit: line {}, ", event + 1);
        let found = lines.filter(|line| line.starts_with(&place)).any(|line| line.contains(&format!(": its {part}: ")));
        assert!(found, "{place} {part}:\n{}", output.stdout);
    }
}

#[test]
fn a_damaged_line_and_an_event_that_cannot_be_are_named_and_not_repaired() {
    let world = finished();
    let text = fs::read_to_string(path(&world, "journal.jsonl")).unwrap();
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let without = [&lines[..7], &lines[8..]].concat().concat();
    fs::write(path(&world, "journal.jsonl"), without).unwrap();
    let output = fsck(&world, &[]).ends(7);
    assert!(output.stdout.contains("damaged line: line 8: "), "{}", output.stdout);
    assert!(output.stdout.contains("lines are missing, repeated or out of order"), "{}", output.stdout);
    fsck(&world, &["--repair"]).ends(7);

    let world = finished();
    let journal_path = path(&world, "journal.jsonl");
    let mut events: Vec<Value> =
        journal::read::<Value>(&journal_path).unwrap().entries.into_iter().map(|entry| entry.event).collect();
    let judged = events.iter().position(|event| event["type"] == "candidate-evaluated").unwrap();
    events.insert(judged, events[judged].clone());
    fs::remove_file(&journal_path).unwrap();
    drop(Journal::create(&journal_path).unwrap().begin(&events).unwrap());
    let output = fsck(&world, &[]).ends(7);
    assert!(output.stdout.contains(&format!("impossible event: line {}: ", judged + 2)), "{}", output.stdout);
    assert!(output.stdout.contains("was evaluated before"), "{}", output.stdout);
}

#[test]
fn a_newer_journal_and_what_is_no_run_are_refused() {
    let world = finished();
    fs::write(path(&world, "journal.jsonl"), "{\"version\":999,\"seq\":0,\"what\":\"ever\"}\n").unwrap();
    fsck(&world, &[]).ends(3).tells_one_error(&["journal.jsonl:1: journal version 999 is newer than 1", "hint: "]);
    let output = Output::of(&mut scripted::command(&world, &["fsck", "--run", "nothing"]));
    output.ends(3).tells_one_error(&["nothing is not a run folder"]);
}

#[test]
fn a_run_without_its_archive_is_told_as_that() {
    let world = finished();
    fs::remove_dir_all(path(&world, "archive.git")).unwrap();
    let output = fsck(&world, &[]).ends(7);
    assert!(output.stdout.contains("archive: runs/x/archive.git: not an archive"), "{}", output.stdout);
    fsck(&world, &["--repair"]).ends(7);
}

#[test]
fn a_run_that_is_under_way_is_looked_at_and_not_repaired() {
    let world = finished();
    let held = Journal::<Value>::open(&path(&world, "journal.jsonl")).unwrap();
    fs::remove_file(path(&world, "archive.git/refs/packevolve/kept")).unwrap();
    let output = fsck(&world, &[]).ends(0);
    assert!(output.stdout.contains("a harness is at work on this run"), "{}", output.stdout);
    drop(held);
    fsck(&world, &[]).ends(7);
}

#[test]
fn collecting_garbage_and_cloning_lose_nothing_of_a_run_that_was_cut_off() {
    let world = scripted::world();
    let mut command: Command = scripted::command(&world, &["evolve", "--run", NAME, "--candidates", "12"]);
    let mut process = command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null()).spawn().unwrap();
    let journal = path(&world, "journal.jsonl");
    let judged = || fs::read_to_string(&journal).unwrap_or_default().matches("\"candidate-evaluated\"").count();
    while judged() < 6 {
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    process.kill().unwrap();
    process.wait().unwrap();
    world.tool("git", &["-C", "runs/x/archive.git", "gc", "--quiet", "--prune=now"]).ends(0);
    world.tool("git", &["clone", "--quiet", "--mirror", "runs/x/archive.git", "mirror"]).ends(0);
    world.tool("git", &["-C", "mirror", "fsck", "--strict"]).ends(0);
    // What git took for garbage is still read.
    for (candidate, _) in run(&world).search.candidates() {
        Output::of(&mut scripted::command(&world, &["show", &candidate.to_string(), "--run", NAME])).ends(0);
    }
    Output::of(&mut scripted::command(&world, &["resume", "--run", NAME])).ends(0);
    fsck(&world, &[]).ends(0);
    replay(&world).ends(0);
}
