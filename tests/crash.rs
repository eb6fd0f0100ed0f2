//! No matter when and how the harness ends, `resume` continues correctly: the same events, commits,
//! refs and closing table as of a run that nothing has interrupted.
//!
//! A run of each target with a scripted judge is traced once; after every system call that changed a file of it, what is in
//! its folder is kept: that is what a kill at that moment leaves, and what a power loss takes from it is computed.
//! `make test` tries ten of these moments, `make test-long` all of them and 200 kills at random moments.

use std::fs;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::LazyLock;
use std::time::Duration;

use nix::errno::Errno;
use packevolve::config::Target;
use packevolve::values::event::Event;
use packevolve_contract::stream::{Purpose, Stream, stream};
use rand::RngExt;
use serde_json::json;

use crate::support::disk::{Disk, Image, Loss};
use crate::support::endpoint::{Act, Endpoint};
use crate::support::forged;
use crate::support::scripted::{self, Record, tried};
use crate::support::tracer::{Call, Kind, Watcher, trace};
use crate::support::{Output, World};

const NAME: &str = "x";
/// As many as fit into the time of all tests.
const FEW: usize = 10;
/// Kills at random moments.
const RANDOM_KILLS: usize = 200;

const EVOLVE: [&str; 5] = ["evolve", "--run", NAME, "--candidates", "12"];
const RESUME: [&str; 3] = ["resume", "--run", NAME];

/// A moment right after a call, and what a crash leaves of the folder of runs then.
struct Moment {
    call: String,
    killed: Image,
    lost: [(Loss, Image); 3],
}

/// What a run of a target comes to that nothing interrupts, and the moments at which something might.
struct Uninterrupted {
    target: Target,
    record: Record,
    table: String,
    moments: Vec<Moment>,
    took: Duration,
}

struct Photographer {
    disk: Disk,
    rng: Stream,
    moments: Vec<Moment>,
}

impl Watcher for Photographer {
    fn made(&mut self, call: &Call) {
        if call.kind == Kind::Open {
            return;
        }
        self.disk.look(call);
        let rng = &mut self.rng;
        let lost = [Loss::All, Loss::Content, Loss::Any].map(|loss| (loss, self.disk.lose(loss, rng)));
        self.moments.push(Moment { call: format!("{call:?}"), killed: self.disk.now().clone(), lost });
    }
}

static PACKING: LazyLock<Uninterrupted> = LazyLock::new(|| Uninterrupted::traced(Target::Packing));
/// Its journal holds chains in place of cases, and its front is one of balance and of bytes moved.
static POLICY: LazyLock<Uninterrupted> = LazyLock::new(|| Uninterrupted::traced(Target::Policy));

/// The runs of both targets.
fn of_both() -> [&'static Uninterrupted; 2] {
    [&PACKING, &POLICY]
}

/// A world in which a run of this target can begin.
fn fresh(target: Target) -> World {
    match target {
        Target::Packing => scripted::world(),
        Target::Policy => scripted::of_policies(),
    }
}

impl Uninterrupted {
    fn traced(target: Target) -> Self {
        let world = fresh(target);
        let runs = world.path("runs");
        fs::create_dir(&runs).unwrap();
        let began = std::time::Instant::now();
        let plain = Output::of(&mut scripted::command(&world, &EVOLVE)).ends(0);
        let took = began.elapsed();
        let record = Record::read(&runs.join(NAME));
        fs::remove_dir_all(runs.join(NAME)).unwrap();
        let mut photographer =
            Photographer { disk: Disk::new(&runs, "log"), rng: stream(1, 0, Purpose::Loads), moments: Vec::new() };
        let traced = trace(&scripted::command(&world, &EVOLVE), &runs, &mut photographer).ends(0);
        assert_eq!(traced.stdout, plain.stdout);
        assert_eq!(Record::read(&runs.join(NAME)), record, "two runs that nothing interrupts");
        let has_chains = |event: &Event| match event {
            Event::BaselineEvaluated { measurement, .. } => !measurement.chains.is_empty(),
            _ => false,
        };
        assert_eq!(record.events.iter().any(has_chains), target == Target::Policy);
        Self { target, record, table: plain.stdout, moments: photographer.moments, took }
    }

