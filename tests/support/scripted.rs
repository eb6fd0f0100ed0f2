//! Scripted: runs whose judge computes nothing, so that they are quick and come out the same every time. The harness is
//! the one that is shipped; beside it lies a script that lets this test binary serve as the judge.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use packevolve::run::fold::Run;
use packevolve::run::folder::RunFolder;
use packevolve::run::fsck;
use packevolve::values::event::Event;
use packevolve_contract::stream::{Purpose, stream};
use rand::seq::SliceRandom;

use super::{EPOCH, World, harness, script};

#[path = "../bench/stub.rs"]
pub mod stub;

/// The variable that makes this test binary the judge.
const SERVES: &str = "PACKEVOLVE_SERVES";

/// The harness with the script beside it.
static HARNESS: LazyLock<PathBuf> = LazyLock::new(|| {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("scripted");
    fs::create_dir_all(&folder).unwrap();
    // What another process of these tests runs just now is replaced and not changed.
    let put = |name: &str, make: &dyn Fn(&Path)| {
        let (new, path) = (folder.join(format!("{name}.{}", std::process::id())), folder.join(name));
        make(&new);
        fs::rename(new, &path).unwrap();
        path
    };
    let own = std::env::current_exe().unwrap();
    let test = "support::scripted::serves_as_the_judge";
    let script = format!("#!/bin/sh\n{SERVES}=1 exec '{}' --exact --ignored --nocapture {test}\n", own.display());
    put("packevolve-judge", &|path| {
        fs::write(path, &script).unwrap();
        fs::set_permissions(path, PermissionsExt::from_mode(0o755)).unwrap();
    });
    put("packevolve", &|path| {
        fs::copy(harness(), path).unwrap();
    })
});

#[test]
#[ignore = "the judge of scripted runs"]
fn serves_as_the_judge() {
    if std::env::var(SERVES).is_ok() {
        // The harness goes without a word when it is killed.
        let _ = stub::serve(script::answer);
    }
}

/// A world for scripted runs of one slot.
pub fn world() -> World {
    World::new().served_by(HARNESS.clone())
}

/// A world for scripted runs with `more` settings.
pub fn with(more: &str) -> World {
    World::with(more).served_by(HARNESS.clone())
}

/// A world for scripted runs of policies.
pub fn of_policies() -> World {
    World::of_policies().served_by(HARNESS.clone())
}

/// The harness with these arguments.
pub fn command(world: &World, arguments: &[&str]) -> Command {
    let mut command = Command::new(&*HARNESS);
    command.args(arguments).current_dir(world.path("")).env_clear().env("SOURCE_DATE_EPOCH", EPOCH);
    command
}

/// Names how many of the possible cases a test tries, or `all`.
pub const TRIES: &str = "PACKEVOLVE_CRASHES";

/// Those of all cases that are tried: as many as fit into the time of all tests, always the same ones.
pub fn tried<T>(mut all: Vec<T>, few: usize) -> Vec<T> {
    all.shuffle(&mut stream(2, 0, Purpose::Loads));
    match std::env::var(TRIES).as_deref() {
        Ok("all") => {}
        Ok(number) => all.truncate(number.parse().expect("a number")),
        Err(_) => all.truncate(few),
    }
    all
}

/// Whether the latest duel has not ended.
fn is_open(events: &[Event]) -> bool {
    let latest = |event: &&Event| matches!(event, Event::DuelStarted { .. } | Event::DuelEnded { .. });
    matches!(events.iter().rev().find(latest), Some(Event::DuelStarted { .. }))
}

/// The parts of a run that must be equal with and without interruptions.
#[derive(Debug, PartialEq)]
pub struct Record {
    pub events: Vec<Event>,
    /// Names and ids.
    pub refs: BTreeMap<String, String>,
}

impl Record {
    /// Reads the run in `folder`, whose journal and archive are to agree; marks of interruptions are left out.
    pub fn read(folder: &Path) -> Self {
        let report = fsck::check(&RunFolder::new(folder.to_owned())).unwrap();
        assert_eq!(report.findings, []);
        let run = Run::open(RunFolder::new(folder.to_owned())).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(run.torn, None);
        let mut events: Vec<Event> = Vec::new();
        for entry in run.entries().unwrap() {
            match entry.event {
                Event::RunResumed { .. } => {
                    // It had come to its end, only not to its last sync.
                    if matches!(events.last(), Some(Event::RunStopped { .. })) {
                        events.pop();
                    }
                }
                // Those of a run that starts, or starts again.
                Event::SlotOpened { .. } | Event::SlotLost { .. } => {}
                // After an interruption a duel starts again.
                Event::DuelStarted { .. } if is_open(&events) => {}
                // Entropy, which nothing depends on here.
                Event::DuelStarted { contender, best, .. } => {
                    events.push(Event::DuelStarted { contender, best, seed: 0 });
                }
                event => events.push(event),
            }
        }
        let archive = folder.join("archive.git");
        // A power loss may take the newline after an id and nothing else; to git that is the same ref.
        let read = |name: &str| {
            let ref_file = fs::read_to_string(archive.join(name)).unwrap_or_default();
            (name.to_owned(), ref_file.trim_end().to_owned())
        };
        let islands = fs::read_dir(archive.join("refs/packevolve/islands")).into_iter().flatten();
        let islands = islands.map(|file| format!("refs/packevolve/islands/{}", file.unwrap().file_name().display()));
        let names = ["refs/heads/best", "refs/packevolve/kept", "refs/packevolve/front"].map(str::to_owned);
        let names = names.into_iter().chain(islands);
        Self { events, refs: names.map(|name| read(&name)).collect() }
    }
}
