//! The git repository on the disk: creating it, and reading and writing objects and refs.
//!
//! Objects are written as packs, which store only differences, because programs of a run share almost everything. Only
//! the repository's own settings count, not those of the user or the system.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use git2::{Config, ConfigLevel, ErrorClass, ErrorCode, ObjectType, Odb, Oid, RepositoryInitOptions};

use crate::archive::candidate::CandidateIds;
use crate::archive::error::ArchiveError;
use crate::archive::id::{CommitId, GitId};
use crate::archive::object::Object;

/// `best` is a branch and HEAD points to it, so that a clone and a bare `git log` show the best program's lineage.
pub(super) const BEST: &str = "refs/heads/best";
pub(super) const KEPT: &str = "refs/packevolve/kept";
pub(super) const FRONT: &str = "refs/packevolve/front";
pub(super) const ISLANDS: &str = "refs/packevolve/islands";
pub(super) const NOTES: &str = "refs/notes/packevolve";

/// The folder of refs, which makes a folder a repository to git.
const REFS: &str = "refs";
/// The folder in which packs are built; among the objects, git would take them for garbage.
const PACK_DRAFTS: &str = "packevolve.packing";
/// The longest time that a live `git gc` holds the lock of a ref, with a large margin.
const LOCK_GRACE: Duration = Duration::from_secs(2);
/// Between two attempts to move a locked ref.
const LOCK_WAIT: Duration = Duration::from_millis(10);
/// The objects of a pack that is being built take precedence over other places.
const FIRST: i32 = 1000;
/// Packs are read-only, as in git.
const FILE_MODE: u32 = 0o444;

/// The repository of a run, open.
pub struct Archive {
    path: PathBuf,
    git: git2::Repository,
}