    /// Continues a run, or starts it where it had not started, as the harness tells a person to.
    #[track_caller]
    fn continues(&self, world: &World, what: &str) {
        let is_begun = world.path("runs").join(NAME).join("journal.jsonl").exists();
        let arguments = if is_begun { &RESUME[..] } else { &EVOLVE[..] };
        let output = Output::of(&mut scripted::command(world, arguments));
        let what = format!("{:?}: {what}", self.target);
        assert_eq!(output.code, Some(0), "{what}: {arguments:?}\n{}", output.stderr);
        self.is_whole(world, &what);
        assert_eq!(output.stdout, self.table, "{what}");
    }

    #[track_caller]
    fn is_whole(&self, world: &World, what: &str) {
        let record = Record::read(&world.path("runs").join(NAME));
        let expected = &self.record;
        let at = record.events.iter().zip(&expected.events).position(|(event, expected)| event != expected);
        assert_eq!(at, None, "{what}: another event");
        assert_eq!(record.events.len(), expected.events.len(), "{what}");
        assert_eq!(record.refs, expected.refs, "{what}");
    }

    /// A world whose run was killed when it had `events`.
    fn midway(&self, events: usize) -> World {
        let lines = |image: &Image| {
            let listing = image.listing();
            listing.get("/x/journal.jsonl").map_or(0, |bytes| bytes.iter().filter(|byte| **byte == b'\n').count())
        };
        self.after(&self.moments.iter().find(|moment| lines(&moment.killed) == events).unwrap().killed)
    }

    /// A world whose runs are as a crash left them.
    fn after(&self, crash: &Image) -> World {
        let world = fresh(self.target);
        crash.write(&world.path("runs"));
        world
    }
}

/// Whether the run has its first event.
fn is_begun(image: &Image) -> bool {
    image.listing().contains_key("/x/journal.jsonl")
}

#[test]
fn a_run_that_is_killed_after_any_write_continues_as_if_it_had_not_been() {
    for run in of_both() {
        let mut different: Vec<&Moment> = Vec::new();
        for moment in &run.moments {
            let is_new = different.last().is_none_or(|last| last.killed.listing() != moment.killed.listing());
            different.extend(is_new.then_some(moment));
        }
        for moment in tried(different, FEW) {
            run.continues(&run.after(&moment.killed), &format!("killed after {}", moment.call));
        }
    }
}

#[test]
fn a_run_continues_after_a_power_loss_at_any_moment() {
    for run in of_both() {
        let all = run.moments.iter().flat_map(|moment| moment.lost.iter().map(move |lost| (&moment.call, lost)));
        for (call, (loss, image)) in tried(all.collect(), FEW) {
            run.continues(&run.after(image), &format!("the power went after {call}, and with it: {loss:?}"));
        }
    }
}

/// Files of an archive, relative to the folder of runs.
fn archive_files(world: &World) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![world.path("runs").join(NAME).join("archive.git")];
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(&folder).into_iter().flatten().map(|entry| entry.unwrap().path()) {
            if path.is_dir() { folders.push(path) } else { files.push(path) }
        }
    }
    files.sort();
    files
}

#[test]
fn an_archive_that_is_lost_or_partly_lost_at_any_moment_is_made_again_with_the_same_ids() {
    for run in of_both() {
        let mut rng = stream(4, 0, Purpose::Loads);
        let moments: Vec<&Moment> = run.moments.iter().filter(|moment| is_begun(&moment.killed)).collect();
        for (at, moment) in tried(moments, FEW).into_iter().enumerate() {
            let world = run.after(&moment.killed);
            let files = archive_files(&world);
            let what = match at % 3 {
                0 => {
                    let _ = fs::remove_dir_all(world.path("runs").join(NAME).join("archive.git"));
                    "the archive".to_owned()
                }
                _ if files.is_empty() => "nothing".to_owned(),
                _ => {
                    let file = &files[rng.random_range(0..files.len())];
                    fs::remove_file(file).unwrap();
                    file.display().to_string()
                }
            };
            run.continues(&world, &format!("killed after {}, then lost {what}", moment.call));
        }
    }
}

