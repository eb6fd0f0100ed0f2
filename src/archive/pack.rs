//! Pack: turns what full logs hold into packs, beside the run, so that the archive does not come to hold a file for every
//! object: programs of a run share almost everything, and a pack stores what differs.
//!
//! A pack is built in a folder of its own, and synced; then it is moved to where git looks for packs, its index last; then
//! the files of its objects go, and the log at last. Whatever moment the process or the machine dies at, every object is
//! in the log, and in a file or a pack besides, and [`resume`](crate::archive::Repository::resume) starts over from the log.
//! Collections of garbage may come in between: what is packed here is reachable by then.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::thread::{self, JoinHandle};

use git2::{Config, Odb, Oid};

use crate::archive::ahead::{self, Records};
use crate::archive::error::RepositoryError;
use crate::archive::layout::{PACK_DRAFTS, clear_drafts, gone, sync};
use crate::archive::loose;
use crate::archive::object::Object;

/// The memory of a pack that is being built comes before any other place that objects might be read from.
const FIRST: i32 = 1000;
/// Packs are read only, as git has them.
const FILE_MODE: u32 = 0o444;

/// The one thread that packs, while there is something to pack.
#[derive(Debug, Default)]
pub(super) struct Packer {
    thread: Option<JoinHandle<Result<(), RepositoryError>>>,
    failed: Option<RepositoryError>,
}

impl Packer {
    /// Begins to pack these logs of the archive at `path`, after those before them.
    pub fn begin(&mut self, path: &Path, logs: Vec<PathBuf>) -> Result<(), RepositoryError> {
        self.finish()?;
        let archive = path.to_owned();
        let thread = thread::Builder::new().name("pack".to_owned()).spawn(move || pack(&archive, &logs));
        self.thread = Some(thread.map_err(RepositoryError::io(path, "start to pack it"))?);
        Ok(())
    }

    /// Tells what has gone wrong, as far as it has come.
    pub fn look(&mut self) -> Result<(), RepositoryError> {
        if self.thread.as_ref().is_some_and(|thread| !thread.is_finished()) { Ok(()) } else { self.finish() }
    }

    /// Waits until nothing is being packed, and tells what has gone wrong.
    pub fn finish(&mut self) -> Result<(), RepositoryError> {
        self.wait();
        self.failed.take().map_or(Ok(()), Err)
    }

    /// Waits until nothing is being packed.
    pub fn wait(&mut self) {
        if let Some(thread) = self.thread.take() {
            self.failed = thread.join().expect("BUG: packing does not panic").err();
        }
    }
}

impl Drop for Packer {
    /// What could not be packed is in its log still.
    fn drop(&mut self) {
        self.wait();
    }
}

/// Packs what these logs hold, and removes them. What the journal names of it is kept by now.
pub(super) fn pack(archive: &Path, logs: &[PathBuf]) -> Result<(), RepositoryError> {
    for log in logs {
        let ids = publish(archive, Records::of(log)?.into_iter().flatten())?;
        discard(archive, &ids)?;
        ahead::remove(log)?;
    }
    Ok(())
}

/// Makes a pack of `objects` where git looks for packs; it is on the disk when this returns. One at a time.
pub(super) fn publish(
    archive: &Path,
    objects: impl Iterator<Item = Result<Object, RepositoryError>>,
) -> Result<Vec<Oid>, RepositoryError> {
    let mut objects = objects.peekable();
    if objects.peek().is_none() {
        return Ok(Vec::new());
    }
    clear_drafts(archive)?;
    let published = build(archive, objects);
    // Best effort if that has failed: whoever builds the next pack, or resumes, clears it away too.
    let cleared = clear_drafts(archive);
    published.and_then(|ids| cleared.map(|()| ids))
}

fn build(
    archive: &Path,
    objects: impl Iterator<Item = Result<Object, RepositoryError>>,
) -> Result<Vec<Oid>, RepositoryError> {
    let (drafts, packs) = (archive.join(PACK_DRAFTS), archive.join("objects").join("pack"));
    fs::create_dir(&drafts).map_err(RepositoryError::io(&drafts, "make it"))?;
    let ids = draft(&drafts, objects)?;
    // Git takes an index for a pack that is whole, so it comes last.
    for ending in ["pack", "idx"] {
        put(&drafts, ending, &packs)?;
    }
    Ok(ids)
}

