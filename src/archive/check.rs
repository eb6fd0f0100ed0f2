//! Compares an archive with the journal. Only reads.

use std::collections::BTreeSet;
use std::path::PathBuf;

use git2::Oid;

use crate::archive::candidate::CandidateIds;
use crate::archive::error::ArchiveError;
use crate::archive::id::{CommitId, GitId};
use crate::archive::kept::Kept;
use crate::archive::object::children;
use crate::archive::store::{Archive, KEPT};

/// The objects that the refs of an archive lead to.
#[derive(Debug, Default)]
pub struct Reachable {
    sound: BTreeSet<Oid>,
    /// The missing or damaged ones among them.
    pub flaws: Vec<ArchiveError>,
}

impl Reachable {
    /// The number of intact ones.
    pub fn count(&self) -> usize {
        self.sound.len()
    }

    /// Whether a ref leads to this commit, and the commit is intact.
    pub fn has(&self, commit: CommitId) -> bool {
        self.sound.contains(&commit.oid())
    }
}

impl Archive {
    /// Reads all objects that the refs lead to.
    ///
    /// # Errors
    /// A ref cannot be read.
    pub fn reachable(&self) -> Result<Reachable, ArchiveError> {
        let mut reachable = Reachable::default();
        let mut left = self.tips()?;
        while let Some(id) = left.pop() {
            if reachable.sound.contains(&id) {
                continue;
            }
            match self.read(id) {
                Ok((kind, bytes)) => {
                    reachable.sound.insert(id);
                    left.extend(children(kind, &bytes).into_iter().map(|(id, _)| id));
                }
                Err(flaw) => reachable.flaws.push(flaw),
            }
        }
        Ok(reachable)
    }

    /// Checks every object of a candidate, by reading it.
    ///
    /// # Errors
    /// The first missing or damaged object.
    pub fn verify(&self, ids: &CandidateIds) -> Result<(), ArchiveError> {
        ids.oids().try_for_each(|id| self.read(id).map(drop))
    }

    /// The expected commit that keeps these candidates, and the one that the ref names.
    ///
    /// # Errors
    /// The ref cannot be read.
    pub fn keeps(
        &self,
        epoch: i64,
        commits: impl Iterator<Item = CommitId>,
    ) -> Result<(Option<CommitId>, Option<CommitId>), ArchiveError> {
        let mut kept = Kept::new(epoch);
        commits.for_each(|commit| kept.add(commit));
        Ok((kept.take().map(|(_, head)| head), self.target(KEPT)?))
    }

    /// Leftovers of a crash: locks of refs, and empty refs.
    pub fn left_over(&self) -> Vec<PathBuf> {
        self.stale_locks().into_iter().chain(self.torn_refs()).collect()
    }
}