#[test]
fn the_archive_of_a_finished_run_is_made_again_with_the_same_ids() {
    for run in of_both() {
        let mut rng = stream(6, 0, Purpose::Loads);
        let finished = &run.moments.last().unwrap().killed;
        let count = archive_files(&run.after(finished)).len();
        let places: Vec<Option<usize>> = std::iter::once(None).chain((0..count).map(Some)).collect();
        for place in tried(places, FEW) {
            let world = run.after(finished);
            let archive = world.path("runs").join(NAME).join("archive.git");
            match place {
                None => fs::remove_dir_all(&archive).unwrap(),
                Some(place) => {
                    let file = &archive_files(&world)[place];
                    let mut bytes = fs::read(file).unwrap();
                    // Git has its packs read only.
                    fs::remove_file(file).unwrap();
                    if !bytes.is_empty() && rng.random() {
                        let at = rng.random_range(0..bytes.len());
                        bytes[at] ^= 1;
                        fs::write(file, bytes).unwrap();
                    }
                }
            }
            Output::of(&mut scripted::command(&world, &["fsck", "--repair", "--run", NAME])).ends(0);
            run.is_whole(&world, &format!("{:?}: repaired after {place:?}", run.target));
        }
    }
}

#[test]
fn every_decision_and_proposal_of_a_run_of_each_target_is_made_again() {
    for run in of_both() {
        let world = run.after(&run.moments.last().unwrap().killed);
        Output::of(&mut scripted::command(&world, &["replay", "--run", NAME, "--no-evaluate"])).ends(0);
    }
    let is_composed = |event: &Event| match event {
        Event::CandidateCreated(created) => created.name.starts_with("compose_policy"),
        _ => false,
    };
    assert!(POLICY.record.events.iter().any(is_composed), "no policy was composed");
}

/// The archive that is made again above has this front, too.
#[test]
fn the_front_in_the_archive_of_policies_is_one_of_balance_and_of_bytes_moved() {
    let world = POLICY.after(&POLICY.moments.last().unwrap().killed);
    let search = world.read(NAME).search;
    let front: Vec<_> = search.elites().front().collect();
    assert!(front.len() > 1, "{front:?}");
    for both in front.windows(2) {
        // The first moves less.
        assert!(both[0].speed > both[1].speed && both[0].quality < both[1].quality, "{front:?}");
    }
    for member in &front {
        let known = search.candidate(member.candidate).unwrap();
        // One that lost its duel has other figures.
        if known.held_out.as_ref().is_none_or(|held_out| held_out.confirmed) {
            let policy = known.scores().unwrap().policy.as_ref().unwrap();
            let apart = (member.speed - policy.stayed).abs().max((member.quality - policy.balance_won.unwrap()).abs());
            assert!(apart < 1e-5, "{member:?}: {policy:?}");
        }
    }
    let shown = world.tool("git", &["-C", "runs/x/archive.git", "rev-parse", "packevolve/front^@"]).ends(0).stdout;
    let commits = front.iter().map(|member| search.candidate(member.candidate).unwrap().commit.to_string());
    assert_eq!(shown.lines().collect::<Vec<_>>(), commits.collect::<Vec<_>>());
}

mod long {
    use super::*;