impl Archive {
    /// Opens an archive without a check of its owner: reading a colleague's run is safe, because git2 runs nothing that
    /// a repository's settings name.
    ///
    /// # Errors
    /// There is no archive.
    pub fn open(path: &Path) -> Result<Self, ArchiveError> {
        match fs::read_dir(path) {
            // What it is instead, git says.
            Err(error) if !matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                return Err(ArchiveError::io(path, "look into it")(error));
            }
            Ok(_) if ["HEAD", "objects"].iter().all(|part| path.join(part).exists()) && !path.join(REFS).exists() => {
                return Err(ArchiveError::NoRefs { path: path.to_owned() });
            }
            _ => {}
        }
        let own = own_config(path).map_err(ArchiveError::own_settings(path))?;
        let opened = git2::Repository::open_bare(path).and_then(|git| {
            git.set_config(&own)?;
            Ok(git)
        });
        Ok(Self { path: path.to_owned(), git: opened.map_err(ArchiveError::opening(path))? })
    }

    /// Whether an archive can be opened for writing, or made in its place. Only looks.
    ///
    /// # Errors
    /// The archive is in a format that cannot be read here, or the operating system fails.
    pub fn check_writable(path: &Path) -> Result<(), ArchiveError> {
        match Self::open(path) {
            Err(error) if !error.is_damage() => Err(error),
            _ => Ok(()),
        }
    }

    /// Opens an archive for writing. Creates a missing one or its lost folder of refs, and moves anything else in its
    /// place aside. The caller holds the lock of the run.
    pub(super) fn open_or_create(path: &Path) -> Result<Self, ArchiveError> {
        match Self::open(path) {
            Err(ArchiveError::NotAnArchive { .. }) => {
                Self::move_aside(path)?;
                create(path)?;
            }
            Err(ArchiveError::NoRefs { .. }) => {
                fs::create_dir(path.join(REFS)).map_err(ArchiveError::io(path, "make refs/ in it"))?;
            }
            Err(error) => return Err(error),
            Ok(archive) => archive.clear_refs()?,
        }
        Self::open(path)
    }

    /// Moves the archive to `archive.git.damaged`, or to the first free one of `archive.git.damaged-2`, `-3`, ...
    ///
    /// # Errors
    /// The operating system fails.
    pub fn move_aside(path: &Path) -> Result<(), ArchiveError> {
        let damaged = path.with_added_extension("damaged");
        let numbered = |number: usize| {
            let mut name = damaged.clone().into_os_string();
            name.push(format!("-{number}"));
            PathBuf::from(name)
        };
        let mut places = std::iter::once(damaged.clone()).chain((2..).map(numbered));
        let free = places.find(|place| fs::symlink_metadata(place).is_err()).expect("BUG: numbers do not end");
        gone(fs::rename(path, &free)).map_err(ArchiveError::io(path, "move it aside"))
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether any object of a candidate is missing.
    pub(super) fn lacks(&self, ids: &CandidateIds) -> Result<bool, ArchiveError> {
        let odb = self.odb()?;
        Ok(ids.oids().any(|id| !odb.exists(id)))
    }

    /// Whether it has an object.
    pub(super) fn has(&self, id: Oid) -> Result<bool, ArchiveError> {
        Ok(self.odb()?.exists(id))
    }

    /// Reads an object and checks its id.
    pub(super) fn read(&self, id: Oid) -> Result<(ObjectType, Vec<u8>), ArchiveError> {
        // A cached object would hide a change on the disk.
        git2::opts::enable_caching(false);
        let odb = self.odb()?;
        match odb.read(id) {
            // libgit2 has the empty tree built in.
            Ok(object) if object.data().is_empty() && !odb.exists(id) => Err(ArchiveError::Missing { id: id.into() }),
            Ok(object) => Ok((object.kind(), object.data().to_vec())),
            Err(error) if error.code() == ErrorCode::NotFound => Err(ArchiveError::Missing { id: id.into() }),
            Err(error) => Err(ArchiveError::Damaged { id: id.into(), reason: error.message().to_owned() }),
        }
    }

    fn odb(&self) -> Result<Odb<'_>, ArchiveError> {
        self.git.odb().map_err(ArchiveError::git(&self.path, "look for objects"))
    }

    /// Writes the missing ones of these objects as one pack, synced.
    pub(super) fn write(&self, objects: Vec<Object>) -> Result<(), ArchiveError> {
        let odb = self.odb()?;
        let mut missing: Vec<Object> = objects.into_iter().filter(|object| !odb.exists(object.id)).collect();
        missing.sort_by_key(|object| object.id);
        missing.dedup_by_key(|object| object.id);
        if missing.is_empty() {
            return Ok(());
        }
        let drafts = self.path.join(PACK_DRAFTS);
        let clear = || gone(fs::remove_dir_all(&drafts)).map_err(ArchiveError::io(&drafts, "clear it"));
        clear()?;
        let written = self.write_pack(&drafts, missing);
        written.and(clear())
    }

    fn write_pack(&self, drafts: &Path, objects: Vec<Object>) -> Result<(), ArchiveError> {
        fs::create_dir(drafts).map_err(ArchiveError::io(drafts, "make it"))?;
        draft_pack(drafts, objects).map_err(|error| match error.class() {
            // libgit2 loses the reason of some failed writes, so another write asks for it.
            ErrorClass::None => match fs::write(drafts.join("reason"), [0; 1 << 12]) {
                Err(source) => ArchiveError::io(drafts, "build a pack")(source),
                Ok(()) => ArchiveError::git(&self.path, "build a pack")(error),
            },
            _ => ArchiveError::git(&self.path, "build a pack")(error),
        })?;
        let packs = self.path.join("objects").join("pack");
        fs::create_dir_all(&packs).map_err(ArchiveError::io(&packs, "make it"))?;
        // The index comes last, because git takes it for a complete pack.
        for ending in ["pack", "idx"] {
            publish(drafts, ending, &packs).map_err(ArchiveError::io(&packs, "move a pack to it"))?;
        }
        Ok(())
    }

    /// Moves a ref to a commit; waits a while for a `git gc` that holds its lock.
    pub(super) fn point(&self, name: &str, commit: CommitId) -> Result<(), ArchiveError> {
        if self.target(name)? == Some(commit) {
            return Ok(());
        }
        let began = Instant::now();
        loop {
            match self.git.reference(name, commit.oid(), true, "") {
                Err(error) if error.code() == ErrorCode::Locked && began.elapsed() < LOCK_GRACE => {
                    thread::sleep(LOCK_WAIT);
                }
                moved => return moved.map(drop).map_err(self.unreadable(name)),
            }
        }
    }

    /// Points HEAD to the best program.
    pub(super) fn point_head(&self) -> Result<(), ArchiveError> {
        if self.head_is_best() { Ok(()) } else { self.git.set_head(BEST).map_err(self.unreadable("HEAD")) }
    }

    /// Whether HEAD points to the best program. Git refuses a repository with a malformed HEAD.
    pub(super) fn head_is_best(&self) -> bool {
        self.git.find_reference("HEAD").is_ok_and(|head| matches!(head.symbolic_target(), Ok(Some(BEST))))
    }

    /// The target of a ref, if it exists.
    pub(super) fn target(&self, name: &str) -> Result<Option<CommitId>, ArchiveError> {
        match self.git.refname_to_id(name) {
            Ok(id) => Ok(Some(CommitId::from_oid(id))),
            Err(error) if error.code() == ErrorCode::NotFound => Ok(None),
            // A power loss left it without its content.
            Err(_) if is_torn(&self.path.join(name)) => Ok(None),
            Err(error) => Err(self.unreadable(name)(error)),
        }
    }

    /// The targets of all refs.
    pub(super) fn tips(&self) -> Result<Vec<Oid>, ArchiveError> {
        let references = self.git.references().map_err(self.unreadable("refs"))?;
        Ok(references.filter_map(|reference| reference.ok()?.target()).collect())
    }

    fn unreadable(&self, name: &str) -> impl FnOnce(git2::Error) -> ArchiveError {
        let (path, name) = (self.path.clone(), name.to_owned());
        move |source| ArchiveError::Ref { path, name, source }
    }

    /// Removes locks of refs that a killed process left, and refs that a power loss left empty; their targets follow
    /// from the journal.
    fn clear_refs(&self) -> Result<(), ArchiveError> {
        let locks = self.stale_locks();
        if !locks.is_empty() {
            // A lock that outlives the grace period has no owner.
            thread::sleep(LOCK_GRACE);
        }
        for file in locks.into_iter().chain(self.torn_refs()) {
            gone(fs::remove_file(&file)).map_err(ArchiveError::io(&file, "remove what a crash left"))?;
        }
        Ok(())
    }

    /// Locks of our refs.
    pub(super) fn stale_locks(&self) -> Vec<PathBuf> {
        self.ref_files()
            .into_iter()
            .map(|file| file.with_added_extension("lock"))
            .filter(|lock| lock.exists())
            .collect()
    }

    /// Refs whose files hold no id.
    pub(super) fn torn_refs(&self) -> Vec<PathBuf> {
        self.ref_files().into_iter().filter(|file| is_torn(file)).collect()
    }

    /// The possible files of the refs that this program writes.
    fn ref_files(&self) -> Vec<PathBuf> {
        let islands = self.path.join(ISLANDS);
        let names = fs::read_dir(&islands).into_iter().flatten().flatten().map(|entry| entry.file_name());
        let numbers = names.filter_map(|name| {
            let name = name.to_str()?;
            name.strip_suffix(".lock").unwrap_or(name).parse::<usize>().ok()
        });
        let mut files: Vec<PathBuf> = numbers.map(|number| islands.join(number.to_string())).collect();
        files.extend([BEST, KEPT, NOTES, FRONT].map(|name| self.path.join(name)));
        files.sort();
        files.dedup();
        files
    }
}

