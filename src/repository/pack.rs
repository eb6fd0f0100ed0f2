//! Pack: turns what a full log holds into one pack, beside the run, so that the archive does not come to hold a file for
//! every object: programs of a run share almost everything, and a pack stores what differs.
//!
//! The pack is built from the log, in a folder of its own, and synced; then it is moved to where git looks for packs;
//! then the files of its objects go, and the log at last. Whatever moment the process or the machine dies at, every
//! object is in the log, in a file or in a pack, and [`resume`](super::Repository::resume) starts over from the log.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::thread::{self, JoinHandle};

use git2::{Config, Odb, Oid};

use super::ahead;
use super::error::RepositoryError;
use super::layout::sync;
use super::loose;
use super::object::Object;

/// Where packs are built, in the archive's folder.
const DRAFTS: &str = "packevolve.packing";
/// The memory of a pack that is being built comes before any other place that objects might be read from.
const FIRST: i32 = 1000;

/// The one thread that packs, while there is something to pack.
#[derive(Debug, Default)]
pub(super) struct Packer(Option<JoinHandle<Result<(), RepositoryError>>>);

impl Packer {
    /// Begins to pack the sealed log of the archive at `path`.
    pub fn begin(&mut self, path: &Path) -> Result<(), RepositoryError> {
        self.finish()?;
        let archive = path.to_owned();
        let thread = thread::Builder::new().name("pack".to_owned()).spawn(move || pack(&archive));
        self.0 = Some(thread.map_err(RepositoryError::io(path, "start to pack it"))?);
        Ok(())
    }

    /// Waits until nothing is being packed.
    pub fn finish(&mut self) -> Result<(), RepositoryError> {
        self.0.take().map_or(Ok(()), |thread| thread.join().expect("BUG: packing does not panic"))
    }
}

impl Drop for Packer {
    /// What could not be packed is in the log still.
    fn drop(&mut self) {
        let _ = self.0.take().map(JoinHandle::join);
    }
}

/// Packs the sealed log, if there is one, and removes it.
pub(super) fn pack(archive: &Path) -> Result<(), RepositoryError> {
    let objects = ahead::sealed(archive)?;
    if !objects.is_empty() {
        let ids = publish(archive, objects)?;
        discard(archive, &ids)?;
    }
    ahead::remove_sealed(archive)
}

/// Builds a pack of `objects` and moves it to where git looks for packs; it is on the disk when this returns.
fn publish(archive: &Path, objects: Vec<Object>) -> Result<Vec<Oid>, RepositoryError> {
    let drafts = archive.join(DRAFTS);
    clear(&drafts)?;
    fs::create_dir(&drafts).map_err(RepositoryError::io(&drafts, "make it"))?;
    let ids = draft(&drafts, objects).map_err(|source| RepositoryError::Write { path: drafts.clone(), source })?;
    let packs = archive.join("objects").join("pack");
    // Git takes an index for a pack that is whole, so it comes last.
    for ending in ["pack", "idx"] {
        for file in files(&drafts, ending)? {
            let place = packs.join(file.file_name().expect("BUG: a file in a folder has a name"));
            let moved = sync(&file).and_then(|()| fs::rename(&file, &place));
            moved.map_err(RepositoryError::io(&file, "move it to the packs"))?;
        }
    }
    sync(&packs).map_err(RepositoryError::io(&packs, "sync it"))?;
    clear(&drafts)?;
    Ok(ids)
}

