//! What an archive promises: equal candidates get equal ids, plain git reads it, and no changed byte is believed.

use std::fs;
use std::process::Command;

use tempfile::TempDir;

use super::*;
use crate::archive::store::BEST;

const EPOCH: i64 = 1_700_000_000;
const FILE: &str = "eplb.py";

fn seed(program: &str) -> NewCandidate {
    NewCandidate {
        number: 0,
        file_name: FILE.to_owned(),
        program: program.to_owned(),
        proposal: None,
        name: "start program".to_owned(),
        description: "The first program.".to_owned(),
        parents: Vec::new(),
        trailers: Vec::new(),
        epoch: EPOCH,
    }
}

fn edited(number: u64, name: &str, program: &str, parents: &[CommitId]) -> NewCandidate {
    NewCandidate {
        number,
        name: name.to_owned(),
        parents: parents.to_vec(),
        proposal: Some(b"<NAME>\r\nnot UTF-8: \xff\x01\n".to_vec()),
        description: "Does\nbetter.".to_owned(),
        ..seed(program)
    }
}

fn commit(new: &NewCandidate) -> CommitId {
    new.ids().unwrap().commit
}

/// Three generations: each line of the last program was written by another one.
fn lineage() -> [NewCandidate; 3] {
    let first = seed("a = 1\nb = 1\nc = 1\n");
    let second = edited(1, "tune_b", "a = 1\nb = 2\nc = 1\n", &[commit(&first)]);
    let third = edited(5, "tune c", "a = 1\nb = 2\nc = 3\n", &[commit(&second)]);
    [first, second, third]
}

fn refs(best: CommitId) -> Refs {
    Refs { best, front: vec![best], islands: vec![Some(best), None], time: 7 }
}

struct World {
    _folder: TempDir,
    path: PathBuf,
    writer: Writer,
}

impl World {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("archive.git");
        Self { writer: Writer::open(&path, EPOCH).unwrap(), path, _folder: folder }
    }

    fn add(&mut self, all: &[NewCandidate]) {
        all.iter().for_each(|new| self.writer.add(commit(new), Some(new.clone())));
    }

    /// An archive with these candidates, the last of them the best.
    fn with(all: &[NewCandidate]) -> Self {
        let mut world = Self::new();
        world.add(all);
        world.writer.finish(&refs(commit(all.last().unwrap())), &BTreeMap::new()).unwrap();
        world
    }

    fn archive(&self) -> Archive {
        Archive::open(&self.path).unwrap()
    }

    /// Runs git without anyone's settings.
    fn git(&self, arguments: &[&str]) -> String {
        let mut command = Command::new("git");
        command.arg("-C").arg(&self.path).args(arguments).env_clear().env("HOME", "/nonexistent").env("TZ", "UTC");
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("GIT_CONFIG_NOSYSTEM", "1");
        let output = command.output().expect("git is installed");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert!(output.status.success(), "git {arguments:?}: {}", text(&output.stderr));
        text(&output.stdout) + &text(&output.stderr)
    }

    fn is_sound(&self) {
        assert_eq!(self.git(&["fsck", "--strict", "--full", "--no-dangling", "--no-progress"]), "");
    }
}

#[test]
fn a_candidate_has_the_same_ids_in_any_archive_and_in_none() {
    let all = lineage();
    let (one, other) = (World::with(&all), World::with(&all));
    for new in &all {
        let ids = new.ids().unwrap();
        assert!(!one.archive().lacks(&ids).unwrap());
        one.archive().verify(&ids).unwrap();
    }
    assert_eq!(one.git(&["show-ref"]), other.git(&["show-ref"]));
    assert_eq!(one.git(&["show", "best:proposal.txt"]).len(), "<NAME>\r\nnot UTF-8: \u{fffd}\u{1}\n".len());
}

