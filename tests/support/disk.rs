//! Disk: what is in a folder, and what of it a power loss may leave: what was not synced is gone, in any part.
//!
//! The model is harsher than most file systems. A file's content is on the disk when the file was synced, its name when
//! its folder was, and each of them without the other. Of content that was not synced any beginning may be left, of
//! names that were not synced the old one, the new one, or none.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rand::{Rng, RngExt};

use super::tracer::{Call, Kind};

/// Stands for one file or folder as long as it exists, under any name.
type Id = u64;

/// A file's content, or a folder's names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Node {
    File(Arc<Vec<u8>>),
    Folder(Arc<BTreeMap<String, Id>>),
}

/// All that is in a folder at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Image(BTreeMap<Id, Node>);

/// The root of an image.
const ROOT: Id = 0;

impl Image {
    fn folder(&self, id: Id) -> Arc<BTreeMap<String, Id>> {
        match self.0.get(&id) {
            Some(Node::Folder(names)) => Arc::clone(names),
            _ => Arc::default(),
        }
    }

    /// Writes it into a folder that is not there yet.
    pub fn write(&self, to: &Path) {
        self.write_node(ROOT, to);
    }

    fn write_node(&self, id: Id, to: &Path) {
        match self.0.get(&id) {
            Some(Node::File(bytes)) => fs::write(to, &bytes[..]).unwrap(),
            _ => {
                fs::create_dir_all(to).unwrap();
                self.folder(id).iter().for_each(|(name, id)| self.write_node(*id, &to.join(name)));
            }
        }
    }

    /// The files with their paths and contents; folders end in `/`. Equal for equal folders.
    pub fn listing(&self) -> BTreeMap<String, Arc<Vec<u8>>> {
        let mut all = BTreeMap::new();
        self.list(ROOT, "", &mut all);
        all
    }

    fn list(&self, id: Id, path: &str, all: &mut BTreeMap<String, Arc<Vec<u8>>>) {
        match self.0.get(&id) {
            Some(Node::File(bytes)) => drop(all.insert(path.to_owned(), Arc::clone(bytes))),
            _ => {
                all.insert(format!("{path}/"), Arc::default());
                self.folder(id).iter().for_each(|(name, id)| self.list(*id, &format!("{path}/{name}"), all));
            }
        }
    }
}

/// How much a power loss takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// All that was not synced.
    All,
    /// The content that was not synced; names stay.
    Content,
    /// Any part of either.
    Any,
}

/// A folder as its file system shows it, and what of that is on the disk.
pub struct Disk {
    root: PathBuf,
    /// Left out, by name in the root.
    ignored: &'static str,
    now: Image,
    synced: Image,
    by_inode: HashMap<u64, Id>,
    count: Id,
}

impl Disk {
    /// An empty folder, which is on the disk; what is called `ignored` is not looked at.
    pub fn new(root: &Path, ignored: &'static str) -> Self {
        let nothing = Image(BTreeMap::from([(ROOT, Node::Folder(Arc::default()))]));
        let (now, synced) = (nothing.clone(), nothing);
        Self { root: root.to_owned(), ignored, now, synced, by_inode: HashMap::new(), count: ROOT }
    }

    /// What the file system shows.
    pub fn now(&self) -> &Image {
        &self.now
    }

    /// What is on the disk of a file.
    pub fn synced(&self, path: &Path) -> Arc<Vec<u8>> {
        match self.find(path).and_then(|id| self.synced.0.get(&id)) {
            Some(Node::File(bytes)) => Arc::clone(bytes),
            _ => Arc::default(),
        }
    }

    /// Takes in what a call has changed.
    pub fn look(&mut self, call: &Call) {
        let mut seen = HashMap::new();
        let mut now = Image::default();
        self.walk(&self.root.clone(), ROOT, &mut now, &mut seen);
        self.by_inode = seen;
        self.now = now;
        match call.kind {
            Kind::Sync => {
                if let Some(id) = self.find(&call.path) {
                    self.synced.0.insert(id, self.now.0[&id].clone());
                }
            }
            Kind::SyncAll => self.synced.0.extend(self.now.0.clone()),
            _ => {}
        }
    }