/// Writes a pack and its index into `folder`.
fn draft(folder: &Path, objects: Vec<Object>) -> Result<Vec<Oid>, git2::Error> {
    let odb = Odb::new()?;
    odb.add_new_mempack_backend(FIRST)?;
    let memory = git2::Repository::from_odb(odb)?;
    // Nobody's settings have a say.
    memory.set_config(&Config::new()?)?;
    let mut builder = memory.packbuilder()?;
    builder.set_threads(1);
    let odb = memory.odb()?;
    let mut ids = Vec::with_capacity(objects.len());
    for Object { kind, bytes, id } in objects {
        odb.write(kind, &bytes)?;
        builder.insert_object(id, Some(family(&bytes)))?;
        ids.push(id);
    }
    builder.write(folder, 0o444)?;
    Ok(ids)
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

/// Removes what a crash left half done.
pub(super) fn clear_drafts(archive: &Path) -> Result<(), RepositoryError> {
    clear(&archive.join(DRAFTS))
}

fn clear(drafts: &Path) -> Result<(), RepositoryError> {
    gone(fs::remove_dir_all(drafts)).map_err(RepositoryError::io(drafts, "remove it"))
}

/// What is not there need not be removed.
pub(super) fn gone(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use tempfile::TempDir;

    use super::*;
    use crate::repository::{CommitId, Kept, NewCandidate, Repository};

    const FILE: &str = "eplb.py";

    fn program(number: u64) -> String {
        (0..300).map(|line| format!("    value_{line} = {}\n", (line * 7919 + number / (line + 1)) % 10_007)).collect()
    }

    /// An archive with so many candidates, each an edit of the one before.
    fn archive(candidates: u64) -> (TempDir, Repository, Vec<CommitId>) {
        let folder = TempDir::new().unwrap();
        let repository = Repository::create(&folder.path().join("archive.git")).unwrap();
        let (mut commits, mut kept) = (Vec::new(), Kept::new(0));
        for number in 0..candidates {
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
            commits.push(repository.commit_candidate(&new).unwrap().commit);
            kept.add_candidate(number, commits[number as usize]);
        }
        repository.keep(&mut kept).unwrap();
        repository.set_best(commits[commits.len() - 1]).unwrap();
        (folder, repository, commits)
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

    /// Whether git finds nothing wrong; true where there is no git.
    fn is_sound(repository: &Path) -> bool {
        let check = ["fsck", "--strict", "--full", "--no-dangling", "--no-progress"];
        let output = Command::new("git").arg("-C").arg(repository).args(check).output();
        output.is_ok_and(|output| output.status.success() && output.stdout.is_empty() && output.stderr.is_empty())
            || Command::new("git").arg("version").output().is_err()
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
        assert!(is_sound(path));
        let packed = files(&path.join("objects/pack"), "pack").unwrap();
        let bytes = fs::metadata(&packed[0]).unwrap().len();
        assert!(bytes < 250 * 1500, "what programs share is stored once: {bytes} bytes");
        drop(folder);
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
        let program = program(250);
        let new = NewCandidate {
            number: 250,
            file_name: FILE,
            program: &program,
            proposal: None,
            name: "later",
            description: "",
            parents: &commits[249..],
            trailers: &[],
            epoch: 0,
        };
        // Its handle is older than the packs that git has made since.
        commits.push(repository.commit_candidate(&new).unwrap().commit);
        assert_whole(&repository, &commits);
        assert!(is_sound(repository.path()));
    }

    /// Takes the files of all objects away, as a power loss may what was never synced, or every second of them.
    fn lose(archive: &Path, objects: &[Object], every: usize) {
        for object in objects.iter().step_by(every) {
            gone(fs::remove_file(loose::path(archive, object.id))).unwrap();
        }
    }

    fn move_pack(archive: &Path, ending: &str) {
        for file in files(&archive.join(DRAFTS), ending).unwrap() {
            fs::rename(&file, archive.join("objects/pack").join(file.file_name().unwrap())).unwrap();
        }
    }

    #[test]
    fn a_crash_at_any_step_of_packing_loses_nothing() {
        for step in 0..=7 {
            for every in [1, 2, 1000] {
                let (_folder, repository, commits) = archive(6);
                let path = repository.path().to_owned();
                repository.ahead().borrow_mut().0.seal().unwrap();
                drop(repository);
                let (objects, drafts) = (ahead::sealed(&path).unwrap(), path.join(DRAFTS));
                let all = objects.len();
                if step > 0 {
                    fs::create_dir(&drafts).unwrap();
                    fs::write(drafts.join("pack_git2_half"), b"PACK").unwrap();
                }
                if step > 1 {
                    draft(&drafts, ahead::sealed(&path).unwrap()).unwrap();
                }
                if step > 2 {
                    move_pack(&path, "pack");
                }
                if step > 3 {
                    move_pack(&path, "idx");
                }
                if step > 4 {
                    clear(&drafts).unwrap();
                }
                lose(&path, &objects, if step > 5 { 1 } else { every });
                if step > 6 {
                    ahead::remove_sealed(&path).unwrap();
                }
                let resumed = Repository::resume(&path).unwrap();
                assert_whole(&resumed, &commits);
                resumed.ahead().borrow_mut().1.finish().unwrap();
                assert_whole(&resumed, &commits);
                let left = (loose(&path), count(&path, ".pack"), ahead::sealed(&path).unwrap().len());
                assert_eq!(left, (0, 1, 0), "step {step}, {all} objects");
                assert!(is_sound(&path), "step {step}");
            }
        }
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
