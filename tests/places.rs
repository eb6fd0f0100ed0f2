//! Judges elsewhere: a run whose judges are started by other programs comes to the same, no matter what is lost. The
//! programs are scripts, and the judges are scripted ones; `slurm` and `ssh` have the real ones.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use packevolve::run::fold::Run;
use packevolve::values::candidate::CandidateId;
use packevolve::values::event::{Event, StopReason};
use packevolve::values::task::Task;

use crate::support::live::Live;
use crate::support::scripted::{self, Record};
use crate::support::{World, count};

/// Counts its starts, and has the n-th judge lost as the n-th line of the file `losses` says. It prints before the judge
/// speaks, in the last line without its end.
const LAUNCHER: &str = r#"#!/bin/sh
echo "welcome to node 7"
printf 'last login: never '
while ! mkdir lock 2>/dev/null; do sleep 0.01; done
echo $$ >> starts
number=$(wc -l < starts)
rmdir lock
PACKEVOLVE_LOSE=$(sed -n "${number}p" losses 2>/dev/null) exec "$@"
"#;

/// A world with a launcher, whose slots start again at once.
fn world(judges: &str, more: &str) -> World {
    let mut world = scripted::with(&format!("judges: [{judges}]\n{more}"));
    let path = std::env::var("PATH").unwrap_or_default();
    world.export("PATH", &path);
    program(&world, "launcher", LAUNCHER);
    world
}