#[test]
fn an_archive_written_in_parts_has_the_refs_of_one_written_at_once() {
    let mut all = lineage().to_vec();
    for number in 6..600 {
        all.push(edited(number, "side", &format!("side = {number}\n"), &[commit(&all[0])]));
    }
    let whole = World::with(&all);
    let mut parts = World::new();
    for some in all.chunks(77) {
        parts.add(some);
        parts.writer.begin(refs(commit(&some[0])));
    }
    parts.writer.finish(&refs(commit(all.last().unwrap())), &BTreeMap::new()).unwrap();
    assert_eq!(whole.git(&["show-ref"]), parts.git(&["show-ref"]));
    let resumed = World { writer: Writer::open(&parts.path, EPOCH).unwrap(), ..parts };
    assert_eq!(resumed.writer.lacking(all.iter().map(|new| new.ids().unwrap())).unwrap(), Vec::<usize>::new());
}

#[test]
fn what_is_lacking_is_found_and_written_again() {
    let all = lineage();
    let world = World::with(&all);
    for file in fs::read_dir(world.path.join("objects/pack")).unwrap() {
        fs::remove_file(file.unwrap().path()).unwrap();
    }
    let lacking = world.writer.lacking(all.iter().map(|new| new.ids().unwrap())).unwrap();
    assert_eq!(lacking, [0, 1, 2]);
    world.writer.restore(&lacking, |at| Ok(all[at].clone())).unwrap();
    assert_eq!(world.writer.lacking(all.iter().map(|new| new.ids().unwrap())).unwrap(), Vec::<usize>::new());
}

#[test]
fn after_a_pack_that_could_not_be_written_the_end_writes_all_that_is_missing() {
    let mut all = lineage().to_vec();
    let before = all.len();
    // This has the commit that keeps the first 256 candidates.
    for number in 6..300 {
        all.push(edited(number, "side", &format!("side = {number}\n"), &[commit(&all[0])]));
    }
    let mut world = World::with(&all[..before]);
    let shown = world.git(&["show-ref"]);
    let (packs, aside) = (world.path.join("objects/pack"), world.path.join("aside"));
    fs::rename(&packs, &aside).unwrap();
    fs::write(&packs, "in the way").unwrap();
    world.add(&all[before..270]);
    world.writer.begin(refs(commit(&all[269])));
    world.writer.wait();
    fs::remove_file(&packs).unwrap();
    fs::rename(&aside, &packs).unwrap();
    world.add(&all[270..]);
    assert!(!world.writer.is_due());
    world.writer.begin(refs(commit(&all[280])));
    world.writer.wait();
    assert_eq!(world.git(&["show-ref"]), shown, "refs lead to missing commits");
    world.writer.flush().unwrap();
    let lacking = world.writer.lacking_commits(all.iter().map(commit)).unwrap();
    assert_eq!(lacking, (before..all.len()).collect::<Vec<_>>());
    world.writer.restore(&lacking, |at| Ok(all[at].clone())).unwrap();
    let best = refs(commit(all.last().unwrap()));
    world.writer.finish(&best, &BTreeMap::new()).unwrap();
    world.is_sound();
    assert_eq!(world.git(&["show-ref"]), World::with(&all).git(&["show-ref"]));
}

#[test]
fn a_folder_without_an_archive_is_refused_by_readers_and_moved_aside_by_the_writer() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("archive.git");
    assert!(matches!(Archive::open(&path), Err(ArchiveError::NotAnArchive { .. })));
    fs::create_dir(&path).unwrap();
    fs::write(path.join("mine"), "kept").unwrap();
    let error = Archive::open(&path).unwrap_err();
    assert!(error.to_string().starts_with(&path.display().to_string()), "{error}");
    for _ in 0..2 {
        Writer::open(&path, EPOCH).unwrap();
        assert_eq!(fs::read_to_string(path.with_added_extension("damaged").join("mine")).unwrap(), "kept");
    }
}

#[test]
fn locks_and_torn_refs_that_a_crash_left_do_not_block() {
    let all = lineage();
    let world = World::with(&all);
    for (file, content) in [("packevolve/front.lock", ""), ("packevolve/islands/1", ""), ("heads/best", "505e0294")] {
        fs::write(world.path.join("refs").join(file), content).unwrap();
    }
    fs::write(world.path.join("refs/packevolve/islands/mine"), "").unwrap();
    assert_eq!(world.archive().left_over().len(), 3);
    assert_eq!(world.archive().target(BEST).unwrap(), None);
    let mut world = World { writer: Writer::open(&world.path, EPOCH).unwrap(), ..world };
    assert_eq!(world.archive().left_over(), Vec::<PathBuf>::new());
    assert!(world.path.join("refs/packevolve/islands/mine").exists(), "it is not ours");
    all.iter().for_each(|new| world.writer.add(commit(new), None));
    world.writer.finish(&refs(commit(&all[2])), &BTreeMap::new()).unwrap();
    assert_eq!(world.archive().target(BEST).unwrap(), Some(commit(&all[2])));
}

