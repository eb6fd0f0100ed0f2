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
