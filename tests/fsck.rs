//! `packevolve fsck`: what is wrong with a record, where, and what can be done about it.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::LazyLock;

use packevolve::journal::{Journal, JournalError};
use packevolve::run::fold::Run;
use packevolve::run::folder::RunFolder;
use packevolve::values::event::Event;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{Output, World, copy};
use crate::support::{forged, scripted};

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

/// Demands these findings, their kinds and whether they can be repaired, then that repairing leaves those that cannot.
#[track_caller]
fn finds(world: &World, wanted: &[(&str, &str, bool)]) {
    let report = fsck(world, &["--format", "json"]).ends(7).json();
    let findings = report["findings"].as_array().unwrap();
    assert_eq!(findings.len(), wanted.len(), "{report:#}");
    for (kind, what, repairable) in wanted {
        let fits = |finding: &&Value| {
            finding["kind"] == *kind
                && finding["what"].as_str().unwrap().contains(what)
                && finding["repairable"] == json!(repairable)
        };
        assert!(findings.iter().any(|finding| fits(&finding)), "{kind}, {what}, {repairable}: {report:#}");
    }
    let lost = wanted.iter().filter(|(_, _, repairable)| !repairable).count();
    let repaired = fsck(world, &["--repair", "--format", "json"]).ends(if lost > 0 { 7 } else { 0 }).json();
    assert_eq!(repaired["findings"].as_array().unwrap().len(), lost, "{repaired:#}");
    assert_eq!(repaired["repaired"].as_array().unwrap().len(), wanted.len() - lost, "{repaired:#}");
    if lost == 0 {
        replay(world).ends(0);
    }
}

#[test]
fn an_intact_run_is_reported_as_intact_and_left_alone() {
    let world = finished();
    let output = fsck(&world, &[]).ends(0);
    let report = output.stdout.trim_end();
    assert!(report.starts_with("runs/x: ") && report.contains(" 11 candidates, "), "{report}");
    assert!(report.ends_with(" objects: journal and archive are whole and agree"), "{report}");
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
    finds(
        &world,
        &[
            ("torn-line", "ends after 19 bytes", true),
            ("unreachable", "no ref leads to ", true),
            ("ref", "packevolve/kept names nothing, by the journal", true),
            ("leftover", "best.lock: a crash left it", true),
            ("leftover", "kept: a crash left it", true),
        ],
    );
}

#[test]
fn refs_that_were_moved_or_removed_are_moved_back() {
    let world = finished();
    let seed = run(&world).search.origin().seed.commit.to_string();
    fs::write(path(&world, "archive.git/refs/heads/best"), format!("{seed}\n")).unwrap();
    fs::remove_file(path(&world, "archive.git/refs/packevolve/kept")).unwrap();
    finds(
        &world,
        &[
            ("ref", &format!("best names {seed}, by the journal it is "), true),
            ("ref", "packevolve/kept names nothing", true),
            ("unreachable", "no ref leads to ", true),
        ],
    );
}

/// Has git store every object in a file of its own.
fn unpack(world: &World) {
    let packs = path(world, "archive.git/objects/pack");
    for file in fs::read_dir(&packs).unwrap().map(|entry| entry.unwrap().path()) {
        if file.extension().is_some_and(|ending| ending == "pack") {
            let aside = world.path("aside.pack");
            fs::rename(&file, &aside).unwrap();
            let _ = fs::remove_file(file.with_extension("idx"));
            let input = fs::File::open(&aside).unwrap();
            let mut git = Command::new("git");
            git.args(["unpack-objects", "-q"]).current_dir(path(world, "archive.git")).stdin(input);
            assert!(git.status().unwrap().success());
        }
    }
}

#[test]
fn what_keeps_candidates_is_written_again_if_it_is_lost_or_damaged() {
    for damage in [None, Some(b"not zlib")] {
        let world = finished();
        let git = |name: &str| {
            let output = world.tool("git", &["-C", "runs/x/archive.git", "rev-parse", name]).ends(0);
            output.stdout.trim().to_owned()
        };
        let kept = git("packevolve/kept");
        unpack(&world);
        let file = object(&world, &kept);
        fs::remove_file(&file).unwrap();
        damage.into_iter().for_each(|bytes| fs::write(&file, bytes).unwrap());
        finds(&world, &[("object", "a ref leads to it: ", true), ("unreachable", "no ref leads to ", true)]);
    }
}