    fn find(&self, path: &Path) -> Option<Id> {
        let inside = path.strip_prefix(&self.root).ok()?;
        inside.iter().try_fold(ROOT, |id, name| self.now.folder(id).get(name.to_str()?).copied())
    }

    /// Whether there is something: other threads run while one is stopped, and remove their drafts.
    fn walk(&mut self, path: &Path, id: Id, now: &mut Image, seen: &mut HashMap<u64, Id>) -> bool {
        if !path.is_dir() {
            let Some(bytes) = unless_gone(fs::read(path)) else { return false };
            let node = Node::File(Arc::new(bytes));
            // Moments share what did not change between them.
            let node = self.now.0.get(&id).filter(|before| **before == node).cloned().unwrap_or(node);
            now.0.insert(id, node);
            return true;
        }
        let mut names = BTreeMap::new();
        let Some(entries) = unless_gone(fs::read_dir(path)) else { return false };
        for entry in entries.map(Result::unwrap) {
            let name = entry.file_name().into_string().unwrap();
            if name == self.ignored && path.parent() == Some(&self.root) {
                continue;
            }
            let Some(inode) = unless_gone(entry.metadata()).map(|data| data.ino()) else { continue };
            let known = self.by_inode.get(&inode).or(seen.get(&inode)).copied();
            let inside = known.unwrap_or_else(|| {
                self.count += 1;
                self.count
            });
            seen.insert(inode, inside);
            if self.walk(&entry.path(), inside, now, seen) {
                names.insert(name, inside);
            }
        }
        now.0.insert(id, Node::Folder(Arc::new(names)));
        true
    }

    /// What may be left if the power goes now.
    pub fn lose(&self, loss: Loss, rng: &mut impl Rng) -> Image {
        let mut left = Image::default();
        self.leave(ROOT, loss, rng, &mut left);
        left
    }

    fn leave(&self, id: Id, loss: Loss, rng: &mut impl Rng, left: &mut Image) {
        let (now, synced) = (self.now.0.get(&id), self.synced.0.get(&id));
        let is_folder = matches!(now.or(synced), Some(Node::Folder(_)));
        if !is_folder {
            left.0.insert(id, Node::File(content(now, synced, loss, rng)));
            return;
        }
        let (now, synced) = (self.now.folder(id), self.synced.folder(id));
        let mut names = BTreeMap::new();
        for name in now.keys().chain(synced.keys()).collect::<BTreeSet<_>>() {
            let (new, old) = (now.get(name), synced.get(name));
            let is_new = match loss {
                Loss::All => false,
                Loss::Content => true,
                Loss::Any => rng.random(),
            };
            if let Some(inside) = if is_new { new } else { old } {
                names.insert(name.clone(), *inside);
                self.leave(*inside, loss, rng, left);
            }
        }
        left.0.insert(id, Node::Folder(Arc::new(names)));
    }
}

/// What may be left of a file.
fn content(now: Option<&Node>, synced: Option<&Node>, loss: Loss, rng: &mut impl Rng) -> Arc<Vec<u8>> {
    let bytes = |node: Option<&Node>| match node {
        Some(Node::File(bytes)) => Arc::clone(bytes),
        _ => Arc::default(),
    };
    let (new, old) = (bytes(now), bytes(synced));
    if new == old || loss != Loss::Any {
        return old;
    }
    let common = new.iter().zip(old.iter()).take_while(|(new, old)| new == old).count();
    match rng.random_range(0..3) {
        0 => old,
        1 => new,
        _ => Arc::new(new[..rng.random_range(common..=new.len())].to_vec()),
    }
}

/// What was read, unless the file is gone.
fn unless_gone<T>(read: io::Result<T>) -> Option<T> {
    match read {
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        read => Some(read.unwrap()),
    }
}