fn program(world: &World, name: &str, text: &str) {
    let path = world.write(name, text);
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

fn launched(slots: usize, more: &str) -> String {
    format!("{{slots: {slots}, launch: [./launcher], initial_backoff: 1ms, max_backoff: 1ms{more}}}")
}

fn evolve(candidates: u64) -> Vec<String> {
    ["evolve", "--run", "x", "--candidates", &candidates.to_string()].map(str::to_owned).to_vec()
}

/// Runs it to its end, which must be in good order.
#[track_caller]
fn run(world: &World, candidates: u64) -> Run {
    let arguments = evolve(candidates);
    world.run(&arguments.iter().map(String::as_str).collect::<Vec<_>>()).ends(0);
    world.read("x")
}

/// No candidate is lost, none judged twice, and replay makes the same decisions.
#[track_caller]
fn is_whole(world: &World, candidates: usize) {
    let run = world.read("x");
    assert_eq!(run.search.candidates().len(), candidates);
    let judged: Vec<CandidateId> = judged(&run);
    let all: BTreeSet<_> = judged.iter().copied().collect();
    assert_eq!(judged.len(), all.len(), "judged twice: {judged:?}");
    assert_eq!(all.len() + usize::from(run.search.baseline_is_seed()), candidates);
    world.run(&["replay", "--run", "x", "--no-evaluate"]).ends(0);
}

fn judged(run: &Run) -> Vec<CandidateId> {
    let of = |event: &Event| match event {
        // Another one takes the place of a partial one.
        Event::CandidateEvaluated { candidate, partial: false, .. } => Some(*candidate),
        _ => None,
    };
    run.entries().unwrap().iter().filter_map(|entry| of(&entry.event)).collect()
}

fn losses(run: &Run) -> usize {
    count(run, |event| matches!(event, Event::SlotLost { .. }))
}

#[test]
fn a_run_behind_a_launcher_that_talks_is_the_run_on_this_machine() {
    let here = scripted::world();
    let there = world(&launched(1, ""), "");
    let records = [&here, &there].map(|world| {
        run(world, 12);
        Record::read(&world.path("runs/x"))
    });
    let [mut here, mut there] = records;
    for record in [&mut here, &mut there] {
        if let Some(Event::RunStarted(started)) = record.events.first_mut() {
            started.settings.judges.clear();
        }
    }
    assert_eq!(here, there);
}

#[test]
fn a_place_lost_at_any_moment_of_a_measurement_costs_nothing() {
    let uninterrupted = world(&launched(1, ""), "");
    run(&uninterrupted, 30);
    let expected = Record::read(&uninterrupted.path("runs/x"));
    let moments: Vec<String> = ["asked", "half", "answered"]
        .iter()
        .flat_map(|word| (0..6).map(move |number| format!("{word} {number}")))
        .chain(["silent".to_owned()])
        .collect();
    // A session that is never opened loses its slot again; in a row that leaves it out.
    let opens = |moment: &String| !moment.ends_with(" 0") && moment != "silent";
    let (opens, never): (Vec<_>, Vec<_>) = moments.into_iter().partition(opens);
    let mixed = opens.iter().enumerate().flat_map(|(at, moment)| [Some(moment), never.get(at)]).flatten();
    let world = world(&launched(1, ", restarts: 8"), "");
    // The first one opens: a run does not begin without. It is lost with the baseline.
    world.write("losses", format!("asked 1\n{}\n", mixed.cloned().collect::<Vec<_>>().join("\n")));
    let run = run(&world, 30);
    assert!(losses(&run) > 15, "{} losses", losses(&run));
    let lost_with = |wanted: fn(Option<Task>) -> bool| {
        count(&run, |event| matches!(event, Event::SlotLost { task, .. } if wanted(*task)))
    };
    assert!(lost_with(|task| task == Some(Task::Baseline)) > 0);
    assert!(lost_with(|task| matches!(task, Some(Task::Evaluate(_)))) > 0);
    assert!(lost_with(|task| matches!(task, Some(Task::Duel(_)))) > 0);
    assert!(lost_with(|task| task.is_none()) > 0);
    is_whole(&world, 30);
    let mut record = Record::read(&world.path("runs/x"));
    // Nothing but what was asked twice is different.
    assert_eq!(record.events.len(), expected.events.len());
    if let (Some(Event::RunStarted(started)), Some(Event::RunStarted(other))) =
        (record.events.first_mut(), expected.events.first())
    {
        started.settings.judges.clone_from(&other.settings.judges);
    }
    assert_eq!(record, expected);
}

#[test]
fn several_slots_that_are_lost_now_and_then_lose_no_candidate() {
    let world = world(&launched(4, ""), "");
    let losses_of = |start: usize| match start % 3 {
        0 => format!("asked {}", 2 + start % 4),
        1 => format!("half {}", 3 + start % 4),
        _ => format!("answered {}", 1 + start % 4),
    };
    world.write("losses", (0..60).map(losses_of).collect::<Vec<_>>().join("\n"));
    let lost = losses(&run(&world, 60));
    assert!(lost > 10, "{lost} losses");
    is_whole(&world, 60);
    let log = world.run(&["log", "--run", "x"]).ends(0).stdout;
    assert!(log.contains("(./launcher) was lost with candidate ") && log.contains("exit status: 9"), "{log}");
}

#[test]
fn a_place_that_does_not_come_back_is_left_out_and_the_other_one_does_its_work() {
    let world = world(&format!("{{slots: 1}}, {}", launched(1, ", restarts: 2")), "");
    // It works for two evaluations, and then never again.
    world.write("losses", format!("asked 3\n{}", "silent\n".repeat(20)));
    let run = run(&world, 16);
    is_whole(&world, 16);
    assert_eq!(losses(&run), 3, "one at work and two restarts");
    assert!(run.search.places().is_left_out(1) && !run.search.places().all_are_left_out());
    assert_eq!(fs::read_to_string(world.path("starts")).unwrap().lines().count(), 3);
    let log = world.run(&["log", "--run", "x"]).ends(0).stdout;
    assert!(log.contains("was lost, and left out: the judge has ended: "), "{log}");
    assert!(log.contains("welcome to node 7"), "what the launcher printed is evidence: {log}");
    // The next time all places start again.
    world.run(&["resume", "--run", "x", "--candidates", "18"]).ends(0);
    assert!(fs::read_to_string(world.path("starts")).unwrap().lines().count() > 3);
    is_whole(&world, 18);
}

#[test]
fn a_judge_that_lacks_something_when_it_starts_again_is_tried_again() {
    // The limit ends a run that would wait for ever.
    let world = world(&launched(1, ""), "search: {wall_time: 60s}");
    world.write("losses", "asked 3\nlacking 0\nlacking 0\n");
    let run = run(&world, 16);
    is_whole(&world, 16);
    assert_eq!(losses(&run), 3, "one at work, and two that did not start");
    assert!(!run.search.places().is_left_out(0));
    let lacking = |event: &Event| match event {
        Event::SlotLost { reason, refused, .. } => reason.contains("Too many open files") && !refused,
        _ => false,
    };
    assert_eq!(count(&run, lacking), 2);
}

#[test]
fn a_judge_that_refuses_its_session_is_left_out_at_once_and_one_that_lacks_something_after_its_restarts() {
    for (losses_of, wanted, reason) in [
        ("asked 3\nrefused 0\n".to_owned(), 2, "there is no device"),
        (format!("asked 3\n{}", "lacking 0\n".repeat(20)), 3, "Too many open files"),
    ] {
        let world = world(&format!("{{slots: 1}}, {}", launched(1, ", restarts: 2")), "");
        world.write("losses", &losses_of);
        let run = run(&world, 40);
        is_whole(&world, 40);
        assert_eq!(losses(&run), wanted, "{reason}");
        assert!(run.search.places().is_left_out(1) && !run.search.places().all_are_left_out());
        let log = world.run(&["log", "--run", "x"]).ends(0).stdout;
        assert!(log.contains(&format!("was lost, and left out: {reason}")), "{log}");
    }
}

#[test]
fn a_run_without_a_judge_waits_with_a_note_and_ends_by_its_limits() {
    let world = world(&launched(1, ", restarts: 0"), "search: {wall_time: 3s}");
    world.write("losses", "asked 4\n");
    let arguments = evolve(30);
    let began = Instant::now();
    let output = world.run(&arguments.iter().map(String::as_str).collect::<Vec<_>>()).ends(0).tells(&[
        "note: slot 0 (./launcher) was lost with ",
        "note: no judge is left: the run waits for its time limit, its stop file or Ctrl-C",
        "stopped: the time of the run is used up",
    ]);
    assert!(began.elapsed() > Duration::from_secs(2), "{output:?}");
    assert_eq!(world.read("x").search.stopped(), Some(StopReason::WallTime));
    world.run(&["replay", "--run", "x", "--no-evaluate"]).ends(0);
    // The stop file is seen, too, though nothing else happens.
    world.set("search", "{candidates: 30}");
    fs::remove_file(world.path("starts")).unwrap();
    let live = Live::start(&world, "y", &["evolve", "--run", "y"]);
    live.wait_for("slot-lost", 1);
    fs::write(world.path("runs/y/stop"), "").unwrap();
    live.end().ends(0).tells(&["stopped: the stop file was found"]);
}

#[test]
fn what_cannot_be_started_ends_the_command_with_what_was_said() {
    let world = world(&launched(1, ""), "");
    program(&world, "launcher", "#!/bin/sh\necho 'no such partition'\necho 'try later' >&2\nexit 3\n");
    let arguments = ["evolve", "--run", "x"];
    world.run(&arguments).ends(1).tells_one_error(&[
        "no judge at ./launcher",
        "exit status: 3",
        "no such partition",
        "try later",
    ]);
    world.set("judges", "[{slots: 1, launch: [./no-such-launcher]}]");
    world
        .run(&arguments)
        .ends(1)
        .tells_one_error(&["no judge at ./no-such-launcher", "cannot start ./no-such-launcher"]);
    world.set("judges", "[{slots: 1, launch: [echo]}]");
    world.run(&arguments).ends(1).tells_one_error(&["no judge at echo", "packevolve-judge"]);
    // One that speaks, but another version.
    program(&world, "launcher", "#!/bin/sh\necho '{\"reply\":\"hello\",\"data\":{\"version\":1}}'\ncat > hidden\n");
    world.set("judges", "[{slots: 1, launch: [./launcher]}]");
    world.run(&arguments).ends(3).tells_one_error(&[
        "no judge at ./launcher",
        "speaks version 1 of the protocol",
        "hint: install",
    ]);
    assert!(!world.has_run("x"));
}

/// A launcher of judges with a device of another model.
fn other_model(world: &World) {
    program(world, "other", "#!/bin/sh\nPACKEVOLVE_MODEL='fast one' exec \"$@\"\n");
}

#[test]
fn another_model_and_a_weaker_jail_are_refused_by_name() {
    let world = world("{slots: 1}, {slots: 1, launch: [./other]}", "");
    other_model(&world);
    let arguments = ["evolve", "--run", "x"];
    world.run(&arguments).ends(3).tells_one_error(&[
        "error: ./other: this judge cannot be used: its device is fast one, that of the first place is none",
        "hint: `mixed: true`",
    ]);
    world.set("judges", "[{slots: 1}, {slots: 1, launch: [./weak]}]");
    world.set("sandbox", "required");
    program(&world, "weak", "#!/bin/sh\nPACKEVOLVE_WEAK=1 exec \"$@\"\n");
    world.run(&arguments).ends(3).tells_one_error(&["./weak: this judge cannot be used: its jail lacks seccomp"]);
    assert!(!world.has_run("x"));
    world.set("sandbox", "best-effort");
    run(&world, 6);
}

#[test]
fn mixed_places_compare_times_with_their_own_baseline_and_name_the_model_of_each_figure() {
    let world = world("{slots: 1}, {slots: 1, launch: [./other], mixed: true}", "");
    other_model(&world);
    let mixed = run(&world, 30);
    is_whole(&world, 30);
    let entries = mixed.entries().unwrap();
    let own = |event: &Event| matches!(event, Event::SlotOpened { slot: 1, judge: Some(_), baseline: Some(_) });
    assert_eq!(entries.iter().filter(|entry| own(&entry.event)).count(), 1);
    // The scores of a program do not tell where it was measured.
    let alone = scripted::world();
    let here = run(&alone, 30);
    let mut compared = [0; 2];
    for (_, known) in mixed.search.candidates() {
        let same = |other: &&packevolve::search::Candidate| other.program == known.program;
        let other = here.search.candidates().map(|(_, other)| other).find(same);
        let scores = known.scores().zip(other.and_then(|other| other.scores()));
        // A refuted program goes by the windows of its duels, too.
        let Some((own, other)) = scores.filter(|_| known.held_out.is_none()) else { continue };
        assert!((own.combined_score - other.combined_score).abs() < 1e-6, "{}: {own:?} {other:?}", known.name);
        compared[usize::from(known.device != Some(0))] += 1;
    }
    assert!(compared[0] > 0 && compared[1] > 0, "{compared:?}");
    let (elsewhere, _) = mixed.search.candidates().find(|(_, known)| known.device == Some(1)).unwrap();
    let elsewhere = elsewhere.to_string();
    for command in [&["top", "--all"][..], &["log"], &["lineage", &elsewhere], &["report", "-o", "report.html"]] {
        let output = world.run(&[command, &["--run", "x"]].concat()).ends(0);
        let page = fs::read_to_string(world.path("report.html")).unwrap_or_default();
        assert!(output.stdout.contains("on fast one") || page.contains("fast one"), "{command:?}: {}", output.stdout);
    }
    let shown = world.run(&["show", &elsewhere, "--run", "x"]).ends(0).stdout;
    assert!(shown.contains(" on fast one"), "{shown}");
    let replayed = world.run(&["replay", &elsewhere, "--run", "x"]);
    assert!(matches!(replayed.code, Some(0 | 6)), "{replayed:?}");
    assert!(replayed.stdout.contains("recorded on fast one"), "{replayed:?}");
}

/// The processes that launchers have started, each in a session of its own as on another machine.
fn started(world: &World) -> Vec<i32> {
    let pids = fs::read_to_string(world.path("pids")).unwrap_or_default();
    pids.lines().map(|pid| pid.parse().unwrap()).collect()
}

#[track_caller]
fn all_have_ended(world: &World, count: usize) {
    let pids = started(world);
    assert_eq!(pids.len(), count, "{pids:?}");
    let began = Instant::now();
    while let Some(pid) = pids.iter().find(|pid| is_alive(**pid)) {
        assert!(began.elapsed() < Duration::from_secs(20), "{pid} is still there");
        thread::sleep(Duration::from_millis(10));
    }
}

fn is_alive(pid: i32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let is_zombie = status.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('Z'));
    kill(Pid::from_raw(pid), None).is_ok() && !is_zombie
}