#[test]
fn any_object_that_is_lost_or_damaged_is_named_with_its_candidate_and_made_again() {
    for name in ["", ":eplb.py", ":proposal.txt", "^{tree}"] {
        for damage in [None, Some(b"not zlib")] {
            let world = finished();
            let run = run(&world);
            let (candidate, known) = run.search.candidates().last().unwrap();
            let name = format!("{}{name}", known.commit);
            let id = world.tool("git", &["-C", "runs/x/archive.git", "rev-parse", &name]).ends(0);
            let id = id.stdout.trim();
            unpack(&world);
            let file = object(&world, &id);
            fs::remove_file(&file).unwrap();
            damage.into_iter().for_each(|bytes| fs::write(&file, bytes).unwrap());
            let output = fsck(&world, &[]).ends(7);
            let place = format!("object: candidate {candidate}: ");
            let line = output.stdout.lines().find(|line| line.starts_with(&place));
            assert!(line.is_some_and(|line| line.contains(id)), "{name}:\n{}", output.stdout);
            fsck(&world, &["--repair"]).ends(0);
            fsck(&world, &[]).ends(0);
            replay(&world).ends(0);
        }
    }
}

#[test]
fn a_candidate_that_differs_from_its_proposal_is_named() {
    let world = finished();
    let journal = path(&world, "journal.jsonl");
    let mut events = forged::events(&journal);
    let created = events.iter().rposition(|event| event["type"] == "candidate-created").unwrap();
    let data = &mut events[created]["data"];
    let candidate = data["candidate"].clone();
    let proposal = data["proposal"].as_str().unwrap().replacen("<DESCRIPTION>", "<DESCRIPTION>\nNot said.", 1);
    data["proposal"] = json!(proposal);
    forged::write(&journal, &events);
    let output = fsck(&world, &[]).ends(7);
    let report = format!("candidate: candidate {candidate}: its proposal makes commit ");
    assert!(output.stdout.contains(&report), "{}", output.stdout);
    fsck(&world, &["--repair"]).ends(7);
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
    let mut events = forged::events(&journal_path);
    let judged = events.iter().position(|event| event["type"] == "candidate-evaluated").unwrap();
    events.insert(judged, events[judged].clone());
    forged::write(&journal_path, &events);
    let output = fsck(&world, &[]).ends(7);
    assert!(output.stdout.contains(&format!("impossible event: line {}: ", judged + 2)), "{}", output.stdout);
    assert!(output.stdout.contains("was evaluated before"), "{}", output.stdout);
}

#[test]
fn another_version_and_other_folders_are_refused() {
    let world = finished();
    fs::write(path(&world, "journal.jsonl"), "{\"version\":999,\"seq\":0,\"what\":\"ever\"}\n").unwrap();
    fsck(&world, &[]).ends(3).tells_one_error(&["journal.jsonl:1: the journal has version 999", "hint: "]);
    let output = Output::of(&mut scripted::command(&world, &["fsck", "--run", "nothing"]));
    output.ends(3).tells_one_error(&["nothing is not a run folder"]);
}

#[test]
fn a_run_without_its_archive_is_found_and_its_archive_made_again() {
    let world = finished();
    let head = || world.tool("git", &["-C", "runs/x/archive.git", "show-ref"]).ends(0).stdout;
    let refs = head();
    fs::remove_dir_all(path(&world, "archive.git")).unwrap();
    let output = fsck(&world, &[]).ends(7);
    assert!(output.stdout.contains("archive: runs/x/archive.git: not an archive"), "{}", output.stdout);
    fsck(&world, &["--repair"]).ends(0);
    assert_eq!(head(), refs);
}

