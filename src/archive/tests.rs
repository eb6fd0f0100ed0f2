//! What an archive promises: equal candidates get equal ids, plain git reads it, and no changed byte is believed.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;
use std::time::Instant;

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;

const EPOCH: i64 = 1_700_000_000;
const FILE: &str = "eplb.py";

fn archive() -> (TempDir, Repository) {
    let folder = TempDir::new().unwrap();
    let repository = Repository::create(&folder.path().join("archive.git")).unwrap();
    (folder, repository)
}

fn start_program(program: &str) -> NewCandidate<'_> {
    NewCandidate {
        number: 0,
        file_name: FILE,
        program,
        proposal: None,
        name: "start program",
        description: "What the run started from.",
        parents: &[],
        trailers: &[],
        epoch: EPOCH,
    }
}

fn edited<'a>(number: u64, name: &'a str, program: &'a str, parents: &'a [CommitId]) -> NewCandidate<'a> {
    let proposal = Some("<NAME>\r\nnot UTF-8: \u{1}\n".as_bytes());
    NewCandidate { number, name, program, parents, proposal, description: "Does\nbetter.", ..start_program("") }
}

/// Three generations: each line of the last program was written by another one.
fn lineage(repository: &Repository) -> [Written; 3] {
    let first = repository.commit_candidate(&start_program("a = 1\nb = 1\nc = 1\n")).unwrap();
    let second = repository.commit_candidate(&edited(1, "tune_b", "a = 1\nb = 2\nc = 1\n", &[first.commit])).unwrap();
    let third = repository.commit_candidate(&edited(5, "tune c", "a = 1\nb = 2\nc = 3\n", &[second.commit])).unwrap();
    repository.set_best(third.commit).unwrap();
    [first, second, third]
}

/// Runs git without anyone's settings; `None` where there is no git.
fn git(repository: &Path, arguments: &[&str]) -> Option<String> {
    let output = Command::new("git")
        .arg("-C")
        .arg(repository)
        .args(arguments)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", "/nonexistent")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("TZ", "UTC")
        .output();
    match output {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            eprintln!("skipped: there is no git on this machine");
            None
        }
        output => {
            let output = output.unwrap();
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            assert!(output.status.success(), "git {arguments:?}: {}", text(&output.stderr));
            Some(text(&output.stdout) + &text(&output.stderr))
        }
    }
}

macro_rules! git_or_skip {
    ($repository:expr, $($argument:expr),+) => {
        match git($repository, &[$($argument),+]) {
            Some(output) => output,
            None => return,
        }
    };
}

fn loose_file(repository: &Repository, id: &impl ToString) -> PathBuf {
    let hex = id.to_string();
    repository.path().join("objects").join(&hex[..2]).join(&hex[2..])
}

/// Changes a file that git made read-only.
fn overwrite(file: &Path, bytes: &[u8]) {
    fs::remove_file(file).unwrap();
    fs::write(file, bytes).unwrap();
}

#[test]
fn a_candidate_reads_back_as_it_was_written() {
    let (_folder, repository) = archive();
    let [first, second, third] = lineage(&repository);
    assert_eq!(repository.program(second.commit, FILE).unwrap(), "a = 1\nb = 2\nc = 1\n");
    assert_eq!(repository.proposal(first.commit).unwrap(), None);
    assert_eq!(repository.proposal(second.commit).unwrap().unwrap(), "<NAME>\r\nnot UTF-8: \u{1}\n".as_bytes());
    assert_eq!(
        repository.commit_facts(third.commit).unwrap(),
        CommitFacts {
            tree: third.tree,
            parents: vec![second.commit],
            author: "tune c".into(),
            time: EPOCH + 5,
            message: "tune c\n\nDoes\nbetter.\n".into(),
        }
    );
    assert_eq!(repository.best().unwrap(), Some(third.commit));
}

#[test]
fn a_proposal_may_be_any_bytes() {
    let (_folder, repository) = archive();
    let bytes: Vec<u8> = (0..=255).collect();
    let new = NewCandidate { proposal: Some(&bytes), ..start_program("pass\n") };
    let written = repository.commit_candidate(&new).unwrap();
    assert_eq!(repository.proposal(written.commit).unwrap().unwrap(), bytes);
    let blob = repository.blob(&bytes).unwrap();
    assert_eq!(Some(blob), written.proposal);
    assert_eq!(repository.read_blob(blob).unwrap(), bytes);
}

#[test]
fn equal_candidates_get_equal_ids_in_any_archive_and_in_none() {
    let ((_a, one), (_b, other)) = (archive(), archive());
    let ids = lineage(&one);
    assert_eq!(ids, lineage(&other));
    assert_eq!(ids, lineage(&one), "writing again changes nothing");
    let parents = [ids[0].commit];
    assert_eq!(edited(1, "tune_b", "a = 1\nb = 2\nc = 1\n", &parents).ids().unwrap(), ids[1]);
}