impl std::fmt::Debug for Archive {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Archive").field("path", &self.path).finish_non_exhaustive()
    }
}

/// Whether the file of a ref is there and holds no id.
fn is_torn(file: &Path) -> bool {
    let holds_id = |bytes: Vec<u8>| bytes.trim_ascii().len() == 40 && bytes.trim_ascii().is_ascii();
    fs::read(file).is_ok_and(|bytes| !holds_id(bytes))
}

/// Creates an empty archive beside its place, then moves it there.
fn create(path: &Path) -> Result<(), ArchiveError> {
    let draft = path.with_added_extension("new");
    gone(fs::remove_dir_all(&draft)).map_err(ArchiveError::io(&draft, "remove what a crash left"))?;
    init(&draft).map_err(ArchiveError::git(path, "create it"))?;
    fs::rename(&draft, path).map_err(ArchiveError::io(path, "move the new archive here"))
}

fn init(path: &Path) -> Result<(), git2::Error> {
    let mut options = RepositoryInitOptions::new();
    options.bare(true).no_reinit(true).external_template(false).initial_head("best");
    options.description("The archive of a PackEvolve run: every candidate is a commit.");
    git2::Repository::init_opts(path, &options)?;
    let mut config = own_config(path)?;
    config.set_bool("core.logAllRefUpdates", false)?;
    // All of them, because git warns about a missing one.
    config.set_str("notes.displayRef", "refs/notes/*")?;
    // Objects are garbage to git until refs follow, so it must not start a collection by itself.
    config.set_i32("gc.auto", 0)?;
    config.set_bool("receive.autogc", false)
}

fn own_config(path: &Path) -> Result<Config, git2::Error> {
    let mut config = Config::new()?;
    config.add_file(&path.join("config"), ConfigLevel::Local, false)?;
    Ok(config)
}

/// Writes a pack and its index into `folder`.
fn draft_pack(folder: &Path, objects: Vec<Object>) -> Result<(), git2::Error> {
    let odb = Odb::new()?;
    odb.add_new_mempack_backend(FIRST)?;
    let memory = git2::Repository::from_odb(odb)?;
    // Ignores all settings.
    memory.set_config(&Config::new()?)?;
    let mut builder = memory.packbuilder()?;
    builder.set_threads(1);
    let odb = memory.odb()?;
    for Object { kind, bytes, id } in objects {
        odb.write(kind, &bytes)?;
        builder.insert_object(id, Some(family(&bytes)))?;
    }
    builder.write(folder, FILE_MODE)
}

/// Objects of one kind share much, so each is stored as a difference to another.
fn family(bytes: &[u8]) -> &'static str {
    if bytes.starts_with(b"<NAME>") { "proposal" } else { "program" }
}

/// Moves the files with this extension to another folder, synced before and after.
fn publish(from: &Path, ending: &str, to: &Path) -> io::Result<()> {
    for entry in fs::read_dir(from)? {
        let file = entry?.path();
        if file.extension().is_some_and(|own| own == ending) {
            File::open(&file)?.sync_all()?;
            fs::rename(&file, to.join(file.file_name().unwrap_or_default()))?;
        }
    }
    File::open(to)?.sync_all()
}

/// A missing file needs no removal.
fn gone(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}
