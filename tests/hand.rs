//! A person's hand in a run under way: `packevolve propose` and `packevolve stop`.

use std::fs;
use std::process::Stdio;

use packevolve::run::fold::Run;
use packevolve::run::inbox::{Inbox, Letter};
use packevolve::search::Outcome;
use packevolve::values::candidate::CandidateId;
use packevolve::values::event::{Event, Proposer, StopReason};
use packevolve::values::raw_text::RawText;

use crate::support::live::Live;
use crate::support::script::{GOOD, INCONSISTENT, MEASURED};
use crate::support::{World, count, finished, scripted};

/// Only mutations, one at a time, each slow enough to be seen at work.
fn world() -> World {
    let world = scripted::with("judges: [{slots: 1}]\nsearch: {candidates: 200}\n").slowed();
    world.set(
        "proposers",
        "{corpus: null, compose: {enabled: false}, cross: {enabled: false}, mutate: {enabled: true}, prune: {enabled: false}}",
    );
    world
}

fn start(world: &World) -> Live {
    let live = Live::start(world, "x", &["evolve", "--run", "x"]);
    live.wait_for("candidate-evaluated", 1);
    live
}

/// A line that the seed program has once.
const LINE: &str = "            pack_items[pack] += 1";

/// A proposal that changes the slow seed program as no other one does, and by its comment chooses its fate.
fn idea(world: &World, name: &str, comment: &str) -> String {
    let text = format!(
        "<NAME>\n{name}\n</NAME>\n<DESCRIPTION>\nAn idea.\n</DESCRIPTION>\n<DIFF>\n<<<<<<< SEARCH\n{LINE}\n=======\n\
         {LINE} + 0 * len({name:?})\n            {comment}\n>>>>>>> REPLACE\n</DIFF>\n"
    );
    let file = format!("{name}.txt");
    world.write(&file, text);
    file
}

fn made_by_person(run: &Run) -> Vec<(CandidateId, String)> {
    let is_its = |proposer: Option<Proposer>| matches!(proposer, Some(Proposer::Person(_)));
    let all = run.search.candidates().filter(|(_, known)| is_its(known.proposer));
    all.map(|(id, known)| (id, known.name.clone())).collect()
}

fn letters(world: &World) -> usize {
    fs::read_dir(world.path("runs/x/inbox")).map_or(0, Iterator::count)
}

#[test]
fn a_proposal_is_tried_next_in_full_and_replayed_and_the_run_stops_when_asked() {
    let world = world();
    let live = start(&world);
    let file = idea(&world, "by_hand", GOOD);
    let said = world.run(&["propose", &file, "--run", "x", "--parent", "seed"]).ends(0);
    let said = said.tells(&["run x tries by_hand.txt next, as an edit of candidate 0 (seed)"]);
    assert_eq!(said.stdout, "");
    live.wait_for("proposal-given", 1);
    let second = idea(&world, "never_the_best", INCONSISTENT);
    world.run(&["propose", &second, "--parent", "seed"]).ends(0);
    live.wait_for("proposal-given", 2);
    live.wait_for("candidate-evaluated", 6);
    world.run(&["stop", "--run", "x"]).ends(0).tells(&["run x stops once its running evaluations have ended"]);
    live.end().ends(0);
    let run = world.read("x");
    assert_eq!(run.search.stopped(), Some(StopReason::StopFile));
    let made = made_by_person(&run);
    assert_eq!(made.iter().map(|(_, name)| name.as_str()).collect::<Vec<_>>(), ["by_hand", "never_the_best"]);
    let (first, second) = (run.search.candidate(made[0].0).unwrap(), run.search.candidate(made[1].0).unwrap());
    assert_eq!((&first.parents[..], first.outclassed_below), (&[CandidateId::SEED][..], None));
    assert!(matches!(first.outcome, Some(Outcome::Measured(_))));
    assert!(matches!(second.outcome, Some(Outcome::Inconsistent(Some(_)))), "measured in full all the same");
    let events: Vec<Event> = run.entries().unwrap().into_iter().map(|entry| entry.event).collect();
    let given = events.iter().position(|event| matches!(event, Event::ProposalGiven(_))).unwrap();
    let next = events[given..].iter().find_map(|event| match event {
        Event::Selected { selection, .. } => Some(selection.proposer),
        _ => None,
    });
    assert_eq!(next, Some(Proposer::Person(0)), "nothing else is tried before it");
    assert_eq!(letters(&world), 0);
    assert!(!world.path("runs/x/now.json").exists(), "nothing is measured any more");
    let replayed = world.run(&["replay", "--run", "x"]).ends(0);
    assert!(replayed.stdout.contains("every decision"), "{}", replayed.stdout);
    world.run(&["fsck", "--run", "x"]).ends(0);
    let log = world.run(&["log", "--run", "x"]).ends(0).stdout;
    assert!(log.contains("a person handed in by_hand.txt, an edit of candidate 0"), "{log}");
}