#[test]
fn a_parent_that_is_not_there_is_refused() {
    let (_folder, repository) = archive();
    let stranger = [start_program("elsewhere").ids().unwrap().commit];
    let error = repository.commit_candidate(&edited(1, "orphan", "", &stranger)).unwrap_err();
    assert!(matches!(error, RepositoryError::Missing { role: Role::Parent, .. }), "{error}");
    assert!(error.to_string().contains(&stranger[0].to_string()), "{error}");
}

#[test]
fn a_commit_without_that_file_is_an_error() {
    let (_folder, repository) = archive();
    let [first, ..] = lineage(&repository);
    let error = repository.program(first.commit, "other.py").unwrap_err();
    assert!(matches!(error, RepositoryError::NoSuchFile { .. }), "{error}");
}

#[test]
fn an_archive_is_not_created_over_anything() {
    let (folder, repository) = archive();
    assert!(matches!(Repository::create(repository.path()), Err(RepositoryError::Exists { .. })));
    let left = folder.path().join("other.git.new");
    fs::create_dir_all(left.join("half")).unwrap();
    Repository::create(&folder.path().join("other.git")).unwrap();
    assert!(!left.exists(), "what a crash left is cleared away");
}

#[test]
fn another_folder_is_refused_and_left_alone() {
    let folder = TempDir::new().unwrap();
    for path in [folder.path().to_owned(), folder.path().join("nowhere")] {
        let error = Repository::open(&path).unwrap_err();
        assert!(matches!(error, RepositoryError::NotAnArchive { .. }), "{error}");
        assert!(error.to_string().starts_with(&path.display().to_string()), "{error}");
        assert!(Repository::resume(&path).is_err());
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn a_lock_and_missing_folders_left_by_a_crash_do_not_block() {
    let (_folder, repository) = archive();
    let [first, ..] = lineage(&repository);
    fs::write(repository.path().join("refs/heads/best.lock"), "").unwrap();
    assert!(repository.set_best(first.commit).is_err());
    fs::remove_dir(repository.path().join("objects/00")).ok();

    let repository = Repository::resume(repository.path()).unwrap();
    repository.set_best(first.commit).unwrap();
    assert_eq!(repository.best().unwrap(), Some(first.commit));
    assert_eq!(fs::read_dir(repository.path().join("objects")).unwrap().count(), 256 + ["info", "pack"].len());
}

#[test]
fn only_the_archives_own_settings_count() {
    let (_folder, repository) = archive();
    let config = repository.git.get().config().unwrap();
    assert!(config.get_bool("core.bare").unwrap());
    assert!(config.get_string("hostile.setting").is_err());
    assert!(!repository.path().join("from-template").exists());
}

/// Runs the test above as a user with these settings.
fn with_user_settings(settings: &str) -> (bool, String) {
    let home = TempDir::new().unwrap();
    let template = home.path().join("template");
    fs::create_dir(&template).unwrap();
    fs::write(template.join("from-template"), "").unwrap();
    fs::write(home.path().join(".gitconfig"), settings.replace("TEMPLATE", template.to_str().unwrap())).unwrap();
    let inner = ["--exact", "repository::tests::only_the_archives_own_settings_count"];
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
    let (_folder, repository) = archive();
    let mut parents = lineage(&repository).map(|written| written.commit).to_vec();
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
        let program = format!("x = {number}\n");
        let new = NewCandidate { description: "tree 0\n\nparent: \0\n", ..edited(number, name, &program, &parents) };
        let written = repository.commit_candidate(&new).unwrap();
        parents = vec![written.commit, parents[0]];
    }
    let mut kept = Kept::new(EPOCH).with_batch_size(2);
    kept.add_candidate(22, parents[0]);
    kept.add_blob(repository.blob(b"evidence").unwrap());
    kept.add_blob(repository.blob(b"").unwrap());
    repository.keep(&mut kept).unwrap();
    assert_eq!(git_or_skip!(repository.path(), "fsck", "--strict", "--full", "--no-dangling", "--no-progress"), "");
}

#[test]
fn git_makes_the_same_commit_of_the_same_parts() {
    let (_folder, repository) = archive();
    let [_, second, third] = lineage(&repository);
    let (date, tree, parent) = (format!("{} +0000", EPOCH + 5), third.tree.to_string(), second.commit.to_string());
    let mut command = Command::new("git");
    command.arg("-C").arg(repository.path()).args([
        "commit-tree",
        &tree,
        "-p",
        &parent,
        "-m",
        "tune c\n\nDoes\nbetter.",
    ]);
    for role in ["AUTHOR", "COMMITTER"] {
        command.env(format!("GIT_{role}_NAME"), "tune c").env(format!("GIT_{role}_EMAIL"), "tune-c@packevolve");
        command.env(format!("GIT_{role}_DATE"), &date);
    }
    let Ok(output) = command.output() else { return eprintln!("skipped: there is no git on this machine") };
    assert_eq!(String::from_utf8(output.stdout).unwrap().trim(), third.commit.to_string());
}

#[test]
fn blame_names_the_proposal_that_wrote_each_line() {
    let (_folder, repository) = archive();
    let _three_generations = lineage(&repository);
    let blame = git_or_skip!(repository.path(), "blame", "--porcelain", "best", "--", FILE);
    let authors: Vec<_> = blame.lines().filter_map(|line| line.strip_prefix("author ")).collect();
    assert_eq!(authors, ["start program", "tune_b", "tune c"]);
    let printed = git_or_skip!(repository.path(), "blame", "best", "--", FILE);
    for (line, author) in printed.lines().zip(authors) {
        assert!(line.contains(&format!("({author}")), "{printed}");
    }
}

#[test]
fn log_shows_the_family_tree_and_the_proposals_as_authors() {
    let (_folder, repository) = archive();
    let [first, second, third] = lineage(&repository);
    let cross = edited(6, "cross", "a = 0\n", &[third.commit, first.commit]).ids().unwrap();
    let parents = [third.commit, first.commit];
    assert_eq!(repository.commit_candidate(&edited(6, "cross", "a = 0\n", &parents)).unwrap(), cross);
    repository.set_best(cross.commit).unwrap();
    let log = git_or_skip!(repository.path(), "log", "--graph", "--date=iso", "--format=%h %an %ad %s", "best");
    for commit in [first, second, third, cross] {
        assert!(log.contains(&commit.commit.to_string()[..7]), "{log}");
    }
    assert!(log.contains("tune c 2023-11-14 22:13:25 +0000 tune c"), "{log}");
    assert!(log.starts_with("*  "), "a merge is drawn as one: {log}");
    let first_parents = git_or_skip!(repository.path(), "log", "--first-parent", "--format=%an");
    assert_eq!(first_parents, "cross\ntune c\ntune_b\nstart program\n", "HEAD is best");
}

/// Candidates off the winning line, and blobs, all of which only `kept` holds.
fn side_lines(repository: &Repository, kept: &mut Kept, numbers: std::ops::Range<u64>) -> Vec<(CommitId, BlobId)> {
    let side_line = |number| {
        let program = format!("side = {number}\n");
        let written = repository.commit_candidate(&edited(number, "side", &program, &[])).unwrap();
        let blob = repository.blob(format!("evidence {number}").as_bytes()).unwrap();
        kept.add_candidate(number, written.commit);
        kept.add_blob(blob);
        (written.commit, blob)
    };
    numbers.map(side_line).collect()
}

#[test]
fn what_is_kept_survives_collection_and_a_mirror() {
    let (folder, repository) = archive();
    let [first, second, third] = lineage(&repository);
    let mut kept = Kept::new(EPOCH).with_batch_size(4);
    for (number, written) in [(0, first), (1, second), (5, third)] {
        kept.add_candidate(number, written.commit);
    }
    let mut sides = side_lines(&repository, &mut kept, 10..17);
    repository.keep(&mut kept).unwrap();
    sides.extend(side_lines(&repository, &mut kept, 17..20));
    repository.keep(&mut kept).unwrap();
    let lost = repository.blob(b"unreferenced").unwrap();
    repository.settle().unwrap();

    git_or_skip!(repository.path(), "gc", "--quiet", "--prune=now");
    let mirror = folder.path().join("mirror.git");
    git_or_skip!(folder.path(), "clone", "--quiet", "--mirror", "archive.git", "mirror.git");
    for path in [repository.path(), &mirror] {
        let packed = Repository::open(path).unwrap();
        assert_eq!(packed.best().unwrap(), Some(third.commit));
        for (commit, blob) in &sides {
            packed.verify_candidate(*commit).unwrap();
            packed.read_blob(*blob).unwrap();
        }
        assert!(packed.proposal(sides[0].0).unwrap().is_some());
        assert!(matches!(packed.read_blob(lost), Err(RepositoryError::Missing { .. })));
        assert_eq!(git_or_skip!(path, "fsck", "--strict", "--full", "--no-progress"), "");
    }
    git_or_skip!(folder.path(), "clone", "--quiet", "archive.git", "work");
    assert_eq!(fs::read_to_string(folder.path().join("work").join(FILE)).unwrap(), "a = 1\nb = 2\nc = 3\n");

    let resumed = Repository::resume(repository.path()).unwrap();
    side_lines(&resumed, &mut kept, 20..23);
    resumed.keep(&mut kept).unwrap();
    assert_eq!(git_or_skip!(resumed.path(), "fsck", "--strict", "--full", "--no-dangling", "--no-progress"), "");
}

#[test]
fn kept_is_the_same_however_often_it_was_written() {
    for checkpoints in [vec![], vec![1], vec![3, 4, 8], vec![2, 4, 6, 8, 10], vec![5, 9]] {
        let ((_a, once), (_b, often)) = (archive(), archive());
        let mut whole = Kept::new(EPOCH).with_batch_size(4);
        side_lines(&once, &mut whole, 0..11);
        once.keep(&mut whole).unwrap();

        let mut kept = Kept::new(EPOCH).with_batch_size(4);
        for number in 0..11 {
            side_lines(&often, &mut kept, number..number + 1);
            if checkpoints.contains(&number) {
                often.keep(&mut kept).unwrap();
            }
        }
        often.keep(&mut kept).unwrap();
        often.keep(&mut kept).unwrap();
        assert_eq!(often.target(KEPT).unwrap(), once.target(KEPT).unwrap(), "{checkpoints:?}");
        assert!(once.target(KEPT).unwrap().is_some());
    }
}

/// What is read of what was written.
fn read_back(kept: &Kept) -> Kept {
    serde_json::from_str(&serde_json::to_string(kept).unwrap()).unwrap()
}

#[test]
fn kept_is_the_same_if_it_was_written_down_in_between_and_the_archive_kept_more_since() {
    for (written_down, checkpoints) in [(1, vec![]), (3, vec![4]), (3, vec![4, 5, 8]), (4, vec![9]), (5, vec![6, 7])] {
        let ((_a, once), (_b, often)) = (archive(), archive());
        let mut whole = Kept::new(EPOCH).with_batch_size(4);
        side_lines(&once, &mut whole, 0..11);
        once.keep(&mut whole).unwrap();

        let mut kept = Kept::new(EPOCH).with_batch_size(4);
        side_lines(&often, &mut kept, 0..written_down);
        often.keep(&mut kept).unwrap();
        let mut again = read_back(&kept);
        for number in written_down..10 {
            side_lines(&often, &mut kept, number..number + 1);
            if checkpoints.contains(&number) {
                often.keep(&mut kept).unwrap();
            }
        }
        // It ends without a word; the next one continues from the journal.
        side_lines(&often, &mut again, written_down..10);
        assert!(often.recall(&mut again).unwrap(), "{written_down}, {checkpoints:?}");
        side_lines(&often, &mut again, 10..11);
        often.keep(&mut again).unwrap();
        assert_eq!(often.target(KEPT).unwrap(), once.target(KEPT).unwrap(), "{written_down}, {checkpoints:?}");
        assert_eq!(read_back(&again), read_back(&whole));
    }
}

#[test]
fn what_was_written_down_is_not_believed_of_an_archive_that_keeps_less_or_other_things() {
    let (_folder, repository) = archive();
    let mut kept = Kept::new(EPOCH).with_batch_size(4);
    side_lines(&repository, &mut kept, 0..3);
    repository.keep(&mut kept).unwrap();
    let before = repository.target(KEPT).unwrap().unwrap();
    side_lines(&repository, &mut kept, 3..5);
    repository.keep(&mut kept).unwrap();
    assert!(repository.recall(&mut read_back(&kept)).unwrap());
    let newest = repository.target(KEPT).unwrap().unwrap();
    // A power loss may take the move of a ref.
    repository.point(KEPT, before).unwrap();
    assert!(!repository.recall(&mut read_back(&kept)).unwrap());
    // ... of one within the same batch, too.
    repository.point(KEPT, newest).unwrap();
    let mut grown = read_back(&kept);
    grown.add_blob(repository.blob(b"one more of this batch").unwrap());
    repository.keep(&mut grown).unwrap();
    assert!(repository.recall(&mut read_back(&kept)).unwrap(), "it keeps more");
    repository.point(KEPT, newest).unwrap();
    assert!(!repository.recall(&mut read_back(&grown)).unwrap(), "it keeps less of the same batch");
    let (_folder, other) = archive();
    assert!(!other.recall(&mut read_back(&kept)).unwrap(), "no ref");
    let mut others = Kept::new(EPOCH).with_batch_size(4);
    side_lines(&other, &mut others, 7..12);
    other.keep(&mut others).unwrap();
    assert!(!other.recall(&mut read_back(&kept)).unwrap(), "another run's");
}

#[test]
fn nothing_to_keep_makes_no_ref() {
    let (_folder, repository) = archive();
    repository.keep(&mut Kept::new(EPOCH)).unwrap();
    assert_eq!(repository.target(KEPT).unwrap(), None);
}

#[test]
fn what_is_not_there_cannot_be_kept() {
    let (_folder, repository) = archive();
    let stranger = start_program("elsewhere").ids().unwrap().commit;
    let mut kept = Kept::new(EPOCH);
    kept.add_candidate(0, stranger);
    let error = repository.keep(&mut kept).unwrap_err();
    assert!(error.to_string().contains(&stranger.to_string()), "{error}");
    assert_eq!(repository.target(KEPT).unwrap(), None);
}

/// The objects of a candidate by the words that errors use for them.
fn roles(written: &Written) -> BTreeMap<String, String> {
    let Written { commit, tree, program, proposal } = written;
    let proposal = proposal.expect("a candidate with a proposal");
    BTreeMap::from([
        (commit.to_string(), "commit".to_owned()),
        (tree.to_string(), format!("tree of commit {commit}")),
        (program.to_string(), format!("program of commit {commit}")),
        (proposal.to_string(), format!("proposal of commit {commit}")),
    ])
}

/// All that an archive says of a candidate.
fn content(
    repository: &Repository,
    commit: CommitId,
) -> Result<(CommitFacts, String, Option<Vec<u8>>), RepositoryError> {
    let facts = repository.commit_facts(commit)?;
    Ok((facts, repository.program(commit, FILE)?, repository.proposal(commit)?))
}

fn assert_names(error: &RepositoryError, id: &str, role: &str) {
    let text = error.to_string();
    assert!(text.starts_with(role) && text.contains(id), "{role} {id}: {text}");
}

#[test]
fn a_changed_byte_of_an_object_is_never_believed_and_named_by_verify() {
    let (_folder, repository) = archive();
    let [_, _, written] = lineage(&repository);
    let expected = content(&repository, written.commit).unwrap();
    let (mut changes, mut unseen) = (0, 0);
    for (id, role) in roles(&written) {
        let file = loose_file(&repository, &id);
        let whole = fs::read(&file).unwrap();
        for position in 0..whole.len() {
            for bit in 0..8 {
                let mut bytes = whole.clone();
                bytes[position] ^= 1 << bit;
                overwrite(&file, &bytes);
                match content(&repository, written.commit) {
                    Ok(found) => assert_eq!(found, expected, "{role}, byte {position}, bit {bit}"),
                    Err(error) => assert_names(&error, &id, &role),
                }
                changes += 1;
                match repository.verify_candidate(written.commit) {
                    Ok(()) => unseen += 1,
                    Err(error) => assert_names(&error, &id, &role),
                }
            }
        }
        overwrite(&file, &whole);
    }
    repository.verify_candidate(written.commit).unwrap();
    // Bits that pad the last byte of a compressed stream: at most seven an object, and the content is the same.
    println!("{unseen} of {changes} changed bits change nothing");
    assert!(unseen <= 4 * 7, "{unseen} of {changes}");
}

#[test]
fn cut_extended_emptied_exchanged_and_missing_objects_are_named() {
    let (_folder, repository) = archive();
    let [_, other, written] = lineage(&repository);
    for (id, role) in roles(&written) {
        let file = loose_file(&repository, &id);
        let whole = fs::read(&file).unwrap();
        let exchanged = fs::read(loose_file(&repository, &other.program)).unwrap();
        for bytes in [&whole[..whole.len() - 1], &[&whole[..], b"\0"].concat(), b"", &exchanged] {
            overwrite(&file, bytes);
            assert_names(&repository.verify_candidate(written.commit).unwrap_err(), &id, &role);
        }
        fs::remove_file(&file).unwrap();
        let error = repository.verify_candidate(written.commit).unwrap_err();
        assert!(matches!(error, RepositoryError::Missing { .. }), "{error}");
        assert_names(&error, &id, &role);
        fs::write(&file, &whole).unwrap();
    }
    let blob = repository.blob(b"evidence").unwrap();
    repository.settle().unwrap();
    overwrite(&loose_file(&repository, &blob), b"");
    assert_names(&repository.read_blob(blob).unwrap_err(), &blob.to_string(), "blob");
}

#[test]
fn a_changed_byte_of_a_pack_is_never_believed() {
    let (_folder, repository) = archive();
    let [first, second, third] = lineage(&repository);
    git_or_skip!(repository.path(), "gc", "--quiet", "--prune=now");
    let expected = content(&Repository::open(repository.path()).unwrap(), third.commit).unwrap();
    let mut packs = fs::read_dir(repository.path().join("objects/pack")).unwrap().map(|entry| entry.unwrap().path());
    let pack = packs.find(|path| path.extension().is_some_and(|end| end == "pack")).unwrap();
    let whole = fs::read(&pack).unwrap();
    let (mut refused, end) = (0, whole.len() - 20);
    for position in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[position] ^= 0x55;
        overwrite(&pack, &bytes);
        let Ok(reopened) = Repository::open(repository.path()) else { continue };
        if let Ok(found) = content(&reopened, third.commit) {
            assert_eq!(found, expected, "byte {position}");
        }
        let all = [first, second, third].map(|written| reopened.verify_candidate(written.commit));
        refused += usize::from(position < end && all.iter().any(Result::is_err));
    }
    println!("{refused} of {end} changed bytes refused");
    assert!(refused * 10 > end * 9, "{refused} of {end}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn any_candidate_reads_back_and_verifies(
        program in ".*", name in ".*", description in "(?s).*",
        proposal in prop::option::of(prop::collection::vec(any::<u8>(), 0..100)), number in 0u64..1 << 40,
    ) {
        let (_folder, repository) = archive();
        let trailers = [("Candidate", number.to_string())];
        let new = NewCandidate {
            number, program: &program, name: &name, description: &description, proposal: proposal.as_deref(),
            trailers: &trailers, ..start_program("")
        };
        let written = repository.commit_candidate(&new).unwrap();
        let (facts, read_program, read_proposal) = content(&repository, written.commit).unwrap();
        prop_assert_eq!((read_program, read_proposal), (program, proposal));
        prop_assert_eq!(facts.time, EPOCH + number as i64);
        let ending = format!("\n\nCandidate: {number}\n");
        prop_assert!(!facts.author.is_empty() && facts.message.ends_with(&ending));
        repository.verify_candidate(written.commit).unwrap();
    }
}

