//! Layout: the folder of an archive, how it comes to be and how it is made ready again after a crash.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use git2::{Config, ConfigLevel, RepositoryInitOptions};

use crate::archive::error::RepositoryError;

/// How long a live `git gc` holds the lock of a ref at most, with much to spare.
pub(super) const LOCK_GRACE: Duration = Duration::from_secs(2);

/// Lays an archive out beside its place, then moves it there.
pub(super) fn create(path: &Path) -> Result<(), RepositoryError> {
    let exists = path.try_exists().map_err(RepositoryError::io(path, "look at it"))?;
    if exists {
        return Err(RepositoryError::Exists { path: path.to_owned() });
    }
    let draft = path.with_added_extension("new");
    gone(fs::remove_dir_all(&draft)).map_err(RepositoryError::io(&draft, "remove what a crash left"))?;
    if let Err(error) = draw_up(&draft) {
        // Best effort: the next attempt clears it away too.
        let _ = fs::remove_dir_all(&draft);
        return Err(error);
    }
    fs::rename(&draft, path).map_err(RepositoryError::io(path, "move the new archive here"))?;
    let absolute = std::path::absolute(path).map_err(RepositoryError::io(path, "locate it"))?;
    let parent = absolute.parent().expect("BUG: an archive that could be made has a parent folder");
    sync(parent).map_err(RepositoryError::io(parent, "sync it"))
}

fn draw_up(draft: &Path) -> Result<(), RepositoryError> {
    init(draft).map_err(|source| RepositoryError::Create { path: draft.to_owned(), source })?;
    settle(draft)?;
    sync_tree(draft).map_err(RepositoryError::io(draft, "sync it"))
}

fn init(path: &Path) -> Result<(), git2::Error> {
    let mut options = RepositoryInitOptions::new();
    options.bare(true).no_reinit(true).external_template(false).initial_head("best");
    options.description("The archive of a PackEvolve run: every candidate is a commit.");
    git2::Repository::init_opts(path, &options)?;
    let mut config = own_config(path)?;
    config.set_bool("core.logAllRefUpdates", false)?;
    // All of them, as git warns of one by name that is not there yet.
    config.set_str("notes.displayRef", "refs/notes/*")?;
    // What the journal names is garbage to git until the next checkpoint, so no collection may start by itself.
    config.set_i32("gc.auto", 0)?;
    config.set_bool("receive.autogc", false)
}

/// Opens an archive with its own settings only. This way of opening also asks for no owner: to look at a colleague's run
/// is fine, since git2 runs nothing that a repository's settings name.
pub(super) fn open(path: &Path) -> Result<git2::Repository, RepositoryError> {
    let opened = git2::Repository::open_bare(path).and_then(|git| {
        git.set_config(&own_config(path)?)?;
        Ok(git)
    });
    opened.map_err(RepositoryError::opening(path))
}

fn own_config(path: &Path) -> Result<Config, git2::Error> {
    let mut config = Config::new()?;
    config.add_file(&path.join("config"), ConfigLevel::Local, false)?;
    Ok(config)
}

/// Where the file of an object is written before it is moved to its place, in the archive's folder: among the objects git
/// would take it for garbage and remove it meanwhile.
pub(super) const OBJECT_DRAFT: &str = "packevolve.object";
/// Where packs are built, likewise.
pub(super) const PACK_DRAFTS: &str = "packevolve.packing";
/// Beginning of the names of files that libgit2 wrote an object to before it moved it to its place: older archives have
/// them.
const UNFINISHED: &str = "tmp_object_git2_";

/// Removes refs that a power loss has left without their content; the journal tells what they are to name.
pub(super) fn clear_torn(refs: &[PathBuf]) -> Result<(), RepositoryError> {
    for file in refs.iter().filter(|file| is_torn(file)) {
        fs::remove_file(file).map_err(RepositoryError::io(file, "remove a ref that was not finished"))?;
    }
    Ok(())
}

/// The refs in a folder that have a number for a name, those that only have a lock among them.
pub(super) fn numbered_refs(folder: &Path) -> BTreeSet<PathBuf> {
    let names = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.file_name());
    let numbers = names.filter_map(|name| {
        let name = name.to_str()?;
        name.strip_suffix(".lock").unwrap_or(name).parse::<usize>().ok()
    });
    numbers.map(|number| folder.join(number.to_string())).collect()
}

/// Whether a ref's file is there and does not hold an id.
pub(super) fn is_torn(file: &Path) -> bool {
    let holds_id = |bytes: Vec<u8>| bytes.trim_ascii().len() == 40 && bytes.trim_ascii().is_ascii();
    fs::read(file).is_ok_and(|bytes| !holds_id(bytes))
}

/// Files that a killed process left of objects it had not finished.
pub(super) fn unfinished(path: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(path.join("objects")).into_iter().flatten().flatten();
    let paths = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(UNFINISHED));
    let draft = Some(path.join(OBJECT_DRAFT)).filter(|draft| draft.exists());
    paths.map(|entry| entry.path()).chain(draft).collect()
}

/// The folder in which a killed process had not finished a pack.
pub(super) fn unfinished_pack(path: &Path) -> Option<PathBuf> {
    Some(path.join(PACK_DRAFTS)).filter(|drafts| drafts.exists())
}

/// Removes what has not come to be a pack.
pub(super) fn clear_drafts(path: &Path) -> Result<(), RepositoryError> {
    let drafts = path.join(PACK_DRAFTS);
    gone(fs::remove_dir_all(&drafts)).map_err(RepositoryError::io(&drafts, "remove what was not finished"))
}

/// Makes the folders of loose objects, as far as they are missing, and syncs them all: whoever was killed between moving
/// an object to its place and syncing the folder left one that a power loss would take, though it looks written to us.
pub(super) fn settle(path: &Path) -> Result<(), RepositoryError> {
    let objects = path.join("objects");
    clear_drafts(path)?;
    for file in unfinished(path) {
        fs::remove_file(&file).map_err(RepositoryError::io(&file, "remove what was not finished"))?;
    }
    for prefix in 0..=u8::MAX {
        let folder = objects.join(format!("{prefix:02x}"));
        match fs::create_dir(&folder) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => sync(&folder),
            made => made,
        }
        .map_err(RepositoryError::io(&folder, "make and sync it"))?;
    }
    sync(&objects).map_err(RepositoryError::io(&objects, "sync it"))
}

/// Removes the locks of refs that a killed process left. The run's own lock keeps other harnesses away, so what still
/// stands after the grace is nobody's.
pub(super) fn clear_locks(refs: &[PathBuf]) -> Result<(), RepositoryError> {
    let locks: Vec<PathBuf> = refs.iter().map(|file| file.with_added_extension("lock")).collect();
    if !locks.iter().any(|lock| lock.exists()) {
        return Ok(());
    }
    thread::sleep(LOCK_GRACE);
    for lock in locks {
        gone(fs::remove_file(&lock)).map_err(RepositoryError::io(&lock, "remove a stale lock"))?;
    }
    Ok(())
}

/// Syncs the files of a new archive and the folders that hold something.
fn sync_tree(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        match entry.file_type()?.is_dir() {
            true if entry.file_name() == "objects" => {}
            true => sync_tree(&entry.path())?,
            false => sync(&entry.path())?,
        }
    }
    sync(folder)
}

pub(super) fn sync(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// What is not there need not be removed.
pub(super) fn gone(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}