/// Moves what ends so from one folder to another, on the disk before and after.
fn put(from: &Path, ending: &str, to: &Path) -> Result<(), RepositoryError> {
    for file in files(from, ending)? {
        let place = to.join(file.file_name().expect("BUG: a file in a folder has a name"));
        let moved = sync(&file).and_then(|()| fs::rename(&file, &place)).and_then(|()| sync(to));
        moved.map_err(RepositoryError::io(&file, "move it to the packs"))?;
    }
    Ok(())
}

/// Writes a pack and its index into `folder`. What is to be packed is in memory once.
fn draft(
    folder: &Path,
    objects: impl Iterator<Item = Result<Object, RepositoryError>>,
) -> Result<Vec<Oid>, RepositoryError> {
    let failed = |source| RepositoryError::Write { path: folder.to_owned(), source };
    let memory = memory().map_err(failed)?;
    let mut builder = memory.packbuilder().map_err(failed)?;
    builder.set_threads(1);
    let odb = memory.odb().map_err(failed)?;
    let mut ids = Vec::new();
    for object in objects {
        let Object { kind, bytes, id } = object?;
        let added = odb.write(kind, &bytes).and_then(|_| builder.insert_object(id, Some(family(&bytes))));
        added.map_err(failed)?;
        ids.push(id);
    }
    builder.write(folder, FILE_MODE).map_err(failed)?;
    Ok(ids)
}

/// A repository that holds its objects in memory.
fn memory() -> Result<git2::Repository, git2::Error> {
    let odb = Odb::new()?;
    odb.add_new_mempack_backend(FIRST)?;
    let memory = git2::Repository::from_odb(odb)?;
    // Nobody's settings have a say.
    memory.set_config(&Config::new()?)?;
    Ok(memory)
}

/// A name for what objects have much in common with; each is stored as what differs from another of the same.
fn family(bytes: &[u8]) -> &'static str {
    if bytes.starts_with(b"<NAME>") { "proposal" } else { "program" }
}

/// Removes the files of objects that are in a pack.
fn discard(archive: &Path, ids: &[Oid]) -> Result<(), RepositoryError> {
    ids.iter().try_for_each(|id| {
        let path = loose::path(archive, *id);
        gone(fs::remove_file(&path)).map_err(RepositoryError::io(&path, "remove what was packed"))
    })
}