#[test]
fn what_a_crash_kept_from_reaching_its_file_is_there_again_after_resume() {
    let (_folder, repository) = archive();
    let [_, second, _] = lineage(&repository);
    let path = repository.path().to_owned();
    // What a power loss leaves of files that were written and not synced: nothing, or their names alone.
    fs::remove_file(loose_file(&repository, &second.tree)).unwrap();
    overwrite(&loose_file(&repository, &second.program), b"");
    overwrite(&loose_file(&repository, &second.commit), b"\0\0\0\0");
    repository.verify_candidate(second.commit).unwrap_err();
    drop(repository);
    let repository = Repository::resume(&path).unwrap();
    repository.verify_candidate(second.commit).unwrap();
    repository.settle().unwrap();
    overwrite(&loose_file(&repository, &second.program), b"");
    let repository = Repository::resume(&path).unwrap();
    repository.verify_candidate(second.commit).unwrap_err();
}

#[test]
fn what_git_collects_before_it_is_kept_is_read_all_the_same_and_kept_then() {
    let (_folder, repository) = archive();
    let [first, second, third] = lineage(&repository);
    let mut kept = Kept::new(EPOCH);
    let sides = side_lines(&repository, &mut kept, 10..12);
    git_or_skip!(repository.path(), "gc", "--quiet", "--prune=now");
    let (commit, blob) = sides[0];
    assert!(!loose_file(&repository, &blob).exists());
    for reader in [&repository, &Repository::open(repository.path()).unwrap()] {
        reader.read_blob(blob).unwrap();
        assert!(reader.proposal(commit).unwrap().is_some());
        reader.verify_candidate(commit).unwrap_err();
    }
    // Its parent was collected, too.
    let next = repository.commit_candidate(&edited(12, "next", "x = 1\n", &[commit])).unwrap();
    kept.add_candidate(12, next.commit);
    for (number, written) in [(0, first), (1, second), (5, third)] {
        kept.add_candidate(number, written.commit);
    }
    repository.keep(&mut kept).unwrap();
    repository.verify_candidate(commit).unwrap();
    assert_eq!(git_or_skip!(repository.path(), "fsck", "--strict", "--full", "--no-dangling", "--no-progress"), "");
}