#[test]
fn only_the_archives_own_settings_count() {
    let world = World::with(&lineage());
    let config = fs::read_to_string(world.path.join("config")).unwrap();
    assert!(config.contains("bare = true") && !config.contains("hostile"), "{config}");
    assert!(!world.path.join("from-template").exists());
    world.archive();
}

/// Runs the test above as a user with these settings.
fn with_user_settings(settings: &str) -> (bool, String) {
    let home = TempDir::new().unwrap();
    let template = home.path().join("template");
    fs::create_dir(&template).unwrap();
    fs::write(template.join("from-template"), "").unwrap();
    fs::write(home.path().join(".gitconfig"), settings.replace("TEMPLATE", template.to_str().unwrap())).unwrap();
    let inner = ["--exact", "archive::writer::tests::only_the_archives_own_settings_count"];
    let output = Command::new(std::env::current_exe().unwrap()).args(inner).env("HOME", home.path()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("running 1 test"), "{text}");
    (output.status.success(), text.into_owned())
}

#[test]
fn the_users_settings_have_no_say() {
    let settings = "[hostile]\n\tsetting = 1\n[core]\n\tbare = false\n[init]\n\ttemplateDir = TEMPLATE\n";
    let (passed, text) = with_user_settings(settings);
    assert!(passed, "{text}");
}

#[test]
fn malformed_settings_of_the_user_are_named() {
    let (passed, text) = with_user_settings("[core\n");
    assert!(!passed && text.contains(".gitconfig"), "{text}");
}

#[test]
fn git_fsck_finds_nothing_with_any_name_of_a_proposal() {
    let mut all = lineage().to_vec();
    let names = [
        "",
        "<>",
        "a\nb <c@d>\0",
        "...",
        "日本\u{202e}",
        "\u{feff}",
        "-",
        "--all",
        "\"quoted\"",
        "a\\",
        "'",
        "~!@#$%^&*()",
    ];
    for (number, name) in (10..).zip(names) {
        let parents = [commit(all.last().unwrap()), commit(&all[0])];
        let new = edited(number, name, &format!("x = {number}\n"), &parents);
        all.push(NewCandidate { description: "tree 0\n\nparent: \0\n".to_owned(), ..new });
    }
    World::with(&all).is_sound();
}

#[test]
fn git_makes_the_same_commit_of_the_same_parts() {
    let all = lineage();
    let world = World::with(&all);
    let ids = all[2].ids().unwrap();
    let (date, tree, parent) = (format!("{} +0000", EPOCH + 5), ids.tree.to_string(), commit(&all[1]).to_string());
    let mut command = Command::new("git");
    command.arg("-C").arg(&world.path).args(["commit-tree", &tree, "-p", &parent, "-m", "tune c\n\nDoes\nbetter."]);
    for role in ["AUTHOR", "COMMITTER"] {
        command.env(format!("GIT_{role}_NAME"), "tune c").env(format!("GIT_{role}_EMAIL"), "tune-c@packevolve");
        command.env(format!("GIT_{role}_DATE"), &date);
    }
    let output = command.output().expect("git is installed");
    assert_eq!(String::from_utf8(output.stdout).unwrap().trim(), ids.commit.to_string());
}