    #[test]
    #[ignore = "kills by the clock, so each time at other moments"]
    fn a_run_continues_after_real_kills_at_random_moments() {
        let mut rng = stream(3, 0, Purpose::Loads);
        for run in of_both().into_iter().cycle().take(RANDOM_KILLS) {
            let moment = run.took.mul_f64(rng.random_range(0.0..1.0));
            let world = fresh(run.target);
            let mut command = scripted::command(&world, &EVOLVE);
            let mut process = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
            std::thread::sleep(moment);
            process.kill().unwrap();
            process.wait().unwrap();
            run.continues(&world, &format!("killed after {moment:?}"));
        }
    }
}

/// From this call on, no call that needs space succeeds.
struct Full {
    left: usize,
    error: Errno,
    concerns: fn(&Call) -> bool,
}

impl Watcher for Full {
    fn fault(&mut self, call: &Call) -> Option<Errno> {
        if !(self.concerns)(call) {
            return None;
        }
        self.left = self.left.saturating_sub(1);
        (self.left == 0).then_some(self.error)
    }
}

/// Lets the calls fail that `concerns` names, from one of them on, and then continues the run.
fn fails(error: Errno, concerns: fn(&Call) -> bool, message: &str) {
    let count = PACKING.moments.len();
    for at in tried((1..count).collect(), FEW) {
        let world = scripted::world();
        fs::create_dir(world.path("runs")).unwrap();
        let mut full = Full { left: at, error, concerns };
        let output = trace(&scripted::command(&world, &EVOLVE), &world.path("runs"), &mut full);
        let what = format!("{error} from call {at} on");
        if full.left == 0 {
            // What comes last is a view, which a run is whole without.
            let is_whole = output.stderr.contains("stopped: all candidates asked for were made");
            assert_eq!(output.code, Some(i32::from(!is_whole)), "{what}: {}", output.stderr);
            assert!(is_whole || output.stderr.contains(message), "{what}: {}", output.stderr);
            assert!(!output.stderr.contains("panicked"), "{what}: {}", output.stderr);
        }
        PACKING.continues(&world, &what);
    }
}

#[test]
fn a_full_disk_ends_a_run_with_a_message_and_it_continues_when_there_is_space() {
    let needs_space = |call: &Call| matches!(call.kind, Kind::Create | Kind::Write | Kind::Name);
    fails(Errno::ENOSPC, needs_space, "No space left on device");
}

#[test]
fn a_disk_that_fails_to_sync_ends_a_run_with_a_message_and_it_continues_afterwards() {
    fails(Errno::EIO, |call| matches!(call.kind, Kind::Sync | Kind::SyncAll), "Input/output error");
}

/// What a read-only file system does.
struct ReadOnly {
    refused: usize,
}

impl Watcher for ReadOnly {
    fn fault(&mut self, call: &Call) -> Option<Errno> {
        let changes = !matches!(call.kind, Kind::Sync | Kind::SyncAll);
        self.refused += usize::from(changes);
        changes.then_some(Errno::EROFS)
    }
}

#[test]
fn a_folder_that_is_read_only_can_be_looked_at_and_is_refused_by_resume() {
    let world = PACKING.midway(20);
    let runs = world.path("runs");
    for arguments in [
        &["log", "--run", NAME][..],
        &["top", "--run", NAME],
        &["show", "0", "--run", NAME],
        &["replay", "--run", NAME],
        &["fsck", "--run", NAME],
    ] {
        let mut read_only = ReadOnly { refused: 0 };
        let output = trace(&scripted::command(&world, arguments), &runs, &mut read_only);
        assert_eq!(read_only.refused, 0, "{arguments:?} writes");
        assert!([Some(0), Some(7)].contains(&output.code), "{arguments:?}: {output:?}");
    }
    let output = trace(&scripted::command(&world, &RESUME), &runs, &mut ReadOnly { refused: 0 }).ends(1);
    output.tells_one_error(&["runs/x", "Read-only file system"]);
    let elsewhere = ["evolve", "--run", "y", "--candidates", "2"];
    let output = trace(&scripted::command(&world, &elsewhere), &runs, &mut ReadOnly { refused: 0 }).ends(1);
    output.tells(&["runs/y", "Read-only file system"]);
    PACKING.continues(&world, "it can be written to again");
}