#[test]
fn an_archive_that_cannot_be_read_is_made_again_by_fsck_and_by_resume() {
    type Damage = fn(&std::path::Path);
    let damages: [(&str, Damage); 7] = [
        ("malformed settings", |archive| fs::write(archive.join("config"), "[core").unwrap()),
        ("malformed packed refs", |archive| fs::write(archive.join("packed-refs"), "no ref").unwrap()),
        ("a ref that is a folder", |archive| {
            let kept = archive.join("refs/packevolve/kept");
            fs::remove_file(&kept).unwrap();
            fs::create_dir(&kept).unwrap();
            fs::write(kept.join("other"), "").unwrap();
        }),
        ("no folder of packs", |archive| fs::remove_dir_all(archive.join("objects/pack")).unwrap()),
        ("no refs", |archive| fs::remove_dir_all(archive.join("refs")).unwrap()),
        ("malformed HEAD", |archive| fs::write(archive.join("HEAD"), "no ref").unwrap()),
        ("a HEAD that leads elsewhere", |archive| fs::write(archive.join("HEAD"), "ref: refs/heads/main\n").unwrap()),
    ];
    for (what, damage) in damages {
        let world = finished();
        let git =
            |arguments: &[&str]| world.tool("git", &[&["-C", "runs/x/archive.git"], arguments].concat()).ends(0).stdout;
        let refs = git(&["show-ref"]);
        damage(&path(&world, "archive.git"));
        let output = fsck(&world, &[]);
        assert_eq!(output.code, Some(7), "{what}");
        let output = fsck(&world, &["--repair"]);
        assert_eq!(output.code, Some(0), "{what}: {}\n{}", output.stdout, output.stderr);
        assert_eq!(git(&["show-ref"]), refs, "{what}");
        git(&["fsck", "--strict"]);
        damage(&path(&world, "archive.git"));
        let output = Output::of(&mut scripted::command(&world, &["resume", "--run", NAME, "--candidates", "13"]));
        assert_eq!(output.code, Some(0), "{what}: {}", output.stderr);
        fsck(&world, &[]).ends(0);
        git(&["fsck", "--strict"]);
    }
}

/// What a person does to an archive, what `fsck` says of it, and what is left to do.
struct Mishap {
    what: &'static str,
    act: fn(&World, &std::path::Path),
    /// The finding, and whether `--repair` cures it.
    finding: &'static [&'static str],
    repairable: bool,
}

fn git(world: &World, arguments: &[&str]) -> Output {
    world.tool("git", &[&["--git-dir", "runs/x/archive.git"], arguments].concat())
}

/// Removes empty folders, as some copies do.
fn drop_empty(folder: &std::path::Path) {
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap).filter(|entry| entry.path().is_dir()) {
        drop_empty(&entry.path());
        let _ = fs::remove_dir(entry.path());
    }
}

const MISHAPS: [Mishap; 6] = [
    Mishap {
        what: "a copy without empty folders",
        act: |world, archive| {
            git(world, &["gc", "--quiet"]).ends(0);
            drop_empty(archive);
        },
        finding: &["the archive has no refs/ folder, which a copy without empty folders loses", "--repair` makes it"],
        repairable: true,
    },
    Mishap {
        what: "a copy without objects",
        act: |_, archive| fs::remove_dir_all(archive.join("objects/pack")).unwrap(),
        finding: &["the archive has no object ", "--repair` makes it again from the journal"],
        repairable: true,
    },
    Mishap {
        what: "a copy without its index of packs",
        act: |_, archive| {
            let packs = fs::read_dir(archive.join("objects/pack")).unwrap().map(|entry| entry.unwrap().path());
            packs
                .filter(|file| file.extension().is_some_and(|end| end == "idx"))
                .for_each(|file| fs::remove_file(file).unwrap());
        },
        finding: &["the archive has no object "],
        repairable: true,
    },
    Mishap {
        what: "a link to another place",
        act: |world, archive| {
            fs::rename(archive, world.path("elsewhere")).unwrap();
            fs::write(archive, "gitdir: ../../elsewhere\n").unwrap();
        },
        finding: &["not an archive (a bare git repository)"],
        repairable: true,
    },
    Mishap {
        what: "refs in another format",
        act: |_, archive| {
            // As `git refs migrate` of git 2.46 leaves it.
            let config = fs::read_to_string(archive.join("config")).unwrap();
            let config = config.replace("repositoryformatversion = 0", "repositoryformatversion = 1");
            fs::write(archive.join("config"), config + "[extensions]\n\trefstorage = reftable\n").unwrap();
        },
        finding: &[
            "in a format of git that packevolve does not read",
            "refs migrate --ref-format=files` makes it readable",
        ],
        repairable: false,
    },
    Mishap {
        what: "a partial clone",
        act: |_, archive| {
            let config = fs::read_to_string(archive.join("config")).unwrap();
            let config = config.replace("repositoryformatversion = 0", "repositoryformatversion = 1");
            fs::write(archive.join("config"), config + "[extensions]\n\tpartialclone = origin\n").unwrap();
        },
        finding: &["in a format of git that packevolve does not read", "makes the archive again from the journal"],
        repairable: false,
    },
];