#[test]
fn refs_that_a_power_loss_emptied_do_not_block() {
    let (_folder, repository) = archive();
    let [first, ..] = lineage(&repository);
    for torn in ["", "505e0294"] {
        fs::write(repository.path().join(BEST), torn).unwrap();
        fs::write(repository.path().join("objects/tmp_object_git2_0123"), "half").unwrap();
        let resumed = Repository::resume(repository.path()).unwrap();
        assert_eq!(resumed.best().unwrap(), None);
        resumed.set_best(first.commit).unwrap();
        assert_eq!(resumed.best().unwrap(), Some(first.commit));
        assert_eq!(layout::unfinished(repository.path()), Vec::<PathBuf>::new());
    }
}

#[test]
fn git_shows_the_front_and_the_islands_that_it_was_shown_last() {
    let (_folder, repository) = archive();
    let [first, second, third] = lineage(&repository).map(|written| written.commit);
    assert_eq!((repository.front(), repository.island(0)), (None, None));
    for (front, best) in [(vec![first], first), (vec![third, second], second), (vec![second], third)] {
        for _ in 0..2 {
            repository.show_front(&front, 7).unwrap();
            repository.show_island(0, best);
            repository.show_island(12, first);
        }
        let shown = repository.front().unwrap();
        assert_eq!(shown, Repository::front_id(&front, 7));
        assert_eq!(repository.commit_facts(shown).unwrap().parents, front);
        assert_eq!((repository.island(0), repository.island(12)), (Some(best), Some(first)));
        // As a collection of garbage does.
        let _ = git(repository.path(), &["pack-refs", "--all"]);
    }
    let ran = git_or_skip!(repository.path(), "fsck", "--strict", "--full", "--no-dangling", "--no-progress");
    assert_eq!(ran, "");
}