#[test]
fn of_two_harnesses_that_begin_one_run_the_second_is_refused() {
    for _ in 0..3 {
        let world = scripted::world();
        let start = || {
            let mut command = scripted::command(&world, &EVOLVE);
            command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
        };
        let both = [start(), start()].map(|process| process.wait_with_output().unwrap());
        let mut codes: Vec<_> = both.iter().map(|output| output.status.code()).collect();
        codes.sort_unstable();
        assert_eq!(codes, [Some(0), Some(3)]);
        let refused = both.iter().find(|output| output.status.code() == Some(3)).unwrap();
        let stderr = String::from_utf8_lossy(&refused.stderr);
        let expected = ["is there already", "a journal is already there", "another packevolve is working on this run"];
        assert!(expected.iter().any(|words| stderr.contains(words)), "{stderr}");
        PACKING.is_whole(&world, "a second harness was refused");
    }
}

#[test]
fn the_time_of_earlier_sessions_counts_towards_that_of_the_run() {
    for (limit, reason) in [(5.0, "the time of the run is used up"), (1e6, "all candidates asked for were made")] {
        let world = PACKING.midway(20);
        let path = world.path("runs").join(NAME).join("journal.jsonl");
        let mut events = forged::events(&path);
        events[0]["data"]["settings"]["search"]["wall_seconds"] = json!(limit);
        let times = std::iter::once(1000.0).chain(std::iter::repeat(1010.0));
        forged::write_at(&path, &times.zip(events).collect::<Vec<_>>());
        let before = world.read(NAME).entries().unwrap().len();
        Output::of(&mut scripted::command(&world, &RESUME)).ends(0).tells(&[reason]);
        let added = world.read(NAME).entries().unwrap().len() - before;
        // Resumed, what was begun is carried out, partial verdicts are completed, stopped.
        assert_eq!(added <= 8, limit < 10.0, "{added} more events");
    }
}

/// Looks whether what led to a request is on the disk before the request is on its way.
struct Purse<'a> {
    disk: Disk,
    journal: PathBuf,
    endpoint: &'a Endpoint,
    seen: usize,
}

impl Watcher for Purse<'_> {
    fn fault(&mut self, call: &Call) -> Option<Errno> {
        if call.kind == Kind::Sync && call.path == self.journal {
            // What was sent before this sync has the time to arrive.
            std::thread::sleep(Duration::from_millis(50));
            let synced = String::from_utf8(self.disk.synced(&self.journal).to_vec()).unwrap();
            let on_record = synced.matches("\"proposer\":{\"model\":").count();
            self.seen = self.endpoint.arrived().len();
            assert!(self.seen <= on_record, "{} requests arrived, {on_record} are on record", self.seen);
        }
        None
    }

    fn made(&mut self, call: &Call) {
        self.disk.look(call);
    }
}

#[test]
fn what_leads_to_a_request_is_on_the_disk_before_it_is_sent() {
    let endpoint = Endpoint::playing(vec![Act::Insert("_IDEA = {n}".to_owned())]);
    let world = scripted::world();
    let model = json!({"name": "m", "base_url": endpoint.base_url(), "model": "m", "parameters": {"max_tokens": 20}});
    let proposers = json!({"models": [model], "corpus": null, "compose": {"enabled": false}, "cross": {"enabled": false}, "mutate": {"enabled": false}, "prune": {"enabled": false}});
    world.set("proposers", &proposers.to_string());
    let runs = world.path("runs");
    fs::create_dir(&runs).unwrap();
    let journal = runs.join(NAME).join("journal.jsonl");
    let mut purse = Purse { disk: Disk::new(&runs, "log"), journal, endpoint: &endpoint, seen: 0 };
    let arguments = ["evolve", "--run", NAME, "--candidates", "4"];
    trace(&scripted::command(&world, &arguments), &runs, &mut purse).ends(0);
    assert!(purse.seen >= 3, "{} requests were seen", purse.seen);
}