#[test]
fn every_launched_process_ends_with_the_run_no_matter_how_that_ends() {
    let world = world("{slots: 2, launch: [./far]}", "").slowed();
    program(&world, "far", "#!/bin/sh\nexec setsid -w sh -c 'echo $$ >> pids; exec \"$0\" \"$@\"' \"$@\"\n");
    let fresh = || fs::remove_file(world.path("pids")).unwrap_or_default();
    let start = |name: &str| Live::start(&world, name, &["evolve", "--run", name, "--candidates", "12"]);
    start("whole").end().ends(0);
    all_have_ended(&world, 2);
    for (name, signals, code) in [
        ("interrupted", &[Signal::SIGINT][..], Some(130)),
        ("aborted", &[Signal::SIGINT, Signal::SIGTERM], Some(130)),
        ("killed", &[Signal::SIGKILL], None),
    ] {
        fresh();
        let live = start(name);
        live.wait_for("candidate-evaluated", 1);
        signals.iter().for_each(|signal| live.signal(*signal));
        assert_eq!(live.end().code, code, "{name}");
        all_have_ended(&world, 2);
    }
    fresh();
    let live = start("stopped");
    live.wait_for("candidate-evaluated", 1);
    fs::write(world.path("runs/stopped/stop"), "").unwrap();
    live.end().ends(0);
    all_have_ended(&world, 2);
}