#[test]
fn proposals_of_many_at_once_are_all_tried() {
    let world = world();
    let live = start(&world);
    let files: Vec<String> = (0..6).map(|number| idea(&world, &format!("idea_{number}"), MEASURED)).collect();
    let hands: Vec<_> = files
        .iter()
        .map(|file| {
            let mut command = world.command(&["propose", file, "--run", "x", "--parent", "seed"]);
            command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
        })
        .collect();
    for mut hand in hands {
        assert!(hand.wait().unwrap().success());
    }
    live.wait_for("proposal-given", 6);
    live.wait_for("candidate-evaluated", 8);
    world.run(&["stop"]).ends(0);
    live.end().ends(0);
    let mut names: Vec<String> = made_by_person(&world.read("x")).into_iter().map(|(_, name)| name).collect();
    names.sort();
    assert_eq!(names, (0..6).map(|number| format!("idea_{number}")).collect::<Vec<_>>());
    world.run(&["replay", "--run", "x"]).ends(0);
}

#[test]
fn what_makes_no_candidate_is_refused_at_once() {
    let world = world();
    let live = start(&world);
    let propose = |file: &str, more: &[&str]| world.run(&[&["propose", file, "--run", "x"], more].concat()).ends(3);
    propose("none.txt", &[]).tells_one_error(&["cannot read none.txt"]);
    world.write("words.txt", "Please make it faster.");
    propose("words.txt", &[]).tells_one_error(&[
        "words.txt is not handed in: not a proposal",
        "hint: `packevolve help proposals` has the format",
    ]);
    world.write("bytes.txt", b"\xff\xfe");
    propose("bytes.txt", &[]).tells_one_error(&["bytes.txt is not UTF-8"]);
    let text = fs::read_to_string(world.path(&idea(&world, "foreign", MEASURED))).unwrap();
    world.write("foreign.txt", text.replace(LINE, "            nothing_like(it)"));
    propose("foreign.txt", &[])
        .tells_one_error(&["foreign.txt is not handed in: does not apply", "hint: --parent names another program"]);
    world.write("same.txt", text.replace(" + 0 * len(\"foreign\")", ""));
    propose("same.txt", &["--parent", "seed"])
        .tells_one_error(&["differs from candidate 0 in comments, blank lines and names only"]);
    propose("same.txt", &["--parent", "99999"]).tells_one_error(&["no candidate \"99999\""]);
    assert_eq!(letters(&world), 0);
    world.run(&["stop"]).ends(0);
    live.end().ends(0);
    assert_eq!(count(&world.read("x"), |event| matches!(event, Event::ProposalGiven(_))), 0);
}

#[test]
fn a_run_that_is_over_or_has_died_says_how_it_continues() {
    let world = finished::world();
    let file = idea(&world, "late", MEASURED);
    for arguments in [&["propose", &file, "--run", finished::NAME][..], &["stop", "--run", finished::NAME]] {
        let refused = world.run(arguments).ends(3);
        refused.tells_one_error(&["the run runs/small is over: ", "hint: `packevolve resume --run runs/small"]);
    }
    assert!(!world.path("runs/small/stop").exists() && !world.path("runs/small/inbox").exists());
    let died = self::world();
    let live = start(&died);
    live.kill();
    let refused = died.run(&["stop"]).ends(3);
    refused.tells_one_error(&["no process on this machine runs runs/x", "hint: `packevolve resume --run runs/x`"]);
}

/// Between the event of a letter and its removal the process may die.
#[test]
fn a_letter_that_a_crash_left_behind_is_taken_once() {
    let world = world();
    let live = start(&world);
    world.run(&["stop"]).ends(0);
    live.end().ends(0);
    let folder = world.read("x").folder;
    let inbox = Inbox::of(&folder);
    let document = RawText(fs::read(world.path(&idea(&world, "left", MEASURED))).unwrap());
    let letter = Letter { file: "left.txt".to_owned(), parent: CandidateId::SEED, document };
    let name = inbox.put(&letter).unwrap();
    let path = folder.path().join("inbox").join(format!("{name}.json"));
    let bytes = fs::read(&path).unwrap();
    let unknown = inbox.put(&Letter { parent: CandidateId(12_345), ..letter }).unwrap();
    for _ in 0..2 {
        fs::write(&path, &bytes).unwrap();
        let evaluated = count(&world.read("x"), |event| matches!(event, Event::CandidateEvaluated { .. }));
        let live = Live::start(&world, "x", &["resume", "--run", "x"]);
        live.wait_for("candidate-evaluated", evaluated + 2);
        world.run(&["stop"]).ends(0);
        live.end().ends(0);
        assert!(!path.exists());
    }
    let run = world.read("x");
    assert_eq!(count(&run, |event| matches!(event, Event::ProposalGiven(_))), 1);
    assert_eq!(made_by_person(&run).len(), 1);
    assert!(folder.path().join("inbox").join(format!("{unknown}.refused")).exists(), "its parent is unknown");
    world.run(&["replay", "--run", "x"]).ends(0);
}