#[test]
fn refs_of_the_front_and_of_islands_that_cannot_be_moved_or_were_torn_do_not_block() {
    let (_folder, repository) = archive();
    let [first, second, _] = lineage(&repository).map(|written| written.commit);
    let refs = repository.path().join("refs/packevolve");
    repository.show_island(0, first);
    for (file, content) in [("front.lock", ""), ("islands/0.lock", ""), ("islands/1", ""), ("islands/mine", "")] {
        fs::write(refs.join(file), content).unwrap();
    }
    repository.show_front(&[first], 7).unwrap();
    repository.show_island(0, second);
    assert_eq!((repository.front(), repository.island(0), repository.island(1)), (None, Some(first), None));
    assert_eq!(repository.leftovers().unwrap().len(), 3);
    let resumed = Repository::resume(repository.path()).unwrap();
    assert_eq!(resumed.leftovers().unwrap(), []);
    assert!(refs.join("islands/mine").exists(), "it is not ours");
    resumed.show_front(&[first], 7).unwrap();
    resumed.show_island(1, second);
    assert_eq!((resumed.front(), resumed.island(1)), (Some(Repository::front_id(&[first], 7)), Some(second)));
}

#[test]
#[ignore = "a measurement"]
fn what_a_commit_costs() {
    let (_folder, repository) = archive();
    let mut parent = repository.commit_candidate(&start_program("pass\n")).unwrap().commit;
    let body: String = (0..200).map(|line| format!("    value_{line} = compute(weights, {line})\n")).collect();
    let mut millis = Vec::new();
    for number in 1..=300 {
        let (program, parents) = (format!("{body}    return {number}\n"), [parent]);
        let proposal = format!("<NAME>\n{number}\n</NAME>\n{}", &body[..4000]);
        let new = NewCandidate { proposal: Some(proposal.as_bytes()), ..edited(number, "cost", &program, &parents) };
        let start = Instant::now();
        parent = repository.commit_candidate(&new).unwrap().commit;
        millis.push(start.elapsed().as_secs_f64() * 1e3);
    }
    let start = Instant::now();
    Repository::resume(repository.path()).unwrap();
    let resume = start.elapsed().as_secs_f64() * 1e3;
    millis.sort_by(f64::total_cmp);
    println!("commit: median {:.2} ms, p90 {:.2} ms; resume: {resume:.1} ms", millis[150], millis[270]);
}

