//! Check: holds what git has of an archive against what the journal makes of it. Only reads.

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
    /// What is missing or damaged among them.
    pub flaws: Vec<ArchiveError>,
}

impl Reachable {
    /// How many are sound.
    pub fn count(&self) -> usize {
        self.sound.len()
    }

    /// Whether a ref leads to this commit, which is sound.
    pub fn has(&self, commit: CommitId) -> bool {
        self.sound.contains(&commit.oid())
    }
}

impl Archive {
    /// Reads all that the refs lead to.
    ///
    /// # Errors
    /// Refs that cannot be read.
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
    /// The first that is missing or damaged.
    pub fn verify(&self, ids: &CandidateIds) -> Result<(), ArchiveError> {
        ids.oids().try_for_each(|id| self.read(id).map(drop))
    }

    /// The commit that is to keep these candidates, and the one that the ref names.
    ///
    /// # Errors
    /// A ref that cannot be read.
    pub fn keeps(
        &self,
        epoch: i64,
        commits: impl Iterator<Item = CommitId>,
    ) -> Result<(Option<CommitId>, Option<CommitId>), ArchiveError> {
        let mut kept = Kept::new(epoch);
        commits.for_each(|commit| kept.add(commit));
        Ok((kept.take().map(|(_, head)| head), self.target(KEPT)?))
    }

    /// What a crash left: locks of our refs, and refs without their content.
    pub fn left_over(&self) -> Vec<PathBuf> {
        self.stale_locks().into_iter().chain(self.torn_refs()).collect()
    }
}