#[test]
fn what_a_copy_or_another_git_made_of_an_archive_is_named_with_its_cure() {
    for Mishap { what, act, finding, repairable } in MISHAPS {
        let world = finished();
        let refs = git(&world, &["show-ref"]).ends(0).stdout;
        act(&world, &path(&world, "archive.git"));
        let before = listing(&path(&world, ""));
        let output = fsck(&world, &[]);
        assert_eq!(output.code, Some(7), "{what}: {}", output.stderr);
        finding.iter().for_each(|part| assert!(output.stdout.contains(part), "{what}: {part:?} in {}", output.stdout));
        assert_eq!(listing(&path(&world, "")), before, "{what}: fsck writes");
        let resume = Output::of(&mut scripted::command(&world, &["resume", "--run", NAME, "--candidates", "13"]));
        if repairable {
            assert_eq!(resume.code, Some(0), "{what}: {}", resume.stderr);
            fsck(&world, &[]).ends(0);
            let world = finished();
            act(&world, &path(&world, "archive.git"));
            fsck(&world, &["--repair"]).ends(0);
            assert_eq!(git(&world, &["show-ref"]).ends(0).stdout, refs, "{what}");
        } else {
            // It looks before it writes.
            assert_eq!(resume.code, Some(3), "{what}: {}", resume.stderr);
            assert!(resume.stderr.contains("hint: "), "{what}: {}", resume.stderr);
            fsck(&world, &["--repair"]).ends(7);
            assert_eq!(listing(&path(&world, "")), before, "{what}: resume writes");
        }
    }
}

/// Every file below a folder, with its length.
fn listing(folder: &std::path::Path) -> Vec<(PathBuf, u64)> {
    let mut all = Vec::new();
    for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if path.is_dir() {
            all.extend(listing(&path));
        }
        all.push((path.clone(), fs::symlink_metadata(&path).unwrap().len()));
    }
    all.sort();
    all
}

#[test]
fn an_archive_that_was_moved_aside_is_never_deleted() {
    let world = finished();
    for number in 1..=3 {
        fs::remove_dir_all(path(&world, "archive.git")).unwrap();
        fs::write(path(&world, "archive.git"), number.to_string()).unwrap();
        fsck(&world, &["--repair"]).ends(0);
    }
    for (name, wanted) in [("damaged", "1"), ("damaged-2", "2"), ("damaged-3", "3")] {
        assert_eq!(fs::read_to_string(path(&world, &format!("archive.git.{name}"))).unwrap(), wanted);
    }
}

/// Does something to the archive of a live run, and waits for the end of that run.
fn disturbed(world: &World, disturb: impl FnOnce(PathBuf)) -> Output {
    let command = scripted::command(world, &["evolve", "--run", NAME, "--candidates", "12"]);
    std::thread::scope(|scope| {
        let run = scope.spawn(|| Output::of(&mut { command }));
        let judged = || fs::read_to_string(path(world, "journal.jsonl")).unwrap_or_default();
        while judged().matches("\"candidate-evaluated\"").count() < 4 {
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
        disturb(path(world, "archive.git"));
        run.join().unwrap()
    })
}

#[test]
fn an_archive_that_is_removed_from_a_live_run_is_there_at_its_end() {
    let world = scripted::world();
    disturbed(&world, |archive| fs::remove_dir_all(archive).unwrap()).ends(0);
    fsck(&world, &[]).ends(0);
}

#[test]
fn a_run_whose_archive_cannot_be_written_at_its_end_has_its_results_nevertheless() {
    let world = scripted::world();
    let lock = |archive: PathBuf| fs::write(archive.join("refs/heads/best.lock"), "").unwrap();
    let output = disturbed(&world, lock).ends(0);
    let output =
        output.tells(&["note: the archive is not up to date: ", "hint: `packevolve fsck --repair` makes it again"]);
    assert!(output.stdout.contains("best: candidate "), "{}", output.stdout);
    fsck(&world, &[]).ends(7);
    fsck(&world, &["--repair"]).ends(0);
}

#[test]
fn what_lies_where_the_archive_belongs_is_moved_aside() {
    let world = finished();
    fs::remove_dir_all(path(&world, "archive.git")).unwrap();
    fs::write(path(&world, "archive.git"), "someone's").unwrap();
    fsck(&world, &["--repair"]).ends(0);
    assert_eq!(fs::read_to_string(path(&world, "archive.git.damaged")).unwrap(), "someone's");
}

#[test]
fn a_run_that_is_under_way_is_looked_at_and_not_repaired() {
    let world = finished();
    let held = Journal::<Event>::open(&path(&world, "journal.jsonl"), |_| Ok::<_, JournalError>(())).unwrap();
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