/// How the commits of [`lineage`] were judged, and as many others so that notes are of every kind of name.
fn judged(repository: &Repository) -> BTreeMap<CommitId, String> {
    let mut notes: BTreeMap<CommitId, String> = lineage(repository)
        .iter()
        .zip(1..)
        .map(|(written, score)| (written.commit, format!("score {score}\n")))
        .collect();
    for number in 10..400 {
        let program = format!("a = {number}\n");
        let written = repository.commit_candidate(&NewCandidate { number, ..start_program(&program) }).unwrap();
        notes.insert(written.commit, "rejected\n".to_owned());
    }
    notes
}

#[test]
fn git_shows_notes_below_commits_without_being_asked() {
    let (_folder, repository) = archive();
    assert!(!git_or_skip!(repository.path(), "for-each-ref").contains("notes"));
    let written = lineage(&repository);
    let log = git_or_skip!(repository.path(), "log", "best");
    assert!(!log.contains("Notes") && !log.contains("warning"), "{log}");
    let notes = judged(&repository);
    repository.set_notes(&notes, EPOCH as u64).unwrap();
    let log = git_or_skip!(repository.path(), "log", "best");
    for score in 1..=3 {
        assert!(log.contains(&format!("Notes (packevolve):\n    score {score}\n")), "{log}");
    }
    for (commit, text) in &notes {
        let note = git_or_skip!(repository.path(), "notes", "--ref=packevolve", "show", &commit.to_string());
        assert_eq!(&note, text);
    }
    assert_eq!(git_or_skip!(repository.path(), "fsck", "--strict", "--no-dangling"), "");
    assert_eq!(written.map(|written| repository.verify_candidate(written.commit).is_ok()), [true; 3]);
}