#[test]
fn a_signal_before_the_judges_are_ready_ends_what_was_started() {
    let world = world("{slots: 2, launch: [./queue]}", "");
    // As a scheduler that has no room: it starts nothing, and does not care for its input.
    program(&world, "queue", "#!/bin/sh\necho $$ >> pids\nexec sleep 600\n");
    let live = Live::start(&world, "x", &["evolve", "--run", "x"]);
    let began = Instant::now();
    while started(&world).len() < 2 {
        assert!(began.elapsed() < Duration::from_secs(60));
        thread::sleep(Duration::from_millis(10));
    }
    live.signal(Signal::SIGINT);
    live.end().ends(130).tells(&["stopped before the judges were ready"]);
    all_have_ended(&world, 2);
    assert!(!world.has_run("x"));
}

#[test]
fn many_slots_are_all_used_and_replay_follows_their_order() {
    let slots = 24;
    let world = world(&launched(slots, ""), "");
    program(&world, "launcher", "#!/bin/sh\nPACKEVOLVE_TAKES=200 exec \"$@\"\n");
    let run = run(&world, 120);
    is_whole(&world, 120);
    let slot = |event: &Event| match event {
        Event::CandidateEvaluated { slot, .. } => Some(*slot),
        _ => None,
    };
    let used: BTreeSet<usize> = run.entries().unwrap().iter().filter_map(|entry| slot(&entry.event)).collect();
    assert_eq!(used.len(), slots, "{used:?}");
    assert!(Path::new(&world.path("runs/x/archive.git")).exists());
}