#[test]
fn blame_and_log_name_the_proposals_as_authors() {
    let mut all = lineage().to_vec();
    let world = World::with(&all);
    let blame = world.git(&["blame", "--porcelain", "best", "--", FILE]);
    let authors: Vec<_> = blame.lines().filter_map(|line| line.strip_prefix("author ")).collect();
    assert_eq!(authors, ["start program", "tune_b", "tune c"]);

    all.push(edited(6, "cross", "a = 0\n", &[commit(&all[2]), commit(&all[0])]));
    let world = World::with(&all);
    let log = world.git(&["log", "--graph", "--date=iso", "--format=%h %an %ad %s", "best"]);
    assert!(all.iter().all(|new| log.contains(&commit(new).to_string()[..7])), "{log}");
    assert!(log.contains("tune c 2023-11-14 22:13:25 +0000 tune c"), "{log}");
    assert!(log.starts_with("*  "), "a merge is drawn as one: {log}");
    let first_parents = world.git(&["log", "--first-parent", "--format=%an"]);
    assert_eq!(first_parents, "cross\ntune c\ntune_b\nstart program\n", "HEAD is best");
}

#[test]
fn collection_a_mirror_and_packed_refs_lose_nothing() {
    let mut all = lineage().to_vec();
    for number in 10..40 {
        all.push(edited(number, "side", &format!("side = {number}\n"), &[]));
    }
    let notes: BTreeMap<CommitId, String> =
        all.iter().map(|new| (commit(new), format!("score {}\n", new.number))).collect();
    let mut world = World::new();
    world.add(&all);
    world.writer.finish(&refs(commit(&all[2])), &notes).unwrap();
    world.git(&["pack-refs", "--all"]);
    world.git(&["gc", "--quiet", "--prune=now"]);
    let mirror = world.path.with_file_name("mirror.git");
    world.git(&["clone", "--quiet", "--mirror", ".", mirror.to_str().unwrap()]);
    for path in [&world.path, &mirror] {
        let archive = Archive::open(path).unwrap();
        all.iter().for_each(|new| archive.verify(&new.ids().unwrap()).unwrap());
        assert_eq!(archive.target(BEST).unwrap(), Some(commit(&all[2])));
    }
    world.is_sound();
    // The refs move on.
    world.writer.finish(&refs(commit(&all[1])), &notes).unwrap();
    assert_eq!(world.archive().target(BEST).unwrap(), Some(commit(&all[1])));
    world.is_sound();
}

#[test]
fn git_shows_notes_below_commits_without_being_asked() {
    let all = lineage();
    let mut world = World::with(&all);
    assert!(!world.git(&["for-each-ref"]).contains("notes"));
    let log = world.git(&["log", "best"]);
    assert!(!log.contains("Notes") && !log.contains("warning"), "{log}");
    let mut notes: BTreeMap<CommitId, String> =
        (1..).zip(&all).map(|(score, new)| (commit(new), format!("score {score}\n"))).collect();
    world.writer.finish(&refs(commit(&all[2])), &notes).unwrap();
    let log = world.git(&["log", "best"]);
    for score in 1..=3 {
        assert!(log.contains(&format!("Notes (packevolve):\n    score {score}\n")), "{log}");
    }
    notes.pop_first();
    world.writer.finish(&refs(commit(&all[2])), &notes).unwrap();
    assert_eq!(world.git(&["notes", "--ref=packevolve", "list"]).lines().count(), 2, "replaced as a whole");
    world.is_sound();
}

#[test]
fn a_changed_byte_of_a_pack_is_never_believed() {
    let all = lineage();
    let world = World::with(&all);
    let packs = fs::read_dir(world.path.join("objects/pack")).unwrap().map(|file| file.unwrap().path());
    let pack = packs.into_iter().find(|path| path.extension().is_some_and(|ending| ending == "pack")).unwrap();
    let bytes = fs::read(&pack).unwrap();
    let is_sound = || all.iter().all(|new| world.archive().verify(&new.ids().unwrap()).is_ok());
    assert!(is_sound());
    for position in (0..bytes.len()).step_by(7) {
        let mut changed = bytes.clone();
        changed[position] ^= 1;
        fs::remove_file(&pack).unwrap();
        fs::write(&pack, changed).unwrap();
        // Some bytes say nothing about an object, as those of the pack's own digest.
        for new in &all {
            let ids = new.ids().unwrap();
            if world.archive().verify(&ids).is_ok() {
                let found = world.archive().read(ids.oids().nth(2).unwrap()).unwrap();
                assert_eq!(found.1, new.program.as_bytes(), "byte {position}");
            }
        }
    }
}