#[test]
fn notes_are_replaced_as_a_whole_and_written_once() {
    let (_folder, repository) = archive();
    let packs = || fs::read_dir(repository.path().join("objects/pack")).unwrap().count();
    let notes = judged(&repository);
    repository.set_notes(&notes, 1).unwrap();
    let before = (packs(), repository.target(NOTES).unwrap());
    repository.set_notes(&notes, 1).unwrap();
    assert_eq!((packs(), repository.target(NOTES).unwrap()), before);
    let first = notes.keys().take(1).map(|commit| (*commit, "score 9\n".to_owned())).collect();
    repository.set_notes(&first, 2).unwrap();
    let listed = git_or_skip!(repository.path(), "notes", "--ref=packevolve", "list");
    assert_eq!(listed.lines().count(), 1, "{listed}");
    repository.set_notes(&BTreeMap::new(), 3).unwrap();
}

#[test]
fn only_notes_that_are_new_are_packed() {
    let (_folder, repository) = archive();
    let mut others = judged(&repository);
    let size = || {
        let packs = fs::read_dir(repository.path().join("objects/pack")).unwrap();
        packs.map(|file| file.unwrap().metadata().unwrap().len()).sum::<u64>()
    };
    let commit = |number: u32| CommitId::from_oid(Object::blob(number.to_le_bytes().to_vec()).id);
    let text = |number: u32| format!("{:?}\n", Object::blob(number.to_be_bytes().to_vec()).id);
    let notes = |count: u32| -> BTreeMap<_, _> { (0..count).map(|number| (commit(number), text(number))).collect() };
    repository.set_notes(&notes(2000), 1).unwrap();
    let all = size();
    repository.set_notes(&notes(2001), 2).unwrap();
    assert!(size() - all < all / 20, "{} bytes more than {all}", size() - all);
    let (fresh, other) = archive();
    other.set_notes(&notes(2001), 2).unwrap();
    assert_eq!(repository.target(NOTES).unwrap(), other.target(NOTES).unwrap());
    assert_eq!(git_or_skip!(repository.path(), "fsck", "--strict", "--no-dangling"), "");
    drop(fresh);
    // What is not there any more is packed again.
    for file in fs::read_dir(repository.path().join("objects/pack")).unwrap() {
        fs::remove_file(file.unwrap().path()).unwrap();
    }
    let repository = Repository::resume(repository.path()).unwrap();
    others.extend(notes(2002));
    repository.set_notes(&others, 3).unwrap();
    let listed = git_or_skip!(repository.path(), "notes", "--ref=packevolve", "list");
    assert_eq!(listed.lines().count(), others.len());
    assert_eq!(git_or_skip!(repository.path(), "fsck", "--strict", "--no-dangling"), "");
}

