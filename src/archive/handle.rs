//! Handle: what git2 has open of an archive, opened anew now and then.
//!
//! On the way to an object in a pack libgit2 unpacks others, and keeps them, up to 16 MB for each pack; packs stay mapped
//! besides. Nothing lets go of that but the end of the last handle that looks into the pack, and a long run comes to a
//! hundred packs.

use std::cell::{Cell, Ref, RefCell};
use std::path::{Path, PathBuf};

use git2::{ObjectType, Oid};

use crate::archive::error::RepositoryError;
use crate::archive::layout;

/// So many objects are unpacked between two openings: a small part of what it costs to unpack them.
const MOST_UNPACKED: u32 = 500;

/// An open archive.
pub(super) struct Handle {
    path: PathBuf,
    git: RefCell<git2::Repository>,
    unpacked: Cell<u32>,
    most: u32,
}

impl Handle {
    /// Opens the archive at `path`.
    pub fn open(path: &Path) -> Result<Self, RepositoryError> {
        let (git, unpacked) = (RefCell::new(layout::open(path)?), Cell::new(0));
        Ok(Self { path: path.to_owned(), git, unpacked, most: MOST_UNPACKED })
    }

    /// Fewer objects, for tests of what happens when it is opened anew.
    #[cfg(test)]
    pub fn set_most(&mut self, most: u32) {
        self.most = most;
    }

    /// Objects since it was opened.
    #[cfg(test)]
    pub fn unpacked(&self) -> u32 {
        self.unpacked.get()
    }

    /// The archive as git2 sees it. To be held for a moment: it is not opened anew meanwhile.
    pub fn get(&self) -> Ref<'_, git2::Repository> {
        self.git.borrow()
    }

    /// Whether git finds an object, in a file or in a pack.
    pub fn has(&self, id: Oid) -> Result<bool, git2::Error> {
        Ok(self.get().odb()?.exists(id))
    }

    /// Reads an object wherever git finds it; its id is checked. `None` of one that libgit2 knows by heart and the archive
    /// does not have.
    pub fn unpack(&self, id: Oid) -> Result<Option<(ObjectType, Vec<u8>)>, git2::Error> {
        self.renew();
        // A cached object would hide that the one on the disk was changed.
        git2::opts::enable_caching(false);
        let git = self.get();
        let odb = git.odb()?;
        let object = odb.read(id)?;
        // The empty tree.
        let is_there = !object.data().is_empty() || odb.exists(id);
        Ok(is_there.then(|| (object.kind(), object.data().to_vec())))
    }

    /// Opens the archive anew if it is time. Where that fails, the old handle goes on: what is wrong is told by what is read.
    fn renew(&self) {
        self.unpacked.set(self.unpacked.get() + 1);
        if self.unpacked.get() <= self.most {
            return;
        }
        if let Ok(mut git) = self.git.try_borrow_mut()
            && let Ok(anew) = layout::open(&self.path)
        {
            *git = anew;
            self.unpacked.set(0);
        }
    }
}