fn files(folder: &Path, ending: &str) -> Result<Vec<PathBuf>, RepositoryError> {
    let listed = fs::read_dir(folder).and_then(|entries| {
        let paths = entries.map(|entry| Ok(entry?.path()));
        paths.collect::<io::Result<Vec<PathBuf>>>()
    });
    let mut paths = listed.map_err(RepositoryError::io(folder, "list it"))?;
    paths.retain(|path| path.extension().is_some_and(|own| own == ending));
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use std::process::Command;
    use std::sync::atomic::{AtomicBool, Ordering};

    use tempfile::TempDir;

    use super::*;
    use crate::archive::ahead::Left;
    use crate::archive::{CommitId, Kept, NewCandidate, Repository};

    const FILE: &str = "eplb.py";

    fn program(number: u64) -> String {
        (0..300).map(|line| format!("    value_{line} = {}\n", (line * 7919 + number / (line + 1)) % 10_007)).collect()
    }

    /// An archive with so many candidates, each an edit of the one before.
    fn archive(candidates: u64) -> (TempDir, Repository, Vec<CommitId>) {
        let folder = TempDir::new().unwrap();
        let repository = Repository::create(&folder.path().join("archive.git")).unwrap();
        let (mut commits, mut kept) = (Vec::new(), Kept::new(0));
        (0..candidates).for_each(|_| add(&repository, &mut commits, &mut kept));
        repository.keep(&mut kept).unwrap();
        repository.set_best(commits[commits.len() - 1]).unwrap();
        (folder, repository, commits)
    }

    /// Adds another candidate.
    fn add(repository: &Repository, commits: &mut Vec<CommitId>, kept: &mut Kept) {
        let number = commits.len() as u64;
        let proposal = format!("<NAME>\nnumber {number}\n</NAME>\n");
        let new = NewCandidate {
            number,
            file_name: FILE,
            program: &program(number),
            proposal: Some(proposal.as_bytes()),
            name: "a name",
            description: "",
            parents: commits.last().map_or(&[][..], std::slice::from_ref),
            trailers: &[],
            epoch: 0,
        };
        let commit = repository.commit_candidate(&new).unwrap().commit;
        kept.add_candidate(number, commit);
        commits.push(commit);
    }

    #[track_caller]
    fn assert_whole(repository: &Repository, commits: &[CommitId]) {
        for (number, commit) in commits.iter().enumerate() {
            repository.verify_candidate(*commit).unwrap();
            assert_eq!(repository.program(*commit, FILE).unwrap(), program(number as u64));
        }
    }

    /// Files below a folder of the archive whose path has `part` in it.
    fn count(repository: &Path, part: &str) -> usize {
        let inside = fs::read_dir(repository).unwrap().map(|entry| entry.unwrap().path());
        inside.map(|path| if path.is_dir() { count(&path, part) } else { usize::from(holds(&path, part)) }).sum()
    }

    fn holds(path: &Path, part: &str) -> bool {
        path.to_str().unwrap().contains(part)
    }

    fn loose(repository: &Path) -> usize {
        count(&repository.join("objects"), "") - count(&repository.join("objects"), "/pack/")
    }

    /// Git finds nothing wrong, if there is one.
    #[track_caller]
    fn assert_sound(repository: &Path, what: &str) {
        let check = ["fsck", "--strict", "--full", "--no-dangling", "--no-progress"];
        if let Ok(output) = Command::new("git").arg("-C").arg(repository).args(check).output() {
            let told = [output.stdout, output.stderr].concat();
            assert!(output.status.success() && told.is_empty(), "{what}: {}", String::from_utf8_lossy(&told));
        }
    }

    #[test]
    fn what_is_settled_is_one_pack_and_reads_back() {
        let (folder, repository, commits) = archive(250);
        let path = repository.path();
        assert!(loose(path) > 1000);
        repository.settle().unwrap();
        assert_eq!((loose(path), count(path, ".pack"), count(path, ".idx"), count(path, "packevolve.")), (0, 1, 1, 1));
        assert_whole(&repository, &commits);
        assert_whole(&Repository::open(path).unwrap(), &commits);
        assert_sound(path, "");
        let packed = files(&path.join("objects/pack"), "pack").unwrap();
        let bytes = fs::metadata(&packed[0]).unwrap().len();
        assert!(bytes < 250 * 1500, "what programs share is stored once: {bytes} bytes");
        drop(folder);
    }

    #[test]
    fn objects_are_found_however_often_git_is_opened_anew() {
        let (_folder, mut repository, commits) = archive(250);
        repository.git.set_most(2);
        repository.settle().unwrap();
        for round in 0..3 {
            assert_whole(&repository, &commits);
            assert!(repository.git.unpacked() <= 3, "{round}: {} objects", repository.git.unpacked());
            let collect = ["gc", "--quiet", "--prune=now"];
            let _ = Command::new("git").arg("-C").arg(repository.path()).args(collect).status();
        }
    }

    #[test]
    fn little_is_not_packed_and_goes_on_in_files() {
        let (_folder, repository, commits) = archive(3);
        repository.settle().unwrap();
        assert_eq!((loose(repository.path()), count(repository.path(), ".pack")), (4 * 3 + 2, 0));
        assert_whole(&repository, &commits);
    }

    #[test]
    fn packs_survive_collection_and_mirrors_and_the_run_goes_on() {
        let (folder, repository, mut commits) = archive(250);
        repository.settle().unwrap();
        let run = |arguments: &[&str]| Command::new("git").current_dir(folder.path()).args(arguments).status();
        if run(&["-C", "archive.git", "gc", "--quiet", "--prune=now"]).is_err() {
            return eprintln!("skipped: there is no git on this machine");
        }
        assert!(run(&["clone", "--quiet", "--mirror", "archive.git", "mirror.git"]).unwrap().success());
        for path in ["archive.git", "mirror.git"] {
            assert_whole(&Repository::open(&folder.path().join(path)).unwrap(), &commits);
        }
        // Its handle is older than the packs that git has made since.
        add(&repository, &mut commits, &mut Kept::new(0));
        assert_whole(&repository, &commits);
        assert_sound(repository.path(), "");
    }

    /// What a power loss may have left of files of objects that were never synced.
    #[derive(Clone, Copy, Debug)]
    enum Lost {
        Nothing,
        EverySecond,
        All,
        Content,
    }

    fn lose(archive: &Path, ids: &[Oid], lost: Lost) {
        for (at, id) in ids.iter().enumerate() {
            let path = loose::path(archive, *id);
            match lost {
                Lost::Nothing => {}
                Lost::EverySecond if at % 2 == 0 => {}
                Lost::EverySecond | Lost::All => gone(fs::remove_file(&path)).unwrap(),
                Lost::Content if path.exists() => {
                    fs::remove_file(&path).unwrap();
                    fs::write(&path, "").unwrap();
                }
                Lost::Content => {}
            }
        }
    }

    /// The steps of packing one log, up to so many of them.
    fn pack_until(step: usize, archive: &Path, log: &Path) {
        let (drafts, packs) = (archive.join(PACK_DRAFTS), archive.join("objects/pack"));
        let objects = Left::of(log).unwrap().objects;
        let ids: Vec<Oid> = objects.iter().map(|object| object.id).collect();
        let halves = ids.split_at(ids.len() / 2);
        let steps: [&dyn Fn(); 9] = [
            &|| fs::create_dir(&drafts).unwrap(),
            &|| fs::write(drafts.join("pack_git2_half"), b"PACK").unwrap(),
            &|| drop(draft(&drafts, objects.iter().cloned().map(Ok)).unwrap()),
            &|| put(&drafts, "pack", &packs).unwrap(),
            &|| put(&drafts, "idx", &packs).unwrap(),
            &|| clear_drafts(archive).unwrap(),
            &|| discard(archive, halves.0).unwrap(),
            &|| discard(archive, halves.1).unwrap(),
            &|| ahead::remove(log).unwrap(),
        ];
        steps[..step].iter().for_each(|take| take());
    }

    #[test]
    fn a_crash_at_any_step_of_packing_loses_nothing() {
        for step in 0..=9 {
            // Every second of the pairs.
            let all = [[Lost::Nothing, Lost::Content], [Lost::EverySecond, Lost::All]];
            for lost in all[step % 2] {
                let what = format!("step {step}, lost: {lost:?}");
                let (_folder, repository, commits) = archive(6);
                let path = repository.path().to_owned();
                let log = sealed(&repository);
                drop(repository);
                let ids: Vec<Oid> = Left::of(&log).unwrap().objects.iter().map(|object| object.id).collect();
                pack_until(step, &path, &log);
                lose(&path, &ids, lost);
                let resumed = Repository::resume(&path).unwrap();
                assert_whole(&resumed, &commits);
                assert_sound(&path, &what);
                resumed.settle().unwrap();
                assert_whole(&resumed, &commits);
                let left = (loose(&path), count(&path, ".pack"), count(&path, ".idx"), count(&path, "packevolve."));
                assert_eq!(left, (0, 1, 1, 1), "{what}");
                assert_sound(&path, &what);
            }
        }
    }

    /// Seals the log of an archive, and says where it is.
    fn sealed(repository: &Repository) -> PathBuf {
        let mut ahead = repository.ahead().borrow_mut();
        ahead.0.seal().unwrap();
        ahead.0.take_sealed().remove(0)
    }

    /// Adds so many candidates to an archive whose logs are full soon, and keeps them, now and then.
    fn go_on(repository: &Repository, commits: &mut Vec<CommitId>, kept: &mut Kept, count: u64) {
        for number in 0..count {
            add(repository, commits, kept);
            if number % 4 == 3 {
                repository.keep(kept).unwrap();
            }
        }
    }

    #[test]
    fn while_a_run_goes_on_full_logs_become_packs_and_no_object_is_ever_missing() {
        let (_folder, repository, mut commits) = archive(1);
        repository.ahead().borrow_mut().0.set_longest(50_000);
        let mut kept = Kept::new(0);
        kept.add_candidate(0, commits[0]);
        let older = Repository::open(repository.path()).unwrap();
        for _ in 0..20 {
            go_on(&repository, &mut commits, &mut kept, 4);
            for reader in [&repository, &older, &Repository::open(repository.path()).unwrap()] {
                let programs = commits.iter().map(|commit| reader.program(*commit, FILE).unwrap());
                assert!(programs.zip(0..).all(|(found, number)| found == program(number)));
            }
        }
        repository.settle().unwrap();
        let path = repository.path();
        assert!(count(path, ".pack") > 5, "{} packs", count(path, ".pack"));
        assert_eq!((loose(path), count(path, "packevolve.")), (0, 1));
        assert_whole(&older, &commits);
        assert_sound(path, "at the end");
    }

    #[test]
    fn collections_and_mirrors_while_objects_are_packed_lose_nothing() {
        let (folder, repository, mut commits) = archive(1);
        repository.ahead().borrow_mut().0.set_longest(50_000);
        let mut kept = Kept::new(0);
        kept.add_candidate(0, commits[0]);
        let (path, stop) = (repository.path().to_owned(), AtomicBool::new(false));
        let collected = thread::scope(|scope| {
            let collector = scope.spawn(|| {
                let mut collected = 0;
                while !stop.load(Ordering::Relaxed) && collect(&path) {
                    collected += 1;
                }
                collected
            });
            let stopped = Stop(&stop);
            for round in 0..6 {
                go_on(&repository, &mut commits, &mut kept, 20);
                // Git itself may stumble while another git collects; what it takes for done is whole.
                let mirror = folder.path().join(format!("mirror{round}"));
                if clone(&path, &mirror) {
                    assert_sound(&mirror, "a mirror");
                }
                let read = commits.iter().map(|commit| repository.program(*commit, FILE).unwrap());
                assert!(read.zip(0..).all(|(found, number)| found == program(number)));
            }
            drop(stopped);
            collector.join().unwrap()
        });
        repository.keep(&mut kept).unwrap();
        repository.settle().unwrap();
        assert_whole(&repository, &commits);
        assert_whole(&Repository::open(&path).unwrap(), &commits);
        assert_sound(&path, &format!("after {collected} collections"));
        let mirror = folder.path().join("mirror");
        if collect(&path) {
            assert!(clone(&path, &mirror));
            assert_whole(&Repository::open(&mirror).unwrap(), &commits);
            assert_whole(&Repository::open(&path).unwrap(), &commits);
        }
    }

    /// Has git make a mirror, as over a network; whether it says that it has.
    fn clone(path: &Path, mirror: &Path) -> bool {
        let mut git = Command::new("git");
        let made = git.args(["clone", "--quiet", "--mirror", "--no-local"]).arg(path).arg(mirror).output();
        made.is_ok_and(|made| made.status.success())
    }

    /// Ends what goes on beside a test, however the test ends.
    struct Stop<'a>(&'a AtomicBool);

    impl Drop for Stop<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }

    /// Has git collect all that it takes for garbage; whether there is a git.
    fn collect(path: &Path) -> bool {
        Command::new("git").arg("-C").arg(path).args(["gc", "--quiet", "--prune=now"]).output().is_ok()
    }

    #[test]
    fn what_goes_wrong_with_packing_is_told_once_and_nothing_is_lost() {
        let (_folder, repository, mut commits) = archive(2);
        let (path, mut kept) = (repository.path().to_owned(), Kept::new(0));
        repository.ahead().borrow_mut().0.set_longest(1000);
        // A file where a folder is to be.
        fs::write(path.join(PACK_DRAFTS), "").unwrap();
        add(&repository, &mut commits, &mut kept);
        repository.keep(&mut kept).unwrap();
        repository.ahead().borrow_mut().1.wait();
        add(&repository, &mut commits, &mut kept);
        let error = repository.keep(&mut kept).unwrap_err();
        assert!(error.to_string().contains(PACK_DRAFTS), "{error}");
        drop(repository);
        fs::remove_file(path.join(PACK_DRAFTS)).unwrap();
        let resumed = Repository::resume(&path).unwrap();
        assert_whole(&resumed, &commits);
        resumed.settle().unwrap();
        assert_eq!((count(&path, ".pack"), count(&path, "packevolve.")), (1, 1));
        assert_whole(&resumed, &commits);
    }

    #[test]
    fn a_changed_byte_of_our_packs_is_never_believed() {
        let (_folder, repository, commits) = archive(250);
        repository.settle().unwrap();
        let pack = files(&repository.path().join("objects/pack"), "pack").unwrap().remove(0);
        let whole = fs::read(&pack).unwrap();
        let (mut refused, mut changes) = (0, 0);
        for position in (20..whole.len() - 20).step_by(whole.len() / 40) {
            let mut bytes = whole.clone();
            bytes[position] ^= 0x55;
            fs::remove_file(&pack).unwrap();
            fs::write(&pack, &bytes).unwrap();
            let reopened = Repository::open(repository.path()).unwrap();
            let read: Vec<_> = commits.iter().map(|commit| reopened.program(*commit, FILE)).collect();
            for (number, found) in read.iter().enumerate() {
                assert!(found.as_ref().is_err() || found.as_ref().unwrap() == &program(number as u64));
            }
            let verified = commits.iter().all(|commit| reopened.verify_candidate(*commit).is_ok());
            refused += usize::from(!verified);
            changes += 1;
        }
        assert!(refused * 10 >= changes * 9, "{refused} of {changes} changed bytes refused");
    }
}