#[test]
fn collection_and_mirrors_lose_no_note_and_we_still_read() {
    let (folder, repository) = archive();
    let notes = judged(&repository);
    let mut kept = Kept::new(EPOCH);
    notes.keys().zip(0..).for_each(|(commit, number)| kept.add_candidate(number, *commit));
    repository.keep(&mut kept).unwrap();
    repository.set_notes(&notes, EPOCH as u64).unwrap();
    git_or_skip!(repository.path(), "gc", "--quiet", "--prune=now");
    assert_eq!(git_or_skip!(repository.path(), "fsck", "--strict"), "");
    for commit in notes.keys() {
        repository.verify_candidate(*commit).unwrap();
    }
    let mirror = folder.path().join("mirror");
    git_or_skip!(repository.path(), "clone", "--quiet", "--mirror", ".", mirror.to_str().unwrap());
    let listed = git_or_skip!(&mirror, "notes", "--ref=packevolve", "list");
    assert_eq!(listed.lines().count(), notes.len());
    repository.set_notes(&BTreeMap::from([(*notes.keys().next().unwrap(), "new\n".to_owned())]), 9).unwrap();
    assert_eq!(git_or_skip!(repository.path(), "fsck", "--strict", "--no-dangling"), "");
}

/// `cargo test --release -p packevolve --lib what_notes_cost -- --ignored --nocapture`
#[test]
#[ignore = "a measurement"]
fn what_notes_cost() {
    let (_folder, repository) = archive();
    for count in [1_000u32, 10_000, 100_000] {
        let commit = |number: u32| CommitId::from_oid(Object::blob(number.to_le_bytes().to_vec()).id);
        let text = |number: u32| format!("combined_score 0.{number}\nquality 0.9  speed_score 0.7\nunit 3.5 ms\n");
        let notes = (0..count).map(|number| (commit(number), text(number))).collect();
        let began = Instant::now();
        repository.set_notes(&notes, u64::from(count)).unwrap();
        println!("{count} notes: {:.2} s", began.elapsed().as_secs_f64());
    }
}
